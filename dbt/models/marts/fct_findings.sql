{{ config(order_by='(source, symbol, first_date, rule)') }}

select
    source,
    symbol,
    rule,
    first_date,
    last_date,
    severity,
    seen,
    proposal,
    state,
    cast(state = 'open' as Bool) as is_open,
    cast(
        state = 'open' and severity = 'severe' and symbol != '' as Bool
    ) as sets_aside,
    acknowledged_by,
    acknowledged_why,
    acknowledged_at,
    found_at
from {{ ref('stg_findings') }}
