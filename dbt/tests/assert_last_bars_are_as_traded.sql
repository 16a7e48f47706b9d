-- After the last split and dividend adjusted prices are the traded ones.
with last_actions as (
    select
        source,
        symbol,
        ifNull(maxOrNullIf(trade_date, is_split), {{ beginning() }}) as last_split,
        ifNull(maxOrNullIf(trade_date, is_split or dividend > 0), {{ beginning() }}) as last_action
    from {{ ref('fct_quotes') }}
    group by source, symbol
)

select
    q.source as source,
    q.symbol as symbol,
    q.trade_date as trade_date,
    q.split_factor as split_factor,
    q.total_return_factor as total_return_factor
from {{ ref('fct_quotes') }} as q
inner join last_actions as a on q.source = a.source and q.symbol = a.symbol
where
    q.is_traded
    and (
        (q.trade_date >= a.last_split and q.split_factor != 1)
        or (q.trade_date >= a.last_action and q.total_return_factor != 1)
    )
