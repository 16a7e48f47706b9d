with source as (
    select *
    from {{ source('ml', 'gate_decisions') }}
),

renamed as (
    select
        decided_at,
        model_name,
        challenger_version,
        challenger_kind,
        champion_version,
        serving_version,
        promoted as is_promoted,
        dry_run as is_dry_run,
        reason,
        relative_mae_last_price,
        relative_mae_drift,
        relative_mae_champion,
        p_value,
        toDate32(window_start) as window_start,
        toDate32(window_end) as window_end,
        challenger_scale,
        serving_kind,
        serving_scale,
        relative_pinball_reference,
        relative_pinball_champion,
        band_p_value,
        criterion
    from source
)

select * from renamed
{{ at_snapshot('ml.gate_decisions') }}
