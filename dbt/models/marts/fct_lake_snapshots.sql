{{ config(order_by='(table_name, committed_at)') }}

{#- What the catalog says about the lake's tables; lakehouse/warehouse/lake_snapshots.py writes it
    before each build. It follows the ledger's tables, so a build of these renews it, too:
    depends_on: {{ ref('stg_forecasts') }} -#}
with snapshots as (
    select *
    from {{ ref('int_lake_files').schema }}.lake_snapshots final
)

select
    table_name,
    snapshot_id,
    committed_at,
    toDate(committed_at) as committed_on,
    operation,
    new_rows,
    corrected_rows,
    total_rows,
    total_files,
    total_bytes,
    toBool(seen_at = max(seen_at) over ()) as is_kept,
    toBool(
        row_number() over (partition by table_name order by committed_at desc) = 1
    ) as is_current
from snapshots
