with source as (
    select *
    from {{ source('raw', 'dividends') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toDate32(record_date) as record_date,
        amount,
        currency
    from source
)

select * from renamed
{{ at_snapshot('raw.dividends') }}
