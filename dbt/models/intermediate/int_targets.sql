{{ config(materialized='view') }}

{%- set horizons = range(1, 6) %}

with bars as (
    select
        source,
        symbol,
        trade_date,
        assumeNotNull(close) as close,
        split_ratio,
        {{ daily_variance('r', 'range_e8', 'open_e8') }} as variance_e16
    from (
        select
            q.*,
            toInt64(round(ifNull(q.log_return, 0) * 1e8)) as r,
            {{ log_range('q') }} as range_e8,
            {{ log_open('q') }} as open_e8
        from {{ ref('int_bars') }} as q
    )
    where is_traded
),

ahead as (
    select
        source,
        symbol,
        trade_date,
        close,
        {%- for h in horizons %}
        leadInFrame(toNullable(trade_date), {{ h }}, null) over following
            as target_date_{{ h }},
        leadInFrame(close, {{ h }}, 0.) over following as close_{{ h }},
        leadInFrame(split_ratio, {{ h }}, 1.) over following as ratio_{{ h }},
        leadInFrame(variance_e16, {{ h }}, 0) over following
            as variance_{{ h }}_e16{{ ',' if not loop.last }}
        {%- endfor %}
    from bars
    window following as (
        partition by source, symbol
        order by trade_date
        rows between current row and {{ horizons | max }} following
    )
)

select
    source,
    symbol,
    trade_date,
    {%- for h in horizons %}
    if(
        target_date_{{ h }} is null,
        null,
        log(
            close_{{ h }}
            {%- for i in range(1, h + 1) %}
            * ratio_{{ i }}
            {%- endfor %}
            / close
        )
    ) as target_{{ h }},
    {%- endfor %}
    {%- for h in horizons %}
    if(
        target_date_{{ h }} is null,
        null,
        (
            variance_1_e16
            {%- for i in range(2, h + 1) %}
            + variance_{{ i }}_e16
            {%- endfor %}
        ) / 1e16
    ) as variance_{{ h }},
    {%- endfor %}
    {%- for h in horizons %}
    target_date_{{ h }}{{ ',' if not loop.last }}
    {%- endfor %}
from ahead
