with source as (
    select *
    from {{ source('raw', 'symbol_calendars') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toLowCardinality(ifNull(calendar, '')) as calendar
    from source
)

select * from renamed
{{ at_snapshot('raw.symbol_calendars') }}
