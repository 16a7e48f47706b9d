{{ config(meta={'replaces': '{{ on_changed_dates() }}'}) }}

{%- set widest = widest_comparison() %}

-- depends_on: {{ ref('int_first_bars') }} {{ ref('int_changed_dates') }}
with quotes as (
    select
        q.source as source,
        q.symbol as symbol,
        q.trade_date as trade_date,
        q.bar_number as bar_number,
        q.log_index_e8 as log_index_e8,
        {{ log_range('q') }} as range_e8,
        {{ log_open('q') }} as open_e8
    from {{ ref('int_bars') }} as q
    {%- if is_incremental() %}
    inner join {{ ref('int_first_bars') }} as f on q.source = f.source and q.symbol = f.symbol
    {%- endif %}
    where
        q.is_traded
        {%- if is_incremental() %}
        and {{ within_look_back(widest + 1) }}
        and q.trade_date <= (select max(trade_date) from {{ ref('int_changed_dates') }})
        {%- endif %}
),

sums as (
    select
        *,
        sum(r * r) over bars as squares,
        sum({{ daily_variance('r', 'range_e8', 'open_e8') }}) over bars as variances
    from (
        select
            *,
            log_index_e8 - lagInFrame(log_index_e8, 1, log_index_e8) over bars as r
        from quotes
        window bars as (
            partition by source, symbol
            order by trade_date
            rows between 1 preceding and current row
        )
    )
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between unbounded preceding and current row
    )
),

own as (
    select
        source,
        symbol,
        trade_date,
        {{ from_bar(2, change('log_index_e8', 1)) }} as ret_1,
        {{ from_bar(6, change('log_index_e8', 5)) }} as ret_5,
        {{ from_bar(widest + 1, change('log_index_e8', widest)) }} as ret_21,
        {{ from_bar(widest + 1, 'sqrt(' ~ variance(
            change('squares', widest), change('log_index_e8', widest), widest
        ) ~ ') / 1e8') }} as volatility_21,
        {%- for n in (1, 5, widest) %}
        -- Whole numbers, so that their sum over symbols does not depend on their order.
        toInt64(round(
            {{ log_variance(change('variances', n), n) }} * 1e8
        )) as log_variance_{{ n }}_e8{{ ',' if not loop.last }}
        {%- endfor %}
    from sums
    window bars as (
        partition by source, symbol
        order by trade_date
        rows between {{ widest }} preceding and current row
    )
),

-- What is set aside is compared with the others, and changes nothing for them.
compared as (
    select
        o.source as source,
        o.symbol as symbol,
        o.* except (source, symbol),
        a.symbol = '' or o.trade_date < a.since as counts
    from own as o
    left join {{ ref('int_set_aside') }} as a on o.source = a.source and o.symbol = a.symbol
    {%- if is_incremental() %}
    where
        (o.source, o.trade_date) in (select source, trade_date from {{ ref('int_changed_dates') }})
    {%- endif %}
)

select
    source,
    symbol,
    trade_date,
    volatility_21,
    {%- for n in (1, 5, 21) %}
    (ret_{{ n }} - {{ mean_over_date('ret_%d' % n) }}) / 1e8 as rel_ret_{{ n }},
    {%- endfor %}
    {{ mean_over_date('ret_5') }} / 1e8 as market_ret_5,
    {%- for n in (1, 5, widest) %}
    {{ mean_over_date('log_variance_%d_e8' % n) }} / 1e8 as market_log_variance_{{ n }},
    {%- endfor %}
    {%- for column in ('ret_5', 'ret_21', 'volatility_21') %}
    if(
        not counts or {{ column }} is null or countIf({{ column }}, counts) over by_date < 2,
        null,
        (rank() over (
            partition by source, trade_date, counts, {{ column }} is null
            order by {{ column }}
        ) - 1)
        / (countIf({{ column }}, counts) over by_date - 1)
    ) as rank_{{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from compared
window by_date as (partition by source, trade_date)
