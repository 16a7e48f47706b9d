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
