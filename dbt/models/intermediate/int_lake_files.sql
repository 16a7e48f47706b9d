{#- Lake files never change: what was found in one by the last build still holds. -#}
{%- set built = before_build('intermediate', 'int_built_files') %}

with present as (
    select distinct data_file
    from {{ ref('stg_quotes') }}
),

{% if built -%}
known as (
    select
        data_file,
        first_date,
        last_date
    from {{ built }}
    where data_file in (select data_file from present)
),

{% endif -%}
looked_at as (
    select
        data_file,
        min(trade_date) as first_date,
        max(trade_date) as last_date
    from {{ ref('stg_quotes') }}
    {%- if built %}
    where data_file not in (select data_file from known)
    {%- endif %}
    group by data_file
)

select * from looked_at
{%- if built %}
union all
select * from known
{%- endif %}
