{%- set bars = before_build('intermediate', 'int_bars') %}
{%- set built = before_build('intermediate', 'int_built_files') %}
{%- set pending = before_build('intermediate', 'int_changed_bars') %}
{%- set complete = built and bars
    and before_build('intermediate', 'int_built_actions')
    and before_build('marts', 'fct_quotes')
    and before_build('marts', 'fct_features') %}

-- depends_on: {{ ref('int_changed_files') }} {{ ref('int_changed_actions') }}
{%- if complete %}

with files as (
    select * from {{ ref('int_changed_files') }}
),

years as (
    select distinct arrayJoin(range(toYear(first_date), toYear(last_date) + 1)) as year
    from files
    where is_changed
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
        toYear(trade_date) in (select year from years)
        and data_file in (
            select data_file
            from files
            where is_here
        )
),

warehouse as (
    select
        source,
        symbol,
        trade_date,
        {{ bar_hash() }} as bar_hash,
        -1 as side
    from {{ bars }}
    where
        toYear(trade_date) in (select year from years)
        and (
            (select countIf(not is_here) from files) > 0
            or (source, symbol, trade_date) in (select source, symbol, trade_date from lake)
        )
),

changes as (
    select
        source,
        symbol,
        trade_date,
        'bar' as kind
    from (
        select * from lake
        union all
        select * from warehouse
    )
    group by source, symbol, trade_date, bar_hash
    having sum(side) != 0
    union all
    select
        source,
        symbol,
        arrayJoin(split_dates) as trade_date,
        'split' as kind
    from {{ ref('int_changed_actions') }}
    where has_new_splits
    union all
    -- Splits and dividends adjust the whole history, without touching its returns.
    select
        source,
        symbol,
        {{ beginning() }} as trade_date,
        'adjustment' as kind
    from {{ ref('int_changed_actions') }}
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
        {{ beginning() }} as trade_date,
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
