{{ config(order_by='(source, model_name, model_version, horizon, month, is_simulated)') }}

with accuracy as (
    select
        *,
        realised_date - (toDayOfMonth(realised_date) - 1) as month
    from {{ ref('fct_forecast_accuracy') }}
),

-- Does a higher forecast mean a higher return, among the symbols of one day?
daily_ic as (
    select
        source,
        model_name,
        model_version,
        is_simulated,
        horizon,
        as_of_date,
        any(month) as month,
        rankCorr(expected_return, actual_return) as rank_ic
    from accuracy
    group by source, model_name, model_version, is_simulated, horizon, as_of_date
    having count() >= 3 and uniqExact(expected_return) > 1 and uniqExact(actual_return) > 1
),

monthly_ic as (
    select
        source,
        model_name,
        model_version,
        is_simulated,
        horizon,
        month,
        avg(rank_ic) as rank_ic,
        count() as rank_ic_dates
    from daily_ic
    group by source, model_name, model_version, is_simulated, horizon, month
),

monthly as (
    select
        source,
        model_name,
        model_version,
        is_simulated,
        horizon,
        month,
        count() as forecasts,
        uniqExact(symbol) as symbols,
        avg(abs_error) as mae,
        avg(abs_error_last_price) as mae_last_price,
        avg(abs_error_drift) as mae_drift,
        sqrt(avg(error * error)) as rmse,
        avg(error) as bias,
        avg(is_within_80) as coverage_80,
        avg(is_within_95) as coverage_95,
        avg(width_80) as width_80,
        avg(width_95) as width_95,
        avg(is_direction_right) as hit_rate,
        avg(is_up) as up_share
    from accuracy
    group by source, model_name, model_version, is_simulated, horizon, month
)

select
    m.source as source,
    m.model_name as model_name,
    m.model_version as model_version,
    m.is_simulated as is_simulated,
    m.horizon as horizon,
    m.month as month,
    m.forecasts as forecasts,
    m.symbols as symbols,
    m.mae as mae,
    m.mae_last_price as mae_last_price,
    m.mae_drift as mae_drift,
    m.rmse as rmse,
    m.bias as bias,
    m.coverage_80 as coverage_80,
    m.coverage_95 as coverage_95,
    m.width_80 as width_80,
    m.width_95 as width_95,
    m.hit_rate as hit_rate,
    m.up_share as up_share,
    if(m.mae_last_price > 0, m.mae / m.mae_last_price, null) as relative_mae_last_price,
    if(m.mae_drift > 0, m.mae / m.mae_drift, null) as relative_mae_drift,
    if(i.rank_ic_dates > 0, i.rank_ic, null) as rank_ic,
    i.rank_ic_dates as rank_ic_dates
from monthly as m
left join monthly_ic as i
    on m.source = i.source
    and m.model_name = i.model_name
    and m.model_version = i.model_version
    and m.is_simulated = i.is_simulated
    and m.horizon = i.horizon
    and m.month = i.month
