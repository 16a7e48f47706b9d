{{
    config(
        materialized='table',
        engine='MergeTree()',
        order_by='(source, symbol, trade_date)',
        partition_by='toYear(trade_date)',
    )
}}

with quotes as (
    select * from {{ ref('stg_quotes') }}
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
        a.dividends_hash as dividends_hash
    from quotes as q
    left join {{ ref('int_actions') }} as a
        on q.source = a.source and q.symbol = a.symbol
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
        is_traded and place > 1 as has_previous,
        lag_date as previous_date,
        lag_close as previous_close,
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
        sum(log_return_e8) over traded as log_index_e8,
        sum(toInt64(round(log(split_ratio) * 1e4))) over traded
            as split_index_e4
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
    if(is_traded, toUInt32(place), 0) as bar_number,
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
    if(is_traded, log_index_e8, 0) as log_index_e8,
    if(is_traded, split_index_e4, 0) as split_index_e4,
    splits_hash,
    dividends_hash,
    ingested_at
from adjusted
