{#- Lake files never change: what was found in one by the last build still holds. -#}
{%- set built = before_build('intermediate', 'int_built_files') %}
{%- if built %}

with known as (
    select
        data_file,
        first_date,
        last_date
    from {{ built }}
    where data_file in (select data_file from {{ ref('stg_quotes') }})
),

looked_at as (
    select
        data_file,
        min(trade_date) as first_date,
        max(trade_date) as last_date
    from {{ ref('stg_quotes') }}
    where data_file not in (select data_file from known)
    group by data_file
)

select * from looked_at
union all
select * from known

{%- else %}

select
    data_file,
    min(trade_date) as first_date,
    max(trade_date) as last_date
from {{ ref('stg_quotes') }}
group by data_file

{%- endif %}
