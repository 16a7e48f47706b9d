-- The ratio test: a split has to explain the jump on its date. Where the adjusted return is larger
-- than the traded one, the price had no such jump: the source had adjusted it already, the split
-- is reported twice or on a wrong date, or its ratio is upside down. Splits of less than a tenth
-- drown in the day's own return. One symbol's split is no reason to stop the others: it warns.
{{ config(severity='warn') }}

select
    source,
    symbol,
    trade_date,
    split_ratio,
    log_return as adjusted_return,
    log_return - log(split_ratio) as traded_return,
    'correct the split in seeds/split_overrides.csv' as next_step
from {{ ref('fct_quotes') }}
where is_split and abs(log(split_ratio)) > 0.1 and abs(adjusted_return) > abs(traded_return)
