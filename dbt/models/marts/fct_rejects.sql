{{ config(order_by='(source, rule, rejected_at, symbol)') }}

select
    source,
    rule,
    symbol,
    trade_date,
    reason,
    toBool(startsWith(reason, 'kept')) as is_kept,
    payload,
    load_id,
    assumeNotNull(rejected_at) as rejected_at
from {{ ref('stg_rejects') }}
where rejected_at is not null
