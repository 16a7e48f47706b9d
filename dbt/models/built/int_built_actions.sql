-- depends_on: {{ ref('fct_quotes') }} {{ ref('fct_features') }} {{ ref('int_symbol_years') }}
select
    source,
    symbol,
    split_dates,
    splits_hash,
    dividends_hash
from {{ ref('int_actions') }}
