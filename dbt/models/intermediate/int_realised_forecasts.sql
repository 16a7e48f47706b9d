{{ config(query_settings=keep_join_order()) }}

{#- Nothing before the first forecast matters, so that years are skipped. -#}
{%- set first_forecast -%}
(
    select min(as_of_date)
    from {{ ref('fct_forecasts') }}
    having count() > 0
)
{%- endset -%}

with bars as (
    select
        source,
        symbol,
        trade_date,
        bar_number,
        assumeNotNull(close) as close,
        split_factor,
        log_index_e8
    from {{ ref('fct_quotes') }}
    where is_traded and trade_date >= {{ first_forecast }}
),

forecasts as (
    select
        source,
        symbol,
        as_of_date,
        horizon,
        model_name,
        model_version
    from {{ ref('fct_forecasts') }}
    where point is not null and last_close > 0
),

volatility as (
    select
        source,
        symbol,
        trade_date,
        volatility_21
    from {{ ref('fct_features') }}
    where trade_date >= {{ first_forecast }}
),

started as (
    select
        f.source as source,
        f.symbol as symbol,
        f.as_of_date as as_of_date,
        f.horizon as horizon,
        f.model_name as model_name,
        f.model_version as model_version,
        b.bar_number + f.horizon as target_bar,
        b.split_factor as as_of_factor,
        -- What drift would have said: the mean daily return up to then, shrunk towards none by a
        -- year of bars, because the mean of a short history is mostly noise.
        b.log_index_e8 / 1e8 / (b.bar_number - 1 + 252) as drift
    from bars as b
    inner join forecasts as f
        on b.source = f.source and b.symbol = f.symbol and b.trade_date = f.as_of_date
),

measured as (
    select
        s.source as source,
        s.symbol as symbol,
        s.as_of_date as as_of_date,
        s.horizon as horizon,
        s.model_name as model_name,
        s.model_version as model_version,
        s.target_bar as target_bar,
        s.as_of_factor as as_of_factor,
        s.drift as drift,
        v.volatility_21 as volatility_21
    from volatility as v
    inner join started as s
        on v.source = s.source and v.symbol = s.symbol and v.trade_date = s.as_of_date
)

-- The h-th bar after the as-of date, in the prices of the as-of date: a split in between changes
-- the price, not the value.
select
    s.source as source,
    s.symbol as symbol,
    s.as_of_date as as_of_date,
    s.horizon as horizon,
    s.model_name as model_name,
    s.model_version as model_version,
    s.drift as drift,
    s.volatility_21 as volatility_21,
    b.trade_date as realised_date,
    b.close * b.split_factor / s.as_of_factor as actual
from bars as b
inner join measured as s
    on b.source = s.source and b.symbol = s.symbol and b.bar_number = s.target_bar
