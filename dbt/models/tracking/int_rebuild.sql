select
    source,
    symbol,
    min(trade_date) as quotes_from,
    minOrNullIf(trade_date, kind != 'adjustment') as bars_from
from {{ ref('int_changed_bars') }}
group by source, symbol
