with source as (
    select *
    from {{ source('raw', 'rejects') }}
),

renamed as (
    select
        toLowCardinality(ifNull(source, '')) as source,
        toLowCardinality(ifNull(symbol, '')) as symbol,
        toDate32(trade_date) as trade_date,
        toLowCardinality(ifNull(rule, 'unknown')) as rule,
        ifNull(reason, '') as reason,
        ifNull(payload, '') as payload,
        load_id,
        rejected_at
    from source
)

select * from renamed
{{ at_snapshot('raw.rejects') }}
