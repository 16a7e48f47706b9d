{{
    config(
        order_by='(source, symbol, as_of_date, horizon, model_version)',
        partition_by='toYear(as_of_date)',
        query_settings=keep_join_order(),
    )
}}

with forecasts as (
    select * from {{ ref('fct_forecasts') }}
),

realised as (
    select * from {{ ref('int_realised_forecasts') }}
),

terciles as (
    select
        source,
        quantilesExact(1 / 3, 2 / 3)(volatility_21) as bounds  -- noqa: LT01
    from realised
    where volatility_21 is not null
    group by source
),

joined as (
    select
        f.source as source,
        f.symbol as symbol,
        f.as_of_date as as_of_date,
        f.horizon as horizon,
        f.model_name as model_name,
        f.model_version as model_version,
        f.is_simulated as is_simulated,
        f.target_date as target_date,
        r.realised_date as realised_date,
        assumeNotNull(f.last_close) as last_close,
        assumeNotNull(f.point) as point,
        f.lower_80 as lower_80,
        f.upper_80 as upper_80,
        f.lower_95 as lower_95,
        f.upper_95 as upper_95,
        r.actual as actual,
        -- What the drift candidate said, fitted on the same data as the model.
        ifNull(f.drift_point, f.last_close * exp(f.horizon * r.estimated_drift)) as drift_point,
        f.scale as scale,
        f.chance_up as chance_up,
        f.chance_move as chance_move,
        f.move as move,
        r.volatility_21 as volatility_21,
        t.bounds as bounds
    from forecasts as f
    inner join realised as r
        on
            f.source = r.source
            and f.symbol = r.symbol
            and f.as_of_date = r.as_of_date
            and f.horizon = r.horizon
            and f.model_name = r.model_name
            and f.model_version = r.model_version
    left join terciles as t on f.source = t.source
)

select
    source,
    symbol,
    as_of_date,
    horizon,
    model_name,
    model_version,
    is_simulated,
    target_date,
    realised_date,
    last_close,
    point,
    lower_80,
    upper_80,
    lower_95,
    upper_95,
    actual,
    point / last_close - 1 as expected_return,
    actual / last_close - 1 as actual_return,
    (point - actual) / last_close as error,
    abs(point - actual) / last_close as abs_error,
    abs(last_close - actual) / last_close as abs_error_last_price,
    assumeNotNull(abs(drift_point - actual) / last_close) as abs_error_drift,
    actual between lower_80 and upper_80 as is_within_80,
    actual between lower_95 and upper_95 as is_within_95,
    (upper_80 - lower_80) / last_close as width_80,
    (upper_95 - lower_95) / last_close as width_95,
    sign(point - last_close) = sign(actual - last_close) as is_direction_right,
    actual > last_close as is_up,
    scale,
    chance_up,
    chance_move,
    abs(log(actual / last_close)) > log1p(move) as is_move,
    volatility_21,
    toLowCardinality(multiIf(
        volatility_21 is null, 'unknown',
        volatility_21 <= bounds[1], 'low',
        volatility_21 <= bounds[2], 'middle',
        'high'
    )) as volatility_bucket
from joined
