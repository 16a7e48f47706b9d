{{
    config(
        materialized='incremental',
        incremental_strategy='delete_insert',
        unique_key='source, symbol, year',
        on_schema_change='fail',
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

select
    q.source as source,
    q.symbol as symbol,
    toYear(q.trade_date) as year,
    min(q.trade_date) as first_date,
    max(q.trade_date) as last_date,
    groupBitmapState(toUInt32(q.trade_date)) as dates,
    argMax(q.currency, q.trade_date) as currency,
    argMax(q.board, q.trade_date) as board,
    countIf(q.is_traded) as bars,
    minIf(q.trade_date, q.is_traded) as first_traded,
    maxIf(q.trade_date, q.is_traded) as last_traded,
    argMaxIf(q.close, q.trade_date, q.is_traded) as last_close,
    countIf(q.is_split) as splits,
    countIf(q.dividend > 0) as dividends
from {{ ref('fct_quotes') }} as q
{%- if is_incremental() %}
inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
where
    toYear(q.trade_date) >= toYear(r.quotes_from)
    -- The earliest date on its own lets whole years be skipped.
    and q.trade_date >= toStartOfYear({{ earliest_rebuild() }})
{%- else %}
-- depends_on: {{ ref('int_rebuild') }}
{%- endif %}
group by source, symbol, year
