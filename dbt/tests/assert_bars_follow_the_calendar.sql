-- No gap beyond the calendar. A halted symbol is no error of ours, so this only warns.
{{ config(severity='warn') }}

select
    source,
    subject as symbol,
    metric,
    value as days,
    detail
from {{ ref('fct_data_health') }}
where metric in ('missing_sessions', 'bars_on_closed_days')
