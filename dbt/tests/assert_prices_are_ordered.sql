-- Low <= open, close <= high, also after adjustment. A product rounds each price on its own.
{%- set slack = 1e-9 %}

select
    source,
    symbol,
    trade_date,
    adjusted_open,
    adjusted_high,
    adjusted_low,
    adjusted_close
from {{ ref('fct_quotes') }}
where
    is_traded
    and (
        adjusted_low > adjusted_close * (1 + {{ slack }})
        or adjusted_high < adjusted_close * (1 - {{ slack }})
        or adjusted_low > adjusted_open * (1 + {{ slack }})
        or adjusted_high < adjusted_open * (1 - {{ slack }})
    )
