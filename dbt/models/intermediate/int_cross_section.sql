{{
    config(
        materialized='table',
        order_by='(source, symbol, trade_date)',
        partition_by='toYear(trade_date)',
    )
}}

with quotes as (
    select
        source,
        symbol,
        trade_date,
        bar_number,
        log_index_e8
    from {{ ref('fct_quotes') }}
    where is_traded
),

sums as (
    select
        *,
        sum(r * r) over bars as squares
    from (
        select
            *,
            log_index_e8 - lagInFrame(log_index_e8, 1, log_index_e8) over bars as r
        from quotes
        window bars as (
            partition by source, symbol
            order by trade_date
            rows between 1 preceding and current row
        )
    )
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between unbounded preceding and current row
    )
),

own as (
    select
        source,
        symbol,
        trade_date,
        {{ from_bar(2, change('log_index_e8', 1)) }} as ret_1,
        {{ from_bar(6, change('log_index_e8', 5)) }} as ret_5,
        {{ from_bar(22, change('log_index_e8', 21)) }} as ret_21,
        {{ from_bar(22, 'sqrt(' ~ variance(
            change('squares', 21), change('log_index_e8', 21), 21
        ) ~ ')') }} as volatility_21
    from sums
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between 21 preceding and current row
    )
)

select
    source,
    symbol,
    trade_date,
    {%- for n in (1, 5, 21) %}
    (ret_{{ n }} - sum(ret_{{ n }}) over by_date / count(ret_{{ n }}) over by_date) / 1e8
        as rel_ret_{{ n }},
    {%- endfor %}
    sum(ret_5) over by_date / count(ret_5) over by_date / 1e8 as market_ret_5,
    {%- for column in ('ret_5', 'ret_21', 'volatility_21') %}
    if(
        {{ column }} is null or count({{ column }}) over by_date < 2,
        null,
        (rank() over (partition by source, trade_date, {{ column }} is null order by {{ column }}) - 1)
        / (count({{ column }}) over by_date - 1)
    ) as rank_{{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from own
window by_date as (partition by source, trade_date)
