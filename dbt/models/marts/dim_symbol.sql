{{ config(order_by='(source, symbol)') }}

with bars as (
    select
        source,
        symbol,
        argMax(currency, trade_date) as currency,
        argMax(board, trade_date) as board,
        minIf(trade_date, is_traded) as first_date,
        maxIf(trade_date, is_traded) as last_date,
        argMaxIf(close, trade_date, is_traded) as last_close,
        countIf(is_traded) as bars,
        countIf(is_split) as splits,
        countIf(dividend > 0) as dividends
    from {{ ref('fct_quotes') }}
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
