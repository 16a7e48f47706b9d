{%- set built = before_build('intermediate', 'int_built_set_aside') %}

-- depends_on: {{ ref('int_set_aside') }}
with changes as (
    select *
    from {{ ref('int_changed_bars') }}
    where kind != 'adjustment'
),

-- A build from scratch that did not come to its end left everything to do.
scratch as (
    select
        source,
        symbol
    from changes
    where kind = 'everything'
),

bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date
    from {{ ref('int_bars') }} as q
    inner join {{ ref('int_rebuild') }} as r
        on q.source = r.source and q.symbol = r.symbol
    where
        q.is_traded
        and {{ since('bars_from') }}
),

events as (
    select
        source,
        symbol,
        trade_date,
        1 as is_bar
    from bars
    where (source, symbol) not in (select source, symbol from scratch)
    union all
    select
        source,
        symbol,
        trade_date,
        0 as is_bar
    from changes
    where kind != 'everything'
),

counted as (
    select
        *,
        sum(is_bar) over so_far as bars_so_far
    from events
    window so_far as (
        partition by source, symbol
        order by trade_date, is_bar
        rows between unbounded preceding and current row
    )
),

-- How many bars ago the symbol's last change was.
measured as (
    select
        source,
        trade_date,
        is_bar,
        bars_so_far - max(if(is_bar = 0, bars_so_far, 0)) over so_far as bars_since
    from counted
    window so_far as (
        partition by source, symbol
        order by trade_date, is_bar
        rows between unbounded preceding and current row
    )
)

select distinct
    source,
    trade_date
from (
    select
        source,
        trade_date
    from measured
    where is_bar = 0 or bars_since <= {{ widest_comparison() + 1 }}
    union all
    select
        source,
        trade_date
    from bars
    where (source, symbol) in (select source, symbol from scratch)
    {%- if built %}
    union all
    -- A finding takes its symbol out of the comparison, or its end lets it in again.
    select
        q.source as source,
        q.trade_date as trade_date
    from {{ ref('int_bars') }} as q
    inner join (
        select
            source,
            min(since) as since
        from (
            select
                source,
                symbol,
                since
            from (
                select * from {{ ref('int_set_aside') }}
                union all
                select * from {{ built }}
            )
            group by source, symbol, since
            having count() = 1
        )
        group by source
    ) as c on q.source = c.source
    where q.is_traded and q.trade_date >= c.since
    {%- endif %}
)
