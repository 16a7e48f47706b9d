{{ config(materialized='ephemeral') }}

-- A symbol keeps its source's calendar, unless its exchange has one of its own: these are in
-- raw.calendar under their own names.
with by_symbol as (
    select
        y.source as source,
        y.symbol as symbol,
        coalesce(nullIf(any(k.calendar), ''), toString(y.source)) as calendar,
        min(y.first_date) as first_date,
        max(y.last_date) as last_date,
        groupBitmapMergeState(y.dates) as dates,
        max(max(y.last_date)) over (partition by y.source, calendar) as calendar_last_date
    from {{ ref('int_symbol_years') }} as y
    left join {{ ref('stg_symbol_calendars') }} as k
        on y.source = k.source and y.symbol = k.symbol
    group by source, symbol
),

-- Without a calendar there is nothing to be compared with, and no row here.
calendar as (
    select
        toString(source) as name,
        groupBitmapStateIf({{ day_number('trade_date') }}, is_open and trade_date <= today())
            as open_days,
        groupBitmapStateIf({{ day_number('trade_date') }}, not is_open) as closed_days
    from {{ ref('stg_calendar') }}
    group by name
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
    inner join calendar as c on b.calendar = c.name
)

select
    'sessions_behind' as metric,
    b.source as source,
    if(b.calendar = b.source, '', b.calendar) as subject,
    b.calendar_last_date as day,
    toFloat64(length(bitmapToArray(bitmapSubsetInRange(
        c.open_days,
        {{ day_number('b.calendar_last_date') }} + 1,
        {{ day_number('today()') }} + 1
    )))) as value,
    if(value > 3, 'warn', 'ok') as status,
    concat('last bar on ', toString(b.calendar_last_date)) as detail
from (
    select distinct
        source,
        calendar,
        calendar_last_date
    from by_symbol
) as b
inner join calendar as c on b.calendar = c.name
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
    toFloat64({{ days_between('b.last_date', 'b.calendar_last_date') }}) as value,
    if(s.listed_till < b.calendar_last_date, 'info', 'warn') as status,
    if(s.listed_till < b.calendar_last_date, 'no longer listed', 'days without a bar') as detail
from by_symbol as b
left join {{ ref('stg_securities') }} as s on b.source = s.source and b.symbol = s.symbol
where b.last_date + 5 < b.calendar_last_date
