{#- What a bar holds, as one number; equal on both sides means nothing to do. -#}
{% macro bar_hash() -%}
cityHash64(tuple(
    open, high, low, close, volume, value, currency, board, ingested_at
))
{%- endmacro %}

{#- A model's table as it is before this build, or none. No `ref`: it would be a cycle. -#}
{% macro before_build(layer, name) -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set schema = generate_schema_name(layer, none) -%}
        {{- return(adapter.get_relation(database='', schema=schema, identifier=name)) -}}
    {%- endif -%}
    {{- return(none) -}}
{%- endmacro %}

{#- The first date of which any symbol's features may differ. -#}
{% macro earliest_change() -%}
(
    select min(first_date)
    from (
        select min(features_from) as first_date
        from {{ ref('int_rebuild') }}
        where has_new_features
        having count() > 0
        union all
        select min(trade_date) as first_date
        from {{ ref('int_changed_dates') }}
        having count() > 0
    )
)
{%- endmacro %}

{#- The first date that any symbol's windows reach back to, given its first bar to make. -#}
{% macro earliest_bar(look_back) -%}
(
    select min(b.trade_date)
    from {{ ref('fct_quotes') }} as b
    inner join first_bars as e on b.source = e.source and b.symbol = e.symbol
    where b.is_traded and b.bar_number + {{ look_back }} >= e.first_bar
)
{%- endmacro %}
