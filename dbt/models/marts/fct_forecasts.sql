{{
    config(
        order_by='(source, symbol, as_of_date, horizon, model_version)',
        partition_by='toYear(as_of_date)',
        tags=['ledger'],
    )
}}

with forecasts as (
    select * from {{ ref('stg_forecasts') }}
),

latest as (
    select
        source,
        symbol,
        max((as_of_date, made_at)) as newest
    from forecasts
    group by source, symbol
)

select
    f.source as source,
    f.symbol as symbol,
    f.as_of_date as as_of_date,
    f.target_date as target_date,
    f.horizon as horizon,
    f.last_close as last_close,
    f.point as point,
    f.lower_80 as lower_80,
    f.upper_80 as upper_80,
    f.lower_95 as lower_95,
    f.upper_95 as upper_95,
    f.drift_point as drift_point,
    f.scale as scale,
    f.rate_80 as rate_80,
    f.rate_95 as rate_95,
    f.chance_up as chance_up,
    f.chance_move as chance_move,
    f.move as move,
    f.point / f.last_close - 1 as expected_return,
    (f.upper_80 - f.lower_80) / f.last_close as width_80,
    (f.upper_95 - f.lower_95) / f.last_close as width_95,
    f.model_name as model_name,
    f.model_version as model_version,
    f.feature_snapshot as feature_snapshot,
    f.is_simulated as is_simulated,
    f.made_at as made_at,
    f.as_of_date = l.newest.1 and f.made_at = l.newest.2 as is_latest
from forecasts as f
inner join latest as l on f.source = l.source and f.symbol = l.symbol
