{{ config(query_settings=keep_join_order()) }}

with forecasts as (
    select
        source,
        symbol,
        as_of_date,
        horizon,
        model_name,
        model_version
    from {{ ref('stg_forecasts') }}
    where point is not null and last_close > 0
),

bars as (
    select
        source,
        symbol,
        trade_date,
        bar_number,
        assumeNotNull(close) as close,
        log_index_e8
    from {{ ref('int_bars') }}
    where
        is_traded
        -- Nothing before the first forecast matters, so that years are skipped.
        and trade_date >= (
            select min(as_of_date)
            from forecasts
            having count() > 0
        )
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
        -- In place of the drift that rows of the ledger from before it was kept there lack: the
        -- mean daily return up to then, shrunk towards none by a year of bars.
        b.log_index_e8 / 1e8 / (b.bar_number - 1 + 252) as estimated_drift
    from bars as b
    inner join forecasts as f
        on b.source = f.source and b.symbol = f.symbol and b.trade_date = f.as_of_date
),

measured as (
    select
        s.source as source,
        s.symbol as symbol,
        s.* except (source, symbol),
        v.volatility_21 as volatility_21
    from {{ ref('int_cross_section') }} as v
    inner join started as s
        on v.source = s.source and v.symbol = s.symbol and v.trade_date = s.as_of_date
    where
        v.trade_date >= (
            select min(as_of_date)
            from forecasts
            having count() > 0
        )
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
    s.estimated_drift as estimated_drift,
    s.volatility_21 as volatility_21,
    b.trade_date as realised_date,
    b.close * {{ product(
        'a.split_ratios', 'a.split_dates', 'd > s.as_of_date and d <= b.trade_date'
    ) }} as actual
from bars as b
inner join measured as s
    on b.source = s.source and b.symbol = s.symbol and b.bar_number = s.target_bar
left join {{ ref('int_actions') }} as a on b.source = a.source and b.symbol = a.symbol
