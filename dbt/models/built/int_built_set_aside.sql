-- depends_on: {{ ref('fct_features') }}
select
    source,
    symbol,
    since
from {{ ref('int_set_aside') }}
