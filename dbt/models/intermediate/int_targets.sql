{{ config(materialized='view') }}

{%- set horizons = range(1, 6) %}

with bars as (
    select
        source,
        symbol,
        trade_date,
        assumeNotNull(close) as close,
        split_ratio
    from {{ ref('int_bars') }}
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
        leadInFrame(split_ratio, {{ h }}, 1.) over following
            as ratio_{{ h }}{{ ',' if not loop.last }}
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
    target_date_{{ h }}{{ ',' if not loop.last }}
    {%- endfor %}
from ahead
