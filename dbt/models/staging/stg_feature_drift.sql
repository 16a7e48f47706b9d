with source as (
    select *
    from {{ source('ml', 'feature_drift') }}
),

renamed as (
    select
        measured_at,
        model_name,
        model_version,
        feature,
        statistic,
        p_value,
        drifted as is_drifted,
        reference_rows,
        current_rows
    from source
)

select * from renamed
{{ at_snapshot('ml.feature_drift') }}
