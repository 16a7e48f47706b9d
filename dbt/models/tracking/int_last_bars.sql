{{ config(materialized='ephemeral') }}

{%- set bars = before_build('intermediate', 'int_bars') %}

{%- if bars %}

with rebuild as (
    select
        source,
        symbol,
        assumeNotNull(bars_from) as bars_from
    from {{ ref('int_rebuild') }}
    where bars_from > {{ beginning() }}
),

recent as (
    select
        q.source as source,
        q.symbol as symbol,
        max((q.trade_date, q.bar_number, q.close, q.log_index_e8, q.split_index_e4)) as bar
    from {{ bars }} as q
    inner join rebuild as r on q.source = r.source and q.symbol = r.symbol
    where
        q.is_traded
        and q.trade_date < r.bars_from
        -- A year back it is found for most, without reading the whole history.
        and q.trade_date >= (
            select min(bars_from) - 366
            from rebuild
            having count() > 0
        )
    group by source, symbol
),

-- Few: new symbols, and those that did not trade for a year. They are found by their key.
rare as (
    select
        q.source as source,
        q.symbol as symbol,
        max((q.trade_date, q.bar_number, q.close, q.log_index_e8, q.split_index_e4)) as bar
    from {{ bars }} as q
    inner join rebuild as r on q.source = r.source and q.symbol = r.symbol
    where
        q.is_traded
        and q.trade_date < r.bars_from
        and (q.source, q.symbol) in (
            select
                source,
                symbol
            from rebuild
            where (source, symbol) not in (select source, symbol from recent)
        )
    group by source, symbol
)

select
    source,
    symbol,
    bar.1 as last_date,
    bar.2 as bars,
    assumeNotNull(bar.3) as last_close,
    bar.4 as log_index_e8,
    bar.5 as split_index_e4
from (
    select * from recent
    union all
    select * from rare
)

{%- else %}

-- A build from scratch has nothing before it.
select
    source,
    symbol,
    {{ beginning() }} as last_date,
    toUInt32(0) as bars,
    0. as last_close,
    toInt64(0) as log_index_e8,
    toInt64(0) as split_index_e4
from {{ ref('int_rebuild') }}
where false

{%- endif %}
