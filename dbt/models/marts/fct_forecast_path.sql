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
        close,
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

closes as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as day,
        -- In shares of the as-of date, as the forecasts are.
        q.close * q.split_factor / a.split_factor as close
    from quotes as q
    inner join made as m on q.source = m.source and q.symbol = m.symbol
    inner join as_of_shares as a on q.source = a.source and q.symbol = a.symbol
    where q.trade_date > m.as_of_date - {{ days_shown }}
),

-- The forecast starts at the last close, so that the lines meet.
path as (
    select
        source,
        symbol,
        day,
        close,
        null as point,
        null as lower_80,
        null as upper_80,
        null as lower_95,
        null as upper_95
    from closes
    union all
    select
        source,
        symbol,
        as_of_date as day,
        null as close,
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
        null as close,
        point,
        lower_80,
        upper_80,
        lower_95,
        upper_95
    from latest
    where target_date is not null
)

select
    p.source as source,
    p.symbol as symbol,
    p.day as day,
    m.as_of_date as as_of_date,
    toLowCardinality(m.model_name) as model_name,
    toLowCardinality(m.model_version) as model_version,
    m.is_simulated as is_simulated,
    max(p.close) as close,
    max(p.point) as point,
    max(p.lower_80) as lower_80,
    max(p.upper_80) as upper_80,
    max(p.lower_95) as lower_95,
    max(p.upper_95) as upper_95
from path as p
inner join made as m on p.source = m.source and p.symbol = m.symbol
group by source, symbol, day, as_of_date, model_name, model_version, is_simulated
