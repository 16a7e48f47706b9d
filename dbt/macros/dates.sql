{#- Dates are Date32, which begins with 1900: a Date begins with 1970 and wraps before it. -#}

{#- Before every bar: a change from here on is one of the whole history. -#}
{% macro beginning() -%}
toDate32('1900-01-01')
{%- endmacro %}

{#- Bitmaps hold numbers from zero on: days since the beginning. -#}
{% macro day_number(day) -%}
toUInt32(toInt32(toDate32({{ day }})) - toInt32({{ beginning() }}))
{%- endmacro %}

{% macro day_of(number) -%}
toDate32(toInt32({{ number }}) + toInt32({{ beginning() }}))
{%- endmacro %}

{#- Calendar days from one date to a later one. -#}
{% macro days_between(first, last) -%}
(toInt32({{ last }}) - toInt32({{ first }}))
{%- endmacro %}

{#- The trading dates of each source, numbered from 1 on. -#}
{% macro numbered_sessions() -%}
select
        source,
        trade_date,
        row_number() over (partition by source order by trade_date) as session
    from (
        select distinct
            source,
            trade_date
        from {{ ref('fct_quotes') }}
        where is_traded
    ) as traded
{%- endmacro %}

{#- Symbols of indices that strategies are compared with, and that are not held by them. -#}
{% macro benchmarks() -%}
{%- set symbols = env_var('WEEKAHEAD_BENCHMARKS', 'MCFTR,^SP500TR').split(',') -%}
[{% for symbol in symbols %}'{{ symbol }}'{{ ', ' if not loop.last }}{% endfor %}]
{%- endmacro %}
