-- A symbol from its own change on, and every symbol on a date whose comparison may differ.
select
    q.source as source,
    q.symbol as symbol,
    min(q.bar_number) as first_bar,
    min(q.trade_date) as first_date
from {{ ref('int_bars') }} as q
left join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
where
    q.is_traded
    and q.trade_date >= {{ earliest_changed_date() }}
    and (
        q.trade_date >= r.bars_from
        or (q.source, q.trade_date) in (
            select
                source,
                trade_date
            from {{ ref('int_changed_dates') }}
        )
    )
group by source, symbol
