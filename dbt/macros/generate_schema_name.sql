{#- Databases carry the layer's own name: staging, intermediate, marts. A scratch build (used to
    reproduce a model) maps them to others through the variable `databases`. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set layer = custom_schema_name or target.schema -%}
    {{- var('databases', {}).get(layer, layer) -}}
{%- endmacro %}
