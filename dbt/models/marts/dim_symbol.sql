{{ config(order_by='(source, symbol)') }}

with bars as (
    select
        source,
        symbol,
        argMax(y.currency, y.year) as currency,
        argMax(y.board, y.year) as board,
        minIf(y.first_traded, y.bars > 0) as first_date,
        maxIf(y.last_traded, y.bars > 0) as last_date,
        argMaxIf(y.last_close, y.year, y.bars > 0) as last_close,
        sum(y.bars) as bars,
        sum(y.splits) as splits,
        sum(y.dividends) as dividends
    from {{ ref('int_symbol_years') }} as y
    group by source, symbol
),

securities as (
    select * from {{ ref('stg_securities') }}
)

select
    b.source as source,
    b.symbol as symbol,
    coalesce(nullIf(s.name, ''), toString(b.symbol)) as name,
    coalesce(s.currency, b.currency) as currency,
    b.board as board,
    s.lot_size as lot_size,
    s.listed_from as listed_from,
    s.listed_till as listed_till,
    b.first_date as first_date,
    b.last_date as last_date,
    b.last_close as last_close,
    b.bars as bars,
    b.splits as splits,
    b.dividends as dividends
from bars as b
left join securities as s on b.source = s.source and b.symbol = s.symbol
