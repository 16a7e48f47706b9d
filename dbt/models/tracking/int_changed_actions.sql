{{ config(materialized='ephemeral') }}

{%- set built = before_build('intermediate', 'int_built_actions') or this %}

with sides as (
    select
        source,
        symbol,
        split_dates,
        splits_hash,
        dividends_hash,
        true as is_now
    from {{ ref('int_actions') }}
    union all
    select
        source,
        symbol,
        split_dates,
        splits_hash,
        dividends_hash,
        false as is_now
    from {{ built }}
)

select
    source,
    symbol,
    -- Where a split was, and where one is now.
    groupUniqArrayArray(split_dates) as split_dates,
    maxIf(splits_hash, is_now) != maxIf(splits_hash, not is_now) as has_new_splits,
    maxIf(dividends_hash, is_now) != maxIf(dividends_hash, not is_now) as has_new_dividends
from sides
group by source, symbol
having has_new_splits or has_new_dividends
