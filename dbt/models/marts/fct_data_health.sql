{{ config(order_by='(metric, source, subject, day)') }}

{#- One row per finding: small queries over the marts, stacked. -#}
{%- set lake_tables = {
    'raw.quotes': 'stg_quotes',
    'raw.splits': 'stg_splits',
    'raw.dividends': 'stg_dividends',
    'raw.calendar': 'stg_calendar',
    'raw.securities': 'stg_securities',
    'raw.rejects': 'stg_rejects',
    'ml.forecasts': 'stg_forecasts',
} %}

with bars as (
    select * from {{ ref('fct_quotes') }}
),

by_symbol as (
    select
        y.source as source,
        y.symbol as symbol,
        min(y.first_date) as first_date,
        max(y.last_date) as last_date,
        groupBitmapMergeState(y.dates) as dates
    from {{ ref('int_symbol_years') }} as y
    group by source, symbol
),

by_source as (
    select
        y.source as source,
        max(y.last_date) as last_date
    from {{ ref('int_symbol_years') }} as y
    group by source
),

sessions as (
    select
        source,
        groupBitmapState(toUInt32(trade_date)) as dates
    from {{ ref('stg_calendar') }}
    where is_open and trade_date <= today()
    group by source
),

closed_days as (
    select
        source,
        groupBitmapState(toUInt32(trade_date)) as dates
    from {{ ref('stg_calendar') }}
    where not is_open
    group by source
),

-- A source without a calendar has nothing to be compared with, and no rows here.
against_calendar as (
    select
        b.source as source,
        b.symbol as symbol,
        b.last_date as last_date,
        arraySort(bitmapToArray(bitmapAndnot(
            bitmapSubsetInRange(
                s.dates, toUInt32(b.first_date), toUInt32(b.last_date) + 1
            ),
            b.dates
        ))) as missing
    from by_symbol as b
    inner join sessions as s on b.source = s.source
),

on_closed_days as (
    select
        b.source as source,
        b.symbol as symbol,
        b.last_date as last_date,
        arraySort(bitmapToArray(bitmapAnd(c.dates, b.dates))) as extra
    from by_symbol as b
    inner join closed_days as c on b.source = c.source
),

freshness as (
    select
        'sessions_behind' as metric,
        b.source as source,
        '' as subject,
        b.last_date as day,
        toFloat64(length(bitmapToArray(bitmapSubsetInRange(
            s.dates, toUInt32(b.last_date) + 1, toUInt32(today()) + 1
        )))) as value,
        if(value > 3, 'warn', 'ok') as status,
        concat('last bar on ', toString(b.last_date)) as detail
    from by_source as b
    inner join sessions as s on b.source = s.source
),

bars_per_day as (
    select
        'bars' as metric,
        source,
        '' as subject,
        trade_date as day,
        toFloat64(count()) as value,
        'ok' as status,
        concat(toString(countIf(not is_traded)), ' without trade') as detail
    from bars
    group by source, trade_date
),

bars_loaded as (
    select
        'bars_loaded' as metric,
        source,
        '' as subject,
        toDate(assumeNotNull(ingested_at)) as day,
        toFloat64(count()) as value,
        'ok' as status,
        concat(toString(uniqExact(symbol)), ' symbols') as detail
    from bars
    where ingested_at is not null
    group by source, day
),

rejects as (
    select
        'rejects' as metric,
        source,
        toString(rule) as subject,
        toDate(assumeNotNull(rejected_at)) as day,
        toFloat64(count()) as value,
        'warn' as status,
        any(concat(symbol, ' ', ifNull(toString(trade_date), ''), ': ', reason)) as detail
    from {{ ref('stg_rejects') }}
    where rejected_at is not null
    group by source, subject, day
),

gaps as (
    select
        'missing_sessions' as metric,
        source,
        toString(symbol) as subject,
        last_date as day,
        toFloat64(length(missing)) as value,
        'warn' as status,
        arrayStringConcat(arrayMap(d -> toString(toDate(d)), arraySlice(missing, 1, 5)), ', ')
            as detail
    from against_calendar
    where notEmpty(missing)
),

closed as (
    select
        'bars_on_closed_days' as metric,
        source,
        toString(symbol) as subject,
        last_date as day,
        toFloat64(length(extra)) as value,
        'warn' as status,
        arrayStringConcat(arrayMap(d -> toString(toDate(d)), arraySlice(extra, 1, 5)), ', ')
            as detail
    from on_closed_days
    where notEmpty(extra)
),

jumps as (
    select
        'jump' as metric,
        source,
        toString(symbol) as subject,
        trade_date as day,
        assumeNotNull(log_return) as value,
        'warn' as status,
        concat('close ', toString(assumeNotNull(close))) as detail
    from bars
    where is_jump
),

stale as (
    select
        'stale_symbol' as metric,
        b.source as source,
        toString(b.symbol) as subject,
        b.last_date as day,
        toFloat64(s.last_date - b.last_date) as value,
        if(c.listed_till < s.last_date, 'info', 'warn') as status,
        if(c.listed_till < s.last_date, 'no longer listed', 'days without a bar') as detail
    from by_symbol as b
    inner join by_source as s on b.source = s.source
    left join {{ ref('stg_securities') }} as c on b.source = c.source and b.symbol = c.symbol
    where b.last_date + 5 < s.last_date
),

lake_rows as (
    {%- for table, model in lake_tables.items() %}
    select
        'lake_rows' as metric,
        '' as source,
        '{{ table }}' as subject,
        today() as day,
        toFloat64(count()) as value,
        'ok' as status,
        'rows in the lake' as detail
    from {{ ref(model) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

lake_files as (
    select
        'lake_files' as metric,
        '' as source,
        'raw.quotes' as subject,
        today() as day,
        toFloat64(count()) as value,
        'ok' as status,
        'data files in the current snapshot' as detail
    from {{ ref('int_lake_files') }}
),

mart_bytes as (
    select
        'mart_bytes' as metric,
        '' as source,
        table as subject,
        today() as day,
        toFloat64(sum(parts.bytes_on_disk)) as value,
        'ok' as status,
        concat(toString(sum(parts.`rows`)), ' rows') as detail
    from system.parts as parts
    where active and database = '{{ this.schema }}' and table not like '%\\_\\_dbt\\_%'
    group by table
)

{% set findings = [
    'freshness', 'bars_per_day', 'bars_loaded', 'rejects', 'gaps', 'closed', 'jumps', 'stale',
    'lake_rows', 'lake_files', 'mart_bytes',
] -%}
{% for finding in findings -%}
select
    toLowCardinality(metric) as metric,
    toLowCardinality(toString(source)) as source,
    subject,
    day,
    value,
    toLowCardinality(status) as status,
    detail
from {{ finding }}
{{ 'union all' if not loop.last }}
{% endfor %}
