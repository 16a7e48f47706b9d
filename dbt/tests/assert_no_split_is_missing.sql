-- A price that opens at a half, a third or ten times the last close, and stays there, looks like a
-- split that no source reported. A crash can look the same, so this only warns.
{{ config(severity='warn') }}

with jumps as (
    select
        source,
        symbol,
        trade_date,
        log_return,
        log_return + log(open / close) as gap,
        -- The whole number that the price was divided or multiplied by.
        round(exp(abs(gap))) as ratio
    from {{ ref('fct_quotes') }}
    where is_jump
)

select
    *,
    'if it was a split, add it to seeds/split_overrides.csv' as next_step
from jumps
where ratio >= 2 and abs(abs(gap) - log(ratio)) < 0.03 and abs(log_return - gap) < 0.1
