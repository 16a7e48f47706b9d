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
                trade_date >= {{ earliest_rebuild() }}
                and (source, symbol, trade_date) in (
                    select
                        q.source,
                        q.symbol,
                        q.trade_date
                    from {{ this }} as q
                    inner join {{ ref('int_rebuild') }} as r
                        on q.source = r.source and q.symbol = r.symbol
                    where
                        q.trade_date >= r.quotes_from
                        and q.trade_date >= {{ earliest_rebuild() }}
                )
            ",
        },
    )
}}

with rebuild as (
    select * from {{ ref('int_rebuild') }}
),

quotes as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date,
        q.open as open,
        q.high as high,
        q.low as low,
        q.close as close,
        q.volume as volume,
        q.value as value,
        q.currency as currency,
        q.board as board,
        q.ingested_at as ingested_at
    from {{ ref('stg_quotes') }} as q
    {%- if is_incremental() %}
    inner join rebuild as r on q.source = r.source and q.symbol = r.symbol
    where
        q.trade_date >= r.quotes_from
        -- The earliest date on its own lets whole files be skipped.
        and q.trade_date >= {{ earliest_rebuild() }}
    {%- endif %}
),

-- Each symbol's last bar before the rows that this build makes anew. A year back it is found for
-- most, without reading the whole history.
{% if is_incremental() -%}
recent_base as (
    {{ last_bars_before(this) }}
        and q.trade_date >= (
            select toDate(greatest(toInt32(min(quotes_from)) - 366, 0))
            from rebuild
            where quotes_from > toDate(0)
            having count() > 0
        )
    group by source, symbol
),

{% endif -%}
base as (
    {%- if is_incremental() %}
    select * from recent_base
    union all
    {{ last_bars_before(this) }}
        -- Few: new symbols, and those that did not trade for a year. They are found by their key.
        and (q.source, q.symbol) in (
            select
                source,
                symbol
            from rebuild
            where (source, symbol) not in (select source, symbol from recent_base)
        )
    group by source, symbol
    {%- else %}
    select
        source,
        symbol,
        toUInt32(0) as base_bars,
        toDate(0) as base_date,
        0. as base_close,
        toInt64(0) as base_log_index_e8,
        toInt64(0) as base_split_index_e4
    from rebuild
    where false
    {%- endif %}
),

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
        q.value as value,
        q.currency as currency,
        q.board as board,
        q.ingested_at as ingested_at,
        ifNull(q.close > 0, false) as is_traded,
        a.split_dates as split_dates,
        a.split_ratios as split_ratios,
        a.dividend_dates as dividend_dates,
        a.dividend_amounts as dividend_amounts,
        a.dividend_factors as dividend_factors,
        a.splits_hash as splits_hash,
        a.dividends_hash as dividends_hash,
        b.base_bars as base_bars,
        b.base_date as base_date,
        b.base_close as base_close,
        b.base_log_index_e8 as base_log_index_e8,
        b.base_split_index_e4 as base_split_index_e4
    from quotes as q
    left join {{ ref('int_actions') }} as a
        on q.source = a.source and q.symbol = a.symbol
    left join base as b
        on q.source = b.source and q.symbol = b.symbol
),

-- The bar before, among the bars on which there was trade.
ordered as (
    select
        *,
        row_number() over traded as place,
        lagInFrame(trade_date) over traded as lag_date,
        lagInFrame(assumeNotNull(close)) over traded as lag_close
    from bars
    window traded as (
        partition by source, symbol, is_traded
        order by trade_date
        rows between unbounded preceding and current row
    )
),

linked as (
    select
        *,
        is_traded and (place > 1 or base_bars > 0) as has_previous,
        if(place > 1, lag_date, base_date) as previous_date,
        if(place > 1, lag_close, base_close) as previous_close,
        if(
            has_previous,
            {{ product(
                'split_ratios', 'split_dates',
                'd > previous_date and d <= trade_date'
            ) }},
            1.
        ) as split_ratio,
        if(
            has_previous,
            arraySum(
                (v, d) -> if(d > previous_date and d <= trade_date, v, 0),
                dividend_amounts,
                dividend_dates
            ),
            0.
        ) as dividend,
        if(
            has_previous,
            toInt64(round(
                log(assumeNotNull(close) * split_ratio / previous_close) * 1e8
            )),
            0
        ) as log_return_e8
    from ordered
),

summed as (
    select
        *,
        sum(log_return_e8) over traded as sum_log_return_e8,
        sum(toInt64(round(log(split_ratio) * 1e4))) over traded
            as sum_log_split_e4
    from linked
    window traded as (
        partition by source, symbol, is_traded
        order by trade_date
        rows between unbounded preceding and current row
    )
),

adjusted as (
    select
        *,
        {{ product('arrayMap(r -> 1 / r, split_ratios)', 'split_dates', 'd > trade_date') }}
            as split_factor,
        split_factor * {{ product('dividend_factors', 'dividend_dates', 'd > trade_date') }}
            as total_return_factor
    from summed
)

select
    source,
    symbol,
    trade_date,
    open,
    high,
    low,
    close,
    volume,
    value,
    currency,
    board,
    is_traded,
    if(is_traded, toUInt32(base_bars + place), 0) as bar_number,
    if(has_previous, previous_date, null) as previous_date,
    if(has_previous, log_return_e8 / 1e8, null) as log_return,
    split_ratio,
    dividend,
    split_factor,
    total_return_factor,
    open * split_factor as adjusted_open,
    high * split_factor as adjusted_high,
    low * split_factor as adjusted_low,
    close * split_factor as adjusted_close,
    volume / split_factor as adjusted_volume,
    close * total_return_factor as total_return_close,
    split_ratio != 1 as is_split,
    abs(log_return_e8) > {{ env_var('WEEKAHEAD_JUMP_LIMIT', '0.5') }} * 1e8
        as is_jump,
    if(is_traded, base_log_index_e8 + sum_log_return_e8, 0) as log_index_e8,
    if(is_traded, base_split_index_e4 + sum_log_split_e4, 0) as split_index_e4,
    splits_hash,
    dividends_hash,
    ingested_at
from adjusted
