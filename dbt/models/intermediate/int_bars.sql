{{ config(meta={'replaces': "{{ rows_since('bars_from') }}"}) }}

-- depends_on: {{ ref('int_rebuild') }}
with quotes as (
    select
        q.source as source,
        q.symbol as symbol,
        q.* except (source, symbol, load_id, data_file),
        ifNull(q.close > 0, false) as is_traded
    from {{ ref('stg_quotes') }} as q
    {%- if is_incremental() %}
    inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
    where {{ since('bars_from') }}
    {%- endif %}
),

-- The bar before, among the bars on which there was trade.
ordered as (
    select
        *,
        row_number() over traded as place,
        lagInFrame(trade_date) over traded as lag_date,
        lagInFrame(assumeNotNull(close)) over traded as lag_close
    from quotes
    window traded as (
        partition by source, symbol, is_traded
        order by trade_date
        rows between unbounded preceding and current row
    )
),

linked as (
    select
        q.source as source,
        q.symbol as symbol,
        q.* except (source, symbol, lag_date, lag_close),
        a.split_dates as split_dates,
        a.split_ratios as split_ratios,
        b.bars as bars_before,
        b.log_index_e8 as log_index_before,
        b.split_index_e4 as split_index_before,
        q.is_traded and (q.place > 1 or b.bars > 0) as has_previous,
        if(q.place > 1, q.lag_date, b.last_date) as last_date,
        if(q.place > 1, q.lag_close, b.last_close) as last_close
    from ordered as q
    left join {{ ref('int_actions') }} as a on q.source = a.source and q.symbol = a.symbol
    left join {{ ref('int_last_bars') }} as b on q.source = b.source and q.symbol = b.symbol
),

returns as (
    select
        *,
        if(
            has_previous,
            {{ product('split_ratios', 'split_dates', 'd > last_date and d <= trade_date') }},
            1.
        ) as split_ratio,
        if(
            has_previous,
            toInt64(round(log(assumeNotNull(close) * split_ratio / last_close) * 1e8)),
            0
        ) as log_return_e8
    from linked
),

summed as (
    select
        *,
        sum(log_return_e8) over traded as log_index_since,
        sum(toInt64(round(log(split_ratio) * 1e4))) over traded as split_index_since
    from returns
    window traded as (
        partition by source, symbol, is_traded
        order by trade_date
        rows between unbounded preceding and current row
    )
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
    if(is_traded, toUInt32(bars_before + place), 0) as bar_number,
    if(has_previous, last_date, null) as previous_date,
    if(has_previous, log_return_e8 / 1e8, null) as log_return,
    split_ratio,
    if(is_traded, log_index_before + log_index_since, 0) as log_index_e8,
    if(is_traded, split_index_before + split_index_since, 0) as split_index_e4,
    ingested_at
from summed
