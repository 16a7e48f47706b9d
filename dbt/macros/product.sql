{#- Product, in the array's order, of those factors whose date `d` fulfils the condition. -#}
{% macro product(factors, dates, condition) -%}
arrayProduct(arrayPushFront(
    arrayFilter((f, d) -> {{ condition }}, {{ factors }}, {{ dates }}), 1.
))
{%- endmacro %}
