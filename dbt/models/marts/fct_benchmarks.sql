{{ config(order_by='(source, trade_date)') }}

select
    source,
    trade_date,
    symbol,
    exp(assumeNotNull(log_return)) - 1 as daily_return
from {{ ref('fct_quotes') }}
where symbol in {{ benchmarks() }} and log_return is not null
order by indexOf({{ benchmarks() }}, symbol)
limit 1 by source, trade_date
