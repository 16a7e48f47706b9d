with source as (
    select *
    from {{ source('raw', 'securities') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        name,
        currency,
        lot_size,
        toDate32(listed_from) as listed_from,
        toDate32(listed_till) as listed_till
    from source
)

select * from renamed
{{ at_snapshot('raw.securities') }}
