{{
    config(
        meta={'replaces': "(({{ on_changed_dates() }}) or ({{ rows_since('bars_from') }}))"},
        query_settings={'join_algorithm': 'full_sorting_merge'},
    )
}}

-- Both sides of the join are as long as the history and sorted by its key: they are merged, without
-- a table of one of them in memory.

-- depends_on: {{ ref('int_rebuild') }} {{ ref('int_changed_dates') }}
with cross_section as (
    select * from {{ ref('int_cross_section') }}
    {%- if is_incremental() %}
    where trade_date >= {{ earliest_changed_date() }}
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
    {{ from_bar(widest_window() + 1, 'change_252_21 / 1e8') }} as momentum_252_21,
    {{ from_bar(6, 'sqrt(' ~ variance('squares_5', 'change_5', 5) ~ ') / 1e8') }}
        as volatility_5,
    x.volatility_21 as volatility_21,
    {{ from_bar(64, 'sqrt(' ~ variance('squares_63', 'change_63', 63) ~ ') / 1e8') }}
        as volatility_63,
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
    toFloat64(days_since_previous) as days_since_previous,
    {%- for n in (1, 5, 21, 63, 252) %}
    {{ log_variance('variances_%d' % n, n) }} as log_variance_{{ n }},
    {%- endfor %}
    x.market_log_variance_1 as market_log_variance_1,
    x.market_log_variance_5 as market_log_variance_5,
    x.market_log_variance_21 as market_log_variance_21
from {{ ref('int_bar_windows') }}
left join cross_section as x using (source, symbol, trade_date)
{%- if is_incremental() %}
left join {{ ref('int_rebuild') }} as r using (source, symbol)
-- The rest of the bars are there for the windows to reach back to.
where
    trade_date >= r.bars_from
    or (source, trade_date) in (select source, trade_date from {{ ref('int_changed_dates') }})
{%- endif %}
