with overrides as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        ex_date,
        ratio_before,
        ratio_after
    from {{ ref('split_overrides') }}
),

reported as (
    select
        source,
        symbol,
        ex_date,
        ratio_before,
        ratio_after
    from {{ ref('stg_splits') }}
    where (source, symbol, ex_date) not in (
        select
            source,
            symbol,
            ex_date
        from overrides
    )
),

all_splits as (
    select *, false as is_override from reported
    union all
    select *, true as is_override from overrides
)

select
    source,
    symbol,
    ex_date,
    assumeNotNull(ratio_after / ratio_before) as ratio,
    is_override
from all_splits
-- An override of one for one takes a wrongly reported split away.
where ratio_before > 0 and ratio_after > 0 and ratio_before != ratio_after
