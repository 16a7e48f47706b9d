-- Symbols that severe open findings keep out of training, forecasts and comparisons.
select
    source,
    symbol,
    min(first_date) as since
from {{ ref('stg_findings') }}
where state = 'open' and severity = 'severe' and symbol != ''
group by source, symbol
