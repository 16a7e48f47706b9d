-- The ratio test: a split has to explain the jump on its date. Where the adjusted return is larger
-- than the traded one, the price had no such jump: the source had adjusted it already, the split
-- is reported twice or on a wrong date, or its ratio is upside down. Correct it in
-- seeds/split_overrides.csv. Splits of less than a tenth drown in the day's own return.
select
    source,
    symbol,
    trade_date,
    split_ratio,
    log_return as adjusted_return,
    log_return - log(split_ratio) as traded_return
from {{ ref('fct_quotes') }}
where is_split and abs(log(split_ratio)) > 0.1 and abs(adjusted_return) > abs(traded_return)
