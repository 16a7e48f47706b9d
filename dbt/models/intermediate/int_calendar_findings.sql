{{ config(materialized='ephemeral') }}

with by_symbol as (
    select
        y.source as source,
        y.symbol as symbol,
        min(y.first_date) as first_date,
        max(y.last_date) as last_date,
        groupBitmapMergeState(y.dates) as dates,
        max(max(y.last_date)) over (partition by y.source) as source_last_date
    from {{ ref('int_symbol_years') }} as y
    group by source, symbol
),

-- A source without a calendar has nothing to be compared with, and no rows here.
calendar as (
    select
        source,
        groupBitmapStateIf({{ day_number('trade_date') }}, is_open and trade_date <= today())
            as open_days,
        groupBitmapStateIf({{ day_number('trade_date') }}, not is_open) as closed_days
    from {{ ref('stg_calendar') }}
    group by source
),

compared as (
    select
        b.source as source,
        b.symbol as symbol,
        b.last_date as last_date,
        arraySort(bitmapToArray(bitmapAndnot(
            bitmapSubsetInRange(
                c.open_days,
                {{ day_number('b.first_date') }},
                {{ day_number('b.last_date') }} + 1
            ),
            b.dates
        ))) as missing,
        arraySort(bitmapToArray(bitmapAnd(c.closed_days, b.dates))) as extra
    from by_symbol as b
    inner join calendar as c on b.source = c.source
)

select
    'sessions_behind' as metric,
    b.source as source,
    '' as subject,
    b.source_last_date as day,
    toFloat64(length(bitmapToArray(bitmapSubsetInRange(
        c.open_days,
        {{ day_number('b.source_last_date') }} + 1,
        {{ day_number('today()') }} + 1
    )))) as value,
    if(value > 3, 'warn', 'ok') as status,
    concat('last bar on ', toString(b.source_last_date)) as detail
from (
    select distinct
        source,
        source_last_date
    from by_symbol
) as b
inner join calendar as c on b.source = c.source
{%- for metric, found in (('missing_sessions', 'missing'), ('bars_on_closed_days', 'extra')) %}
union all
select
    '{{ metric }}' as metric,
    source,
    toString(symbol) as subject,
    last_date as day,
    toFloat64(length({{ found }})) as value,
    'warn' as status,
    arrayStringConcat(
        arrayMap(n -> toString({{ day_of('n') }}), arraySlice({{ found }}, 1, 5)), ', '
    ) as detail
from compared
where notEmpty({{ found }})
{%- endfor %}
union all
select
    'stale_symbol' as metric,
    b.source as source,
    toString(b.symbol) as subject,
    b.last_date as day,
    toFloat64({{ days_between('b.last_date', 'b.source_last_date') }}) as value,
    if(s.listed_till < b.source_last_date, 'info', 'warn') as status,
    if(s.listed_till < b.source_last_date, 'no longer listed', 'days without a bar') as detail
from by_symbol as b
left join {{ ref('stg_securities') }} as s on b.source = s.source and b.symbol = s.symbol
where b.last_date + 5 < b.source_last_date
