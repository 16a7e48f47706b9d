{#- Left to itself the planner joins the bars with themselves by symbol before it looks at dates:
    the square of a history. Joins written in the right order, the small side right, are kept. -#}
{% macro keep_join_order() -%}
    {{- return({
        'query_plan_optimize_join_order_limit': 0,
        'query_plan_join_swap_table': 'false',
    }) -}}
{%- endmacro %}
