{{ config(order_by='(source, schedule, strategy, is_simulated, trade_date)') }}

{%- set cost = env_var('WEEKAHEAD_COST_BPS', '10') | float / 1e4 %}

with books as (
    select
        source,
        is_simulated,
        schedule,
        strategy,
        trade_date,
        gross_return,
        turnover
    from {{ ref('fct_backtest_books') }}
),

-- An index is held all the time, and never traded.
with_index as (
    select * from books
    union all
    select
        b.source as source,
        b.is_simulated as is_simulated,
        b.schedule as schedule,
        toLowCardinality('index') as strategy,
        b.trade_date as trade_date,
        i.daily_return as gross_return,
        0 as turnover
    from books as b
    inner join {{ ref('fct_benchmarks') }} as i
        on b.source = i.source and b.trade_date = i.trade_date
    where b.strategy = 'market'
)

select
    *,
    1 - net_wealth / greatest(max(net_wealth) over so_far, 1) as drawdown
from (
    select
        *,
        exp(sum(log1p(gross_return)) over so_far) as gross_wealth,
        gross_return - turnover * {{ cost }} as net_return,
        exp(sum(log1p(net_return)) over so_far) as net_wealth
    from with_index
    window so_far as (
        partition by source, schedule, strategy, is_simulated
        order by trade_date
        rows between unbounded preceding and current row
    )
)
window so_far as (
    partition by source, schedule, strategy, is_simulated
    order by trade_date
    rows between unbounded preceding and current row
)
