-- Low <= open, close <= high, also after adjustment, in the rows that this build made. A product
-- rounds each price on its own.
{%- set slack = 1e-9 %}

select
    q.source as source,
    q.symbol as symbol,
    q.trade_date as trade_date,
    q.adjusted_open as adjusted_open,
    q.adjusted_high as adjusted_high,
    q.adjusted_low as adjusted_low,
    q.adjusted_close as adjusted_close
from {{ ref('fct_quotes') }} as q
inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
where
    q.is_traded
    and {{ since('quotes_from') }}
    and (
        q.adjusted_low > q.adjusted_close * (1 + {{ slack }})
        or q.adjusted_high < q.adjusted_close * (1 - {{ slack }})
        or q.adjusted_low > q.adjusted_open * (1 + {{ slack }})
        or q.adjusted_high < q.adjusted_open * (1 - {{ slack }})
    )
