with overrides as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        record_date,
        amount
    from {{ ref('dividend_overrides') }}
),

reported as (
    select
        source,
        symbol,
        record_date,
        assumeNotNull(amount) as amount
    from {{ ref('stg_dividends') }}
    where
        amount > 0
        and (source, symbol, record_date) not in (
            select
                source,
                symbol,
                record_date
            from overrides
        )
        -- A dividend with an open finding must not distort the total return.
        and (source, symbol, record_date) not in (
            select
                source,
                symbol,
                first_date
            from {{ ref('stg_findings') }}
            where rule = 'dividend_out_of_proportion' and state = 'open'
        )
),

ex_dates as (
    select
        source,
        symbol,
        {{ ex_date('source', 'record_date') }} as ex_date,
        sum(paid.amount) as amount
    from (
        select * from reported
        union all
        select * from overrides
    ) as paid
    where paid.amount > 0
    group by source, symbol, ex_date
),

closes as (
    select
        source,
        symbol,
        trade_date,
        assumeNotNull(close) as close
    from {{ ref('stg_quotes') }}
    where close > 0
    {#- Read the bars of paying symbols only, and none if there are no dividends. #}
    and (source, symbol) in (select source, symbol from ex_dates)
    and trade_date < (
        select max(ex_date)
        from ex_dates
        having count() > 0
    )
),

-- To each bar the next dividend after it; the last such bar is the one before the ex-date.
next_dividend as (
    select
        closes.source as source,
        closes.symbol as symbol,
        ex_dates.ex_date as ex_date,
        any(ex_dates.amount) as amount,
        max(closes.trade_date) as date_before,
        argMax(closes.close, closes.trade_date) as last_close
    from closes  -- noqa: AL01, AL05
    asof inner join ex_dates  -- noqa: AL01, AL05
        on closes.source = ex_dates.source
        and closes.symbol = ex_dates.symbol
        and closes.trade_date < ex_dates.ex_date
    group by source, symbol, ex_date
),

splits as (
    select
        source,
        symbol,
        groupArray(ex_date) as dates,
        groupArray(ratio) as ratios
    from {{ ref('int_splits') }}
    group by source, symbol
),

-- A dividend is paid per share of its ex-date, on which the shares may have been split as well.
restated as (
    select
        n.source as source,
        n.symbol as symbol,
        n.ex_date as ex_date,
        n.amount as amount,
        n.last_close
        / {{ product('s.ratios', 's.dates', 'd > date_before and d <= ex_date') }}
            as close_before
    from next_dividend as n
    left join splits as s on n.source = s.source and n.symbol = s.symbol
)

select
    source,
    symbol,
    ex_date,
    amount,
    close_before,
    -- A payment of the whole price or more is an error of the source, not a return.
    if(amount < close_before, 1 - amount / close_before, 1.) as factor
from restated
