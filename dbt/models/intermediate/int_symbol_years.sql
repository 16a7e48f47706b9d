{{
    config(
        materialized='incremental',
        unique_key='source, symbol, year',
        order_by='(source, symbol, year)',
        partition_by='year',
        meta={
            'replaces': "
                (source, symbol, year) in (
                    select
                        y.source,
                        y.symbol,
                        y.year
                    from {{ this }} as y
                    inner join {{ ref('int_rebuild') }} as r
                        on y.source = r.source and y.symbol = r.symbol
                    where y.year >= toYear(r.quotes_from)
                )
            ",
        },
    )
}}

-- depends_on: {{ ref('int_rebuild') }}
select
    q.source as source,
    q.symbol as symbol,
    toYear(q.trade_date) as year,
    min(q.trade_date) as first_date,
    max(q.trade_date) as last_date,
    groupBitmapState({{ day_number('q.trade_date') }}) as dates,
    argMax(q.currency, q.trade_date) as currency,
    argMax(q.board, q.trade_date) as board,
    countIf(q.is_traded) as bars,
    minIf(q.trade_date, q.is_traded) as first_traded,
    maxIf(q.trade_date, q.is_traded) as last_traded,
    argMaxIf(q.close, q.trade_date, q.is_traded) as last_close,
    countIf(q.split_ratio != 1) as splits,
    countIf(arrayExists(
        d -> d > q.previous_date and d <= q.trade_date, a.dividend_dates
    )) as dividends
from {{ ref('int_bars') }} as q
left join {{ ref('int_actions') }} as a on q.source = a.source and q.symbol = a.symbol
{%- if is_incremental() %}
inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
where
    toYear(q.trade_date) >= toYear(r.quotes_from)
    -- The earliest year on its own lets whole years be skipped.
    and toYear(q.trade_date) >= toYear({{ earliest('quotes_from') }})
{%- endif %}
group by source, symbol, year
