{#- Lake files never change, so only the years of files that came or went can hold changes; and as
    long as none went, only the bars in those that came. -#}
{%- set built = before_build('intermediate', 'int_built_files') %}
{%- set quotes = before_build('marts', 'fct_quotes') %}
{%- set pending = before_build('intermediate', 'int_changed_bars') %}
{%- set complete = built and quotes and before_build('marts', 'fct_features') %}

{%- if complete %}

with files as (
    select * from {{ ref('int_lake_files') }}
),

came as (
    select * from files
    where data_file not in (select data_file from {{ built }})
),

went as (
    select * except (build_id) from {{ built }}
    where data_file not in (select data_file from files)
),

touched as (
    select distinct arrayJoin(range(toYear(first_date), toYear(last_date) + 1)) as year
    from (
        select * from came
        union all
        select * from went
    )
),

candidates as (
    select data_file from came
    union all
    select data_file from files
    where
        (select count() from went) > 0
        and hasAny(
            range(toYear(first_date), toYear(last_date) + 1),
            (select groupArray(year) from touched)
        )
),

lake as (
    select
        source,
        symbol,
        trade_date,
        {{ bar_hash() }} as bar_hash,
        1 as side
    from {{ ref('stg_quotes') }}
    where
        toYear(trade_date) in (select year from touched)
        and data_file in (select data_file from candidates)
),

warehouse as (
    select
        source,
        symbol,
        trade_date,
        {{ bar_hash() }} as bar_hash,
        -1 as side
    from {{ quotes }}
    where
        toYear(trade_date) in (select year from touched)
        and (
            (select count() from went) > 0
            or (source, symbol, trade_date) in (select source, symbol, trade_date from lake)
        )
),

different as (
    select
        source,
        symbol,
        trade_date
    from (
        select * from lake
        union all
        select * from warehouse
    )
    group by source, symbol, trade_date, bar_hash
    having sum(side) != 0
),

actions as (
    select * from {{ ref('int_actions') }}
),

applied as (
    select
        source,
        symbol,
        any(splits_hash) as splits_hash,
        any(dividends_hash) as dividends_hash
    from {{ quotes }}
    group by source, symbol
),

new_actions as (
    select
        b.source as source,
        b.symbol as symbol,
        b.splits_hash != a.splits_hash as has_new_splits,
        a.split_dates as split_dates
    from applied as b
    left join actions as a on b.source = a.source and b.symbol = a.symbol
    where b.splits_hash != a.splits_hash or b.dividends_hash != a.dividends_hash
),

-- Where a split was, and where one is now.
split_bars as (
    select
        source,
        symbol,
        arrayJoin(split_dates) as trade_date
    from new_actions
    where has_new_splits
    union all
    select
        source,
        symbol,
        trade_date
    from {{ quotes }}
    where
        is_split
        and (source, symbol) in (
            select
                source,
                symbol
            from new_actions
            where has_new_splits
        )
),

changes as (
    select
        *,
        'bar' as kind
    from different
    union all
    select
        *,
        'split' as kind
    from split_bars
    union all
    -- Splits and dividends adjust the whole history, without touching its returns.
    select
        source,
        symbol,
        toDate(0) as trade_date,
        'adjustment' as kind
    from new_actions
    {%- if pending %}
    union all
    -- Left over from a build that did not come to its end.
    select
        source,
        symbol,
        trade_date,
        kind
    from {{ pending }}
    where build_id not in (select build_id from {{ built }})
    {%- endif %}
)

{%- else %}

with changes as (
    select
        source,
        symbol,
        toDate(0) as trade_date,
        'everything' as kind
    from {{ ref('stg_quotes') }}
    group by source, symbol
)

{%- endif %}

select distinct
    source,
    symbol,
    trade_date,
    toLowCardinality(kind) as kind,
    '{{ invocation_id }}' as build_id
from changes
{%- if not complete %}
-- depends_on: {{ ref('int_lake_files') }} {{ ref('int_actions') }}
{%- endif %}
