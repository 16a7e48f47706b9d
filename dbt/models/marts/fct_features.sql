{{
    config(
        materialized='incremental',
        incremental_strategy='delete_insert',
        unique_key='source, symbol, trade_date',
        on_schema_change='fail',
        order_by='(source, symbol, trade_date)',
        partition_by='toYear(trade_date)',
        meta={
            'replaces': "
                trade_date >= {{ earliest_change() }}
                and ((source, trade_date) in (
                    select
                        source,
                        trade_date
                    from {{ ref('int_changed_dates') }}
                )
                or (source, symbol, trade_date) in (
                    select
                        f.source,
                        f.symbol,
                        f.trade_date
                    from {{ this }} as f
                    inner join {{ ref('int_rebuild') }} as r
                        on f.source = r.source and f.symbol = r.symbol
                    where
                        r.has_new_features
                        and f.trade_date >= r.features_from
                        and f.trade_date >= {{ earliest_change() }}
                ))
            ",
        },
    )
}}

{%- set look_back = 253 %}

with changed_dates as (
    select * from {{ ref('int_changed_dates') }}
),

rebuild as (
    select * from {{ ref('int_rebuild') }}
    where has_new_features
),

{% if is_incremental() -%}
-- The rows to make: all symbols on a changed date, and a changed symbol from its change on.
scope as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date,
        q.bar_number as bar_number
    from {{ ref('fct_quotes') }} as q
    left join rebuild as r on q.source = r.source and q.symbol = r.symbol
    where
        q.is_traded
        and q.trade_date >= {{ earliest_change() }}
        and (
            (q.source, q.trade_date) in (select source, trade_date from changed_dates)
            or (r.has_new_features and q.trade_date >= r.features_from)
        )
),

-- The first bar that each symbol needs: its windows reach back behind the first row to make.
first_bars as (
    select
        source,
        symbol,
        min(bar_number) as first_bar,
        min(trade_date) as first_date
    from scope
    group by source, symbol
),

{% endif -%}
bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date,
        q.open as open,
        q.high as high,
        q.low as low,
        q.close as close,
        q.volume as volume,
        q.bar_number as bar_number,
        q.previous_date as previous_date,
        q.log_index_e8 as log_index_e8,
        q.split_index_e4 as split_index_e4
    from {{ ref('fct_quotes') }} as q
    {%- if is_incremental() %}
    inner join first_bars as f on q.source = f.source and q.symbol = f.symbol
    {%- endif %}
    where
        {{ within_look_back(look_back) }}
),

quotes as (
    select
        source,
        symbol,
        trade_date,
        assumeNotNull(close) as close,
        bar_number,
        log_index_e8,
        toInt64(round(log(high / low) * 1e8)) as range_e8,
        toInt64(round(log(open / close) * 1e8)) as open_e8,
        if(high > low, (close - low) / (high - low), null) as close_location,
        -- Volume in shares of the first bar: a split changes shares, not interest.
        if(volume > 0, toInt64(round(log(volume) * 1e4)) - split_index_e4, null)
            as volume_e4,
        if(bar_number > 1, trade_date - previous_date, null) as days_since_previous
    from bars
),

returns as (
    select
        *,
        log_index_e8 - lagInFrame(log_index_e8, 1, log_index_e8) over bars as r
    from quotes
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
        {%- for n in (1, 5, 10, 21, 63) %}
        {{ change('log_index_e8', n) }} as change_{{ n }},
        {%- endfor %}
        {%- for n in (5, 21, 63) %}
        {{ change('squares', n) }} as squares_{{ n }},
        {%- endfor %}
        {{ lag('log_index_e8', 21) }} - {{ lag('log_index_e8', 252) }} as change_252_21,
        {{ change('gains', 14) }} as gains_14,
        {{ change('log_index_e8', 14) }} as change_14,
        {%- for n in (12, 21, 26, 63) %}
        {{ change('levels', n) }} as levels_{{ n }},
        {%- endfor %}
        {{ change('ranges', 21) }} as ranges_21,
        {{ change('range_count', 21) }} as range_count_21,
        {{ change('volumes', 21) }} as volumes_21,
        {{ change('volume_squares', 21) }} as volume_squares_21,
        {{ change('volume_count', 21) }} as volume_count_21,
        -- In units of 1e-8 / 312, the common denominator of both averages.
        26 * levels_12 - 12 * levels_26 as macd_raw
    from running
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between 252 preceding and current row
    )
),

signalled as (
    select
        *,
        sum(macd_raw) over nine as macd_raw_9
    from windowed
    window nine as (
        partition by source, symbol
        order by trade_date
        rows between 8 preceding and current row
    )
),

cross_section as (
    select * from {{ ref('int_cross_section') }}
    {%- if is_incremental() %}
    where trade_date >= {{ earliest_change() }}
    {%- endif %}
)

select
    source,
    symbol,
    trade_date,
    close,
    bar_number,
    {%- for n in (1, 5, 10, 21, 63) %}
    {{ from_bar(n + 1, 'change_%d / 1e8' % n) }} as ret_{{ n }},
    {%- endfor %}
    {{ from_bar(253, 'change_252_21 / 1e8') }} as momentum_252_21,
    {%- for n in (5, 21, 63) %}
    {{ from_bar(
        n + 1,
        'sqrt(' ~ variance('squares_%d' % n, 'change_%d' % n, n) ~ ') / 1e8'
    ) }} as volatility_{{ n }},
    {%- endfor %}
    range_e8 / 1e8 as range_1,
    {{ from_bar(21, 'if(range_count_21 > 0, ranges_21 / range_count_21 / 1e8, null)') }}
        as range_21,
    {{ from_bar(2, '(change_1 + open_e8) / 1e8') }} as gap_1,
    close_location,
    {{ from_bar(
        15,
        'if(2 * gains_14 = change_14, null, gains_14 / (2 * gains_14 - change_14))'
    ) }} as rsi_14,
    {{ from_bar(26, 'macd_raw / 312 / 1e8') }} as macd,
    {{ from_bar(34, '(9 * macd_raw - macd_raw_9) / 9 / 312 / 1e8') }}
        as macd_histogram,
    {{ from_bar(21, '(21 * log_index_e8 - levels_21) / 21 / 1e8') }} as sma_ratio_21,
    {{ from_bar(63, '(63 * log_index_e8 - levels_63) / 63 / 1e8') }} as sma_ratio_63,
    {{ from_bar(63, '(log_index_e8 - high_63) / 1e8') }} as high_ratio_63,
    if(
        bar_number >= 21 and volume_count_21 >= 15
        and volume_count_21 * volume_squares_21 > volumes_21 * volumes_21,
        (volume_count_21 * volume_e4 - volumes_21) / volume_count_21
        / sqrt(
            (volume_count_21 * volume_squares_21 - volumes_21 * volumes_21)
            / volume_count_21
            / (volume_count_21 - 1)
        ),
        null
    ) as volume_z_21,
    x.rel_ret_1 as rel_ret_1,
    x.rel_ret_5 as rel_ret_5,
    x.rel_ret_21 as rel_ret_21,
    x.market_ret_5 as market_ret_5,
    x.rank_ret_5 as rank_ret_5,
    x.rank_ret_21 as rank_ret_21,
    x.rank_volatility_21 as rank_volatility_21,
    toNullable(toFloat64(toDayOfWeek(trade_date))) as day_of_week,
    toNullable(toFloat64(toMonth(trade_date))) as month,
    toFloat64(days_since_previous) as days_since_previous
from signalled
left join cross_section as x using (source, symbol, trade_date)
{%- if is_incremental() %}
where (source, symbol, trade_date) in (select source, symbol, trade_date from scope)
{%- endif %}
