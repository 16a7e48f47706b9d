{{ config(order_by='(source, schedule, strategy, is_simulated, trade_date)') }}

with cohorts as (
    select
        *,
        session - min(session) over (partition by source, is_simulated) as place
    from {{ ref('fct_backtest_cohorts') }}
),

-- A cohort replaces the one of five sessions before, whose days are over.
traded as (
    select
        c.source as source,
        c.strategy as strategy,
        c.is_simulated as is_simulated,
        c.session as session,
        c.place as place,
        [1, c.value_1, c.value_2, c.value_3, c.value_4, c.value_5] as worth,
        length(arrayIntersect(c.members, p.members)) as kept,
        if(
            p.symbols = 0,
            1,
            kept * abs(1 / c.symbols - 1 / p.symbols)
            + (c.symbols - kept) / c.symbols
            + (p.symbols - kept) / p.symbols
        ) as turnover
    from cohorts as c
    left join cohorts as p
        on
            c.source = p.source
            and c.strategy = p.strategy
            and c.is_simulated = p.is_simulated
            and c.session = p.session + 5
),

-- Each of a cohort's five days; what it trades is paid on the first.
days as (
    select
        * except (session, turnover, worth, kept, place),
        schedule,
        session + k as session,
        worth[k + 1] / worth[k] - 1 as gross_return,
        if(k = 1, turnover, 0) as turnover
    from traded
    array join [1, 2, 3, 4, 5] as k
    array join if(place % 5 = 0, ['weekly', 'daily'], ['daily']) as schedule
),

-- Staggered, a fifth of the money is in each of five cohorts.
books as (
    select
        source,
        is_simulated,
        schedule,
        strategy,
        session,
        avg(gross_return) as gross_return,
        avg(turnover) as turnover
    from days
    group by source, is_simulated, schedule, strategy, session
),

with_spread as (
    select * from books
    union all
    select
        source,
        is_simulated,
        schedule,
        'long_short' as strategy,
        session,
        sumIf(b.gross_return, b.strategy = 'top') - sumIf(b.gross_return, b.strategy = 'bottom')
            as gross_return,
        sumIf(b.turnover, b.strategy in ('top', 'bottom')) as turnover
    from books as b
    group by source, is_simulated, schedule, session
),

sessions as (
    {{ numbered_sessions() }}
)

select
    b.source as source,
    b.is_simulated as is_simulated,
    toLowCardinality(b.schedule) as schedule,
    toLowCardinality(b.strategy) as strategy,
    s.trade_date as trade_date,
    b.gross_return as gross_return,
    b.turnover as turnover
from with_spread as b
inner join sessions as s on b.source = s.source and b.session = s.session
