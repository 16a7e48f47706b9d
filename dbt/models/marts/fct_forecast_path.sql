{{ config(order_by='(source, symbol, day)') }}

{#- A quarter of closes: with more, five forecast days could not be seen. -#}
{% set days_shown = 92 %}

with latest as (
    select *
    from {{ ref('fct_forecasts') }}
    where is_latest
),

made as (
    select
        source,
        symbol,
        any(as_of_date) as as_of_date,
        any(last_close) as last_close,
        any(model_name) as model_name,
        any(model_version) as model_version,
        any(is_simulated) as is_simulated
    from latest
    group by source, symbol
),

-- The large table comes first in each join: the second one is held in memory.
quotes as (
    select
        source,
        symbol,
        trade_date,
        open,
        high,
        low,
        close,
        volume,
        split_factor
    from {{ ref('fct_quotes') }}
    where
        is_traded
        -- The earliest date on its own lets whole files be skipped.
        and trade_date > (select min(as_of_date) from made) - {{ days_shown }}
),

as_of_shares as (
    select
        q.source as source,
        q.symbol as symbol,
        any(q.split_factor) as split_factor
    from quotes as q
    inner join made as m
        on q.source = m.source and q.symbol = m.symbol and q.trade_date = m.as_of_date
    group by source, symbol
),

bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as day,
        -- In shares of the as-of date, as the forecasts are.
        q.split_factor / a.split_factor as ratio,
        q.open * ratio as open,
        q.high * ratio as high,
        q.low * ratio as low,
        q.close * ratio as close,
        q.volume / ratio as volume
    from quotes as q
    inner join made as m on q.source = m.source and q.symbol = m.symbol
    inner join as_of_shares as a on q.source = a.source and q.symbol = a.symbol
    where q.trade_date > m.as_of_date - {{ days_shown }}
),

-- The forecast starts at the last close, so that the lines meet.
points as (
    select
        source,
        symbol,
        as_of_date as day,
        last_close as point,
        last_close as lower_80,
        last_close as upper_80,
        last_close as lower_95,
        last_close as upper_95
    from made
    union all
    select
        source,
        symbol,
        assumeNotNull(target_date) as day,
        point,
        lower_80,
        upper_80,
        lower_95,
        upper_95
    from latest
    where target_date is not null
),

-- Columns of the side that a day lacks are empty, for all of them may be.
path as (
    select * from bars
    full join points using (source, symbol, day)
)

select
    p.source as source,
    p.symbol as symbol,
    p.day as day,
    m.as_of_date as as_of_date,
    toLowCardinality(m.model_name) as model_name,
    toLowCardinality(m.model_version) as model_version,
    m.is_simulated as is_simulated,
    {%- for column in (
        'open', 'high', 'low', 'close', 'volume',
        'point', 'lower_80', 'upper_80', 'lower_95', 'upper_95',
    ) %}
    p.{{ column }} as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from path as p
inner join made as m on p.source = m.source and p.symbol = m.symbol
