{{
    config(
        order_by='(source, strategy, is_simulated, as_of_date)',
        query_settings=keep_join_order(),
    )
}}

{%- set days = range(1, 6) %}

-- What was said, not what came of it, decides who is held: a symbol that is delisted stays in.
with said as (
    select
        source,
        symbol,
        as_of_date,
        is_simulated,
        model_name,
        model_version,
        expected_return
    from {{ ref('fct_forecasts') }}
    where
        horizon = 5 and point > 0 and last_close > 0
        and symbol not in {{ benchmarks() }}
    order by made_at desc
    limit 1 by source, symbol, as_of_date, is_simulated
),

ranked as (
    select
        *,
        row_number() over (
            partition by source, as_of_date, is_simulated
            order by expected_return desc, symbol asc
        ) as place,
        count() over (partition by source, as_of_date, is_simulated) as symbols
    from said
),

-- After its last bar a symbol is worth what it was worth then.
outcomes as (
    select
        source,
        symbol,
        as_of_date,
        model_name,
        model_version,
        max(horizon) as days_known,
        {%- for k in days %}
        argMaxIf(actual_return, horizon, horizon <= {{ k }}) as return_{{ k }},
        {%- endfor %}
        max(realised_date) as last_date
    from {{ ref('fct_forecast_accuracy') }}
    group by source, symbol, as_of_date, model_name, model_version
),

held as (
    select
        r.source as source,
        r.symbol as symbol,
        r.as_of_date as as_of_date,
        r.is_simulated as is_simulated,
        o.* except (source, symbol, as_of_date, model_name, model_version, days_known),
        max(o.days_known) over (
            partition by r.source, r.as_of_date, r.is_simulated
        ) as days_known,
        arrayJoin(arrayFilter(s -> s != '', [
            'market',
            if(r.place <= greatest(intDiv(r.symbols, 5), 1), 'top', ''),
            if(r.place > r.symbols - greatest(intDiv(r.symbols, 5), 1), 'bottom', '')
        ])) as strategy
    from ranked as r
    left join outcomes as o
        on
            r.source = o.source
            and r.symbol = o.symbol
            and r.as_of_date = o.as_of_date
            and r.model_name = o.model_name
            and r.model_version = o.model_version
    where r.symbols >= 2
),

sessions as (
    {{ numbered_sessions() }}
),

cohorts as (
    select
        source,
        strategy,
        is_simulated,
        as_of_date,
        groupUniqArray(symbol) as members,
        {%- for k in days %}
        avg(1 + return_{{ k }}) as value_{{ k }},
        {%- endfor %}
        max(days_known) as days_known
    from held
    group by source, strategy, is_simulated, as_of_date
    -- The five days are over, at least for one symbol of the date.
    having days_known = 5
)

select
    c.source as source,
    toLowCardinality(c.strategy) as strategy,
    c.is_simulated as is_simulated,
    c.as_of_date as as_of_date,
    s.session as session,
    toUInt32(length(c.members)) as symbols,
    c.members as members,
    {%- for k in days %}
    c.value_{{ k }} as value_{{ k }}{{ ',' if not loop.last }}
    {%- endfor %}
from cohorts as c
inner join sessions as s on c.source = s.source and c.as_of_date = s.trade_date
