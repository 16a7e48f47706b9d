{{ config(order_by='(source, symbol)') }}

{#- The bars behind the widest figure, and calendar days that surely hold as many sessions. -#}
{% set widest = 252 %}
{% set days_read = 400 %}

with forecasts as (
    select
        source,
        symbol,
        as_of_date,
        expected_return,
        width_80,
        chance_up
    from {{ ref('fct_forecasts') }}
    where is_latest and horizon = 5
),

-- What a row says was known on its as-of date; without a forecast that is the last bar's.
symbols as (
    select
        s.source as source,
        s.symbol as symbol,
        s.name as name,
        s.currency as currency,
        s.last_date as last_date,
        s.last_close as last_close,
        f.expected_return as expected_return,
        f.width_80 as width_80,
        f.chance_up as chance_up,
        if(f.symbol != '', f.as_of_date, s.last_date) as as_of_date
    from {{ ref('dim_symbol') }} as s
    left join forecasts as f on s.source = f.source and s.symbol = f.symbol
),

-- The large table comes first in the join: the second one is held in memory.
bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.log_return as log_return,
        q.total_return_close as level,
        coalesce(q.value, q.close * q.volume) as turnover,
        row_number() over (
            partition by q.source, q.symbol
            order by q.trade_date desc
        ) - 1 as bars_back
    from {{ ref('fct_quotes') }} as q
    inner join symbols as s on q.source = s.source and q.symbol = s.symbol
    where
        q.is_traded
        and q.trade_date <= s.as_of_date
        and q.trade_date > s.as_of_date - {{ days_read }}
        -- The earliest date on its own lets whole files be skipped.
        and q.trade_date > (select min(as_of_date) from symbols) - {{ days_read }}
),

figures as (
    select
        source,
        symbol,
        if(
            countIf(log_return, bars_back < 21) = 21, stddevSampIf(log_return, bars_back < 21), null
        ) as volatility_21,
        {%- for n in (126, widest) %}
        -- Skips the last week, which tends to turn back.
        maxIf(level, bars_back = 5) / maxIf(level, bars_back = {{ n }}) - 1 as momentum_{{ n }}_5,
        {%- endfor %}
        {%- for n in (21, 63) %}
        quantileExactIf(0.5)(turnover, bars_back < {{ n }}) as turnover_{{ n }},  -- noqa: LT01
        {%- endfor %}
        count() as bars
    from bars
    group by source, symbol
),

findings as (
    select
        source,
        symbol,
        countIf(is_open) as open_findings,
        max(sets_aside) as is_set_aside
    from {{ ref('fct_findings') }}
    group by source, symbol
)

select
    s.source as source,
    s.symbol as symbol,
    s.name as name,
    s.currency as currency,
    s.last_date as last_date,
    s.last_close as last_close,
    s.as_of_date as as_of_date,
    s.expected_return as expected_return,
    s.width_80 as width_80,
    s.chance_up as chance_up,
    f.volatility_21 as volatility_21,
    f.momentum_126_5 as momentum_126_5,
    f.momentum_252_5 as momentum_252_5,
    f.turnover_21 as turnover_21,
    f.turnover_63 as turnover_63,
    g.open_findings as open_findings,
    cast(g.is_set_aside as Bool) as is_set_aside
from symbols as s
left join figures as f on s.source = f.source and s.symbol = f.symbol
left join findings as g on s.source = g.source and s.symbol = g.symbol
