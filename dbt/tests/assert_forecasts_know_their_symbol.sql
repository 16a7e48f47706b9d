-- Every forecast is for a symbol that the warehouse has bars of.
select distinct
    source,
    symbol
from {{ ref('fct_forecasts') }}
where (source, symbol) not in (select source, symbol from {{ ref('dim_symbol') }})
