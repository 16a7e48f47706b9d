{{ config(order_by='(measured_at, feature)', tags=['ledger']) }}

select
    assumeNotNull(measured_at) as measured_at,
    model_name,
    model_version,
    assumeNotNull(feature) as feature,
    statistic,
    p_value,
    is_drifted,
    reference_rows,
    current_rows
from {{ ref('stg_feature_drift') }}
where measured_at is not null and feature is not null
