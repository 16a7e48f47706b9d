{{ config(materialized='view') }}

{#- The widest window looks one bar further back: its first return starts there. -#}
{%- set widest = widest_window() %}

-- depends_on: {{ ref('int_first_bars') }}
with bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date,
        assumeNotNull(q.close) as close,
        q.bar_number as bar_number,
        q.log_index_e8 as log_index_e8,
        {{ log_range('q') }} as range_e8,
        {{ log_open('q') }} as open_e8,
        if(q.high > q.low, (q.close - q.low) / (q.high - q.low), null) as close_location,
        -- Volume in shares of the first bar: a split changes shares, not interest.
        if(q.volume > 0, toInt64(round(log(greatest(q.volume, 1)) * 1e4)) - q.split_index_e4, null)
            as volume_e4,
        if(
            q.bar_number > 1, {{ days_between('q.previous_date', 'q.trade_date') }}, null
        ) as days_since_previous
    from {{ ref('int_bars') }} as q
    {%- if before_build('marts', 'fct_features') %}
    inner join {{ ref('int_first_bars') }} as f on q.source = f.source and q.symbol = f.symbol
    where
        q.is_traded
        and {{ within_look_back(widest + 1) }}
    {%- else %}
    where q.is_traded
    {%- endif %}
),

returns as (
    select
        *,
        log_index_e8 - lagInFrame(log_index_e8, 1, log_index_e8) over bars as r
    from bars
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between 1 preceding and current row
    )
),

running as (
    select
        *,
        sum(log_index_e8) over bars as levels,
        sum(r * r) over bars as squares,
        sum({{ daily_variance('r', 'range_e8', 'open_e8') }}) over bars as variances,
        sum(greatest(r, 0)) over bars as gains,
        sum(ifNull(range_e8, 0)) over bars as ranges,
        count(range_e8) over bars as range_count,
        sum(ifNull(volume_e4, 0)) over bars as volumes,
        sum(ifNull(volume_e4 * volume_e4, 0)) over bars as volume_squares,
        count(volume_e4) over bars as volume_count,
        max(log_index_e8) over (
            partition by source, symbol
            order by trade_date
            rows between 62 preceding and current row
        ) as high_63
    from returns
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between unbounded preceding and current row
    )
),

windowed as (
    select
        *,
        {%- for n in (1, 5, 10, 14, 21, 63) %}
        {{ change('log_index_e8', n) }} as change_{{ n }},
        {%- endfor %}
        {{ lag('log_index_e8', 21) }} - {{ lag('log_index_e8', widest) }} as change_252_21,
        {%- for column, n in (
            ('squares', 5), ('squares', 63),
            ('gains', 14),
            ('levels', 12), ('levels', 21), ('levels', 26), ('levels', 63),
            ('ranges', 21), ('range_count', 21),
            ('variances', 1), ('variances', 5), ('variances', 21), ('variances', 63),
            ('variances', 252), ('volumes', 21), ('volume_squares', 21), ('volume_count', 21),
        ) %}
        {{ change(column, n) }} as {{ column }}_{{ n }},
        {%- endfor %}
        -- In units of 1e-8 / 312, the common denominator of both averages.
        26 * levels_12 - 12 * levels_26 as macd_raw
    from running
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between {{ widest }} preceding and current row
    )
)

select
    *,
    sum(macd_raw) over nine as macd_raw_9
from windowed
window nine as (
    partition by source, symbol
    order by trade_date
    rows between 8 preceding and current row
)
