with source as (
    select *
    from {{ source('raw', 'splits') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toDate32(ex_date) as ex_date,
        ratio_before,
        ratio_after
    from source
)

select * from renamed
{{ at_snapshot('raw.splits') }}
