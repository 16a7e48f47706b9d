{{ config(order_by='decided_at', tags=['ledger']) }}

select
    assumeNotNull(decided_at) as decided_at,
    model_name,
    challenger_version,
    challenger_kind,
    champion_version,
    serving_version,
    is_promoted,
    is_dry_run,
    reason,
    relative_mae_last_price,
    relative_mae_drift,
    relative_mae_champion,
    p_value,
    window_start,
    window_end,
    challenger_scale,
    serving_kind,
    serving_scale,
    relative_pinball_reference,
    relative_pinball_champion,
    band_p_value,
    criterion
from {{ ref('stg_gate_decisions') }}
where decided_at is not null
