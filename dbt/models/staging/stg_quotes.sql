with source as (
    select *, _path
    from {{ source('raw', 'quotes') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toDate32(trade_date) as trade_date,
        open,
        high,
        low,
        close,
        volume,
        value,
        toLowCardinality(currency) as currency,
        toLowCardinality(board) as board,
        load_id,
        ingested_at,
        _path as data_file
    from source
)

select * from renamed
{{ at_snapshot('raw.quotes') }}
