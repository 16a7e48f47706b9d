with source as (
    select *
    from {{ source('ml', 'forecasts') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toDate32(as_of_date) as as_of_date,
        toUInt8(horizon) as horizon,
        toLowCardinality(model_name) as model_name,
        toLowCardinality(model_version) as model_version,
        toDate32(target_date) as target_date,
        last_close,
        point,
        lower_80,
        upper_80,
        lower_95,
        upper_95,
        drift_point,
        scale,
        rate_80,
        rate_95,
        chance_up,
        chance_move,
        move,
        feature_snapshot,
        ifNull(simulated, false) as is_simulated,
        made_at
    from source
)

select * from renamed
{{ at_snapshot('ml.forecasts') }}
