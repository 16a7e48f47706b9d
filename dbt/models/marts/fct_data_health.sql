{{ config(order_by='(metric, source, subject, day)') }}

{#- One row per finding: small queries over the marts, stacked. -#}
{%- set lake_tables = ['quotes', 'splits', 'dividends', 'calendar', 'securities', 'rejects'] %}

with bars_per_day as (
    select
        'bars' as metric,
        source,
        '' as subject,
        trade_date as day,
        toFloat64(count()) as value,
        'ok' as status,
        concat(toString(countIf(not is_traded)), ' without trade') as detail
    from {{ ref('fct_quotes') }}
    group by source, trade_date
),

bars_loaded as (
    select
        'bars_loaded' as metric,
        source,
        '' as subject,
        toDate32(assumeNotNull(ingested_at)) as day,
        toFloat64(count()) as value,
        'ok' as status,
        concat(toString(uniqExact(symbol)), ' symbols') as detail
    from {{ ref('fct_quotes') }}
    where ingested_at is not null
    group by source, day
),

rejects as (
    select
        'rejects' as metric,
        source,
        toString(rule) as subject,
        toDate32(assumeNotNull(rejected_at)) as day,
        toFloat64(count()) as value,
        'warn' as status,
        any(concat(symbol, ' ', ifNull(toString(trade_date), ''), ': ', reason)) as detail
    from {{ ref('stg_rejects') }}
    where rejected_at is not null
    group by source, subject, day
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
    from {{ ref('fct_quotes') }}
    where is_jump
),

lake_rows as (
    {%- for name in lake_tables + ['forecasts'] %}
    select
        'lake_rows' as metric,
        '' as source,
        '{{ 'raw' if name in lake_tables else 'ml' }}.{{ name }}' as subject,
        toDate32(today()) as day,
        toFloat64(count()) as value,
        'ok' as status,
        'rows in the lake' as detail
    from {{ ref('stg_' ~ name) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

lake_files as (
    select
        'lake_files' as metric,
        '' as source,
        'raw.quotes' as subject,
        toDate32(today()) as day,
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
        toDate32(today()) as day,
        toFloat64(sum(parts.bytes_on_disk)) as value,
        'ok' as status,
        concat(toString(sum(parts.`rows`)), ' rows') as detail
    from system.parts as parts
    where active and database = '{{ this.schema }}' and table not like '%\\_\\_dbt\\_%'
    group by table
)

{% set findings = [
    ref('int_calendar_findings'), 'bars_per_day', 'bars_loaded', 'rejects', 'jumps',
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
