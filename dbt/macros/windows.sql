{#- Windows over running sums of integers.

Features are made of differences of running sums, and every running sum is a sum of integers
(log returns in units of 1e-8, log volumes in units of 1e-4). Integer addition is exact, so a
window's value depends on the window alone: not on where the running sum began, on threads, or on
blocks. That is what makes an incremental build, and a build of a truncated lake, equal to a full
one bit for bit. -#}

{#- The widest window of a symbol's own features, and of the comparison between symbols, in returns.
    How far a build reads back, and how far a change reaches, follow from these two. -#}
{% macro widest_window() -%}
    {{- return(252) -}}
{%- endmacro %}

{% macro widest_comparison() -%}
    {{- return(21) -}}
{%- endmacro %}

{% macro lag(column, bars) -%}
lagInFrame({{ column }}, {{ bars }}) over bars
{%- endmacro %}

{#- The value over the last n bars of a running sum. -#}
{% macro change(column, bars) -%}
({{ column }} - {{ lag(column, bars) }})
{%- endmacro %}

{#- Sample variance of n integers, given their sum and the sum of their squares. -#}
{% macro variance(squares, total, n) -%}
greatest(toFloat64({{ squares }}) - toFloat64({{ total }}) * toFloat64({{ total }}) / {{ n }}, 0)
/ ({{ n }} - 1)
{%- endmacro %}

{#- Keep a value from the n-th bar of a symbol on; before, the window is not full. -#}
{% macro from_bar(n, expression) -%}
if(bar_number >= {{ n }}, {{ expression }}, null)
{%- endmacro %}

{#- Mean over the symbols that count on a date, null where there is none. -#}
{% macro mean_over_date(column) -%}
sumIf({{ column }}, counts) over by_date / nullIf(countIf({{ column }}, counts) over by_date, 0)
{%- endmacro %}
