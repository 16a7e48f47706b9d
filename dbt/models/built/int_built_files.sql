-- depends_on: {{ ref('fct_quotes') }} {{ ref('fct_features') }} {{ ref('int_symbol_years') }}
select
    data_file,
    first_date,
    last_date,
    '{{ invocation_id }}' as build_id
from {{ ref('int_lake_files') }}
