{{ config(meta={'replaces': "{{ rows_since('quotes_from') }}"}) }}

-- depends_on: {{ ref('int_rebuild') }}
with bars as (
    select
        q.source as source,
        q.symbol as symbol,
        q.* except (source, symbol)
    from {{ ref('int_bars') }} as q
    {%- if is_incremental() %}
    inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
    where {{ since('quotes_from') }}
    {%- endif %}
),

-- What happens after a bar adjusts it; its own date's actions it shows already.
adjusted as (
    select
        b.source as source,
        b.symbol as symbol,
        b.* except (source, symbol),
        if(
            b.previous_date is null,
            0.,
            arraySum(
                (v, d) -> if(d > assumeNotNull(previous_date) and d <= trade_date, v, 0),
                a.dividend_amounts,
                a.dividend_dates
            )
        ) as dividend,
        {{ product('arrayMap(r -> 1 / r, a.split_ratios)', 'a.split_dates', 'd > trade_date') }}
            as split_factor,
        split_factor * {{ product('a.dividend_factors', 'a.dividend_dates', 'd > trade_date') }}
            as total_return_factor,
        a.splits_hash as splits_hash,
        a.dividends_hash as dividends_hash
    from bars as b
    left join {{ ref('int_actions') }} as a on b.source = a.source and b.symbol = a.symbol
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
    bar_number,
    previous_date,
    log_return,
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
    ifNull(abs(log_return) > {{ env_var('WEEKAHEAD_JUMP_LIMIT', '0.5') }}, false) as is_jump,
    log_index_e8,
    split_index_e4,
    splits_hash,
    dividends_hash,
    ingested_at
from adjusted
