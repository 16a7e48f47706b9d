{%- set forecast_columns = [
    'source', 'symbol', 'as_of_date', 'horizon', 'model_name', 'model_version', 'is_simulated',
    'target_date', 'last_close', 'point', 'lower_80', 'upper_80', 'lower_95', 'upper_95',
] %}

{{
    config(
        order_by='(source, symbol, as_of_date, horizon, model_version)',
        partition_by='toYear(as_of_date)',
    )
}}

with forecasts as (
    select
        * replace (assumeNotNull(last_close) as last_close, assumeNotNull(point) as point)
    from {{ ref('fct_forecasts') }} as f
    where f.point is not null and f.last_close > 0
),

bars as (
    select
        source,
        symbol,
        trade_date,
        bar_number,
        assumeNotNull(close) as close,
        split_factor,
        log_index_e8
    from {{ ref('fct_quotes') }}
    where is_traded
),

started as (
    select
        {%- for column in forecast_columns %}
        f.{{ column }} as {{ column }},
        {%- endfor %}
        b.bar_number + f.horizon as target_bar,
        b.split_factor as as_of_factor,
        -- What drift would have said: the mean daily return up to then, shrunk towards none by a
        -- year of bars, because the mean of a short history is mostly noise.
        b.log_index_e8 / 1e8 / (b.bar_number - 1 + 252) as mean_log_return
    from bars as b
    inner join forecasts as f
        on b.source = f.source and b.symbol = f.symbol and b.trade_date = f.as_of_date
),

-- The h-th bar after the as-of date, in the prices of the as-of date: a split in between
-- changes the price, not the value.
realised as (
    select
        {%- for column in forecast_columns %}
        s.{{ column }} as {{ column }},
        {%- endfor %}
        s.mean_log_return as mean_log_return,
        b.trade_date as realised_date,
        b.close * b.split_factor / s.as_of_factor as actual
    from bars as b
    inner join started as s
        on b.source = s.source and b.symbol = s.symbol and b.bar_number = s.target_bar
),

measured as (
    select
        *,
        last_close * exp(horizon * mean_log_return) as drift_point
    from realised
),

volatility as (
    select
        source,
        symbol,
        trade_date,
        volatility_21
    from {{ ref('fct_features') }}
    where (source, symbol, trade_date) in (select source, symbol, as_of_date from measured)
),

joined as (
    select
        {%- for column in forecast_columns %}
        m.{{ column }} as {{ column }},
        {%- endfor %}
        m.realised_date as realised_date,
        m.actual as actual,
        m.drift_point as drift_point,
        v.volatility_21 as volatility_21
    from measured as m
    left join volatility as v
        on m.source = v.source and m.symbol = v.symbol and m.as_of_date = v.trade_date
),

terciles as (
    select
        source,
        quantilesExact(1 / 3, 2 / 3)(volatility_21) as bounds
    from joined
    where volatility_21 is not null
    group by source
)

select
    j.source as source,
    j.symbol as symbol,
    j.as_of_date as as_of_date,
    j.horizon as horizon,
    j.model_name as model_name,
    j.model_version as model_version,
    j.is_simulated as is_simulated,
    j.target_date as target_date,
    j.realised_date as realised_date,
    j.last_close as last_close,
    j.point as point,
    j.lower_80 as lower_80,
    j.upper_80 as upper_80,
    j.lower_95 as lower_95,
    j.upper_95 as upper_95,
    j.actual as actual,
    j.point / j.last_close - 1 as expected_return,
    j.actual / j.last_close - 1 as actual_return,
    (j.point - j.actual) / j.last_close as error,
    abs(j.point - j.actual) / j.last_close as abs_error,
    abs(j.last_close - j.actual) / j.last_close as abs_error_last_price,
    abs(j.drift_point - j.actual) / j.last_close as abs_error_drift,
    j.actual between j.lower_80 and j.upper_80 as is_within_80,
    j.actual between j.lower_95 and j.upper_95 as is_within_95,
    (j.upper_80 - j.lower_80) / j.last_close as width_80,
    (j.upper_95 - j.lower_95) / j.last_close as width_95,
    sign(j.point - j.last_close) = sign(j.actual - j.last_close) as is_direction_right,
    j.actual > j.last_close as is_up,
    j.volatility_21 as volatility_21,
    toLowCardinality(multiIf(
        j.volatility_21 is null, 'unknown',
        j.volatility_21 <= t.bounds[1], 'low',
        j.volatility_21 <= t.bounds[2], 'middle',
        'high'
    )) as volatility_bucket
from joined as j
left join terciles as t on j.source = t.source
