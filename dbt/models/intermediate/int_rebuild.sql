select
    source,
    symbol,
    min(trade_date) as quotes_from,
    minIf(trade_date, kind != 'adjustment') as features_from,
    countIf(kind != 'adjustment') > 0 as has_new_features
from {{ ref('int_changed_bars') }}
group by source, symbol
