with source as (
    select *
    from {{ source('raw', 'calendar') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toDate32(trade_date) as trade_date,
        ifNull(is_open, false) as is_open,
        reason
    from source
)

select * from renamed
{{ at_snapshot('raw.calendar') }}
