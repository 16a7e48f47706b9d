with acting as (
    select
        source,
        symbol,
        ex_date
    from {{ ref('int_splits') }}
    union all
    select
        source,
        symbol,
        ex_date
    from {{ ref('int_dividends') }}
),

last_bars as (
    select
        source,
        symbol,
        max(trade_date) as last_date
    from {{ ref('stg_quotes') }}
    where
        close > 0
        -- Most symbols have no action, and nothing happens before the first one.
        and (source, symbol) in (select source, symbol from acting)
        and trade_date >= (
            select min(ex_date)
            from acting
            having count() > 0
        )
    group by source, symbol
),

-- What is announced for after the last bar does not adjust anything yet.
splits as (
    select
        s.source as source,
        s.symbol as symbol,
        arraySort(groupArray((s.ex_date, s.ratio))) as splits
    from {{ ref('int_splits') }} as s
    inner join last_bars as b on s.source = b.source and s.symbol = b.symbol
    where s.ex_date <= b.last_date
    group by source, symbol
),

dividends as (
    select
        d.source as source,
        d.symbol as symbol,
        arraySort(groupArray((d.ex_date, d.amount, d.factor))) as dividends
    from {{ ref('int_dividends') }} as d
    inner join last_bars as b on d.source = b.source and d.symbol = b.symbol
    where d.ex_date <= b.last_date
    group by source, symbol
),

by_symbol as (
    select
        source,
        symbol,
        splits,
        [] as dividends
    from splits
    union all
    select
        source,
        symbol,
        [] as splits,
        dividends
    from dividends
),

gathered as (
    select
        source,
        symbol,
        groupArrayArray(splits) as splits,
        groupArrayArray(dividends) as dividends
    from by_symbol
    group by source, symbol
)

select
    source,
    symbol,
    arrayMap(x -> x.1, splits) as split_dates,
    arrayMap(x -> x.2, splits) as split_ratios,
    arrayMap(x -> x.1, dividends) as dividend_dates,
    arrayMap(x -> x.2, dividends) as dividend_amounts,
    arrayMap(x -> x.3, dividends) as dividend_factors,
    if(empty(splits), 0, cityHash64(splits)) as splits_hash,
    if(empty(dividends), 0, cityHash64(dividends)) as dividends_hash
from gathered
