{{ config(materialized='ephemeral') }}

{#- Lake files never change, so only the years of files that came or went can hold changes; and as
    long as none went, only the bars in those that came. -#}
{%- set built = before_build('intermediate', 'int_built_files') or this %}

with files as (
    select * from {{ ref('int_lake_files') }}
),

changed as (
    select
        *,
        true as is_here
    from files
    where data_file not in (select data_file from {{ built }})
    union all
    select
        * except (build_id),
        false as is_here
    from {{ built }}
    where data_file not in (select data_file from files)
),

years as (
    select groupUniqArrayArray(range(toYear(first_date), toYear(last_date) + 1)) as changed
    from changed
)

select
    data_file,
    first_date,
    last_date,
    is_here,
    true as is_changed
from changed
union all
-- What went may now stand in a file that was there before.
select
    data_file,
    first_date,
    last_date,
    true as is_here,
    false as is_changed
from files
where
    (select countIf(not is_here) from changed) > 0
    and data_file not in (select data_file from changed)
    and hasAny(range(toYear(first_date), toYear(last_date) + 1), (select changed from years))
