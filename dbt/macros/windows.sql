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

{#- Variance of one day, in units of 1e-16: the square of the night plus the estimate of Garman and
    Klass (1980, their simplified form) of the session, an order of magnitude less noisy than the
    squared return that stands in for it where a bar has no open, high or low. -#}
{% macro daily_variance(log_return, log_range, log_open) -%}
ifNull(
    {{ squared('(%s + %s)' % (log_return, log_open)) }} + toInt64(round(greatest(
        0.5 * {{ squared(log_range) }} - (2 * log(2.) - 1) * {{ squared(log_open) }}, 0
    ))),
    {{ squared(log_return) }}
)
{%- endmacro %}

{% macro squared(x) -%}
{{ x }} * {{ x }}
{%- endmacro %}

{#- Log of high over low, and of open over close, in units of 1e-8; nothing where one lacks. Behind
    a null stands a zero, which functions look at as well: its logarithm is no whole number. -#}
{% macro log_range(bar) -%}
if(
    {{ bar }}.high > 0 and {{ bar }}.low > 0,
    toInt64(round(log(
        greatest({{ bar }}.high, 1e-300) / greatest({{ bar }}.low, 1e-300)
    ) * 1e8)),
    null
)
{%- endmacro %}

{% macro log_open(bar) -%}
if(
    {{ bar }}.open > 0,
    toInt64(round(log(greatest({{ bar }}.open, 1e-300) / {{ bar }}.close) * 1e8)),
    null
)
{%- endmacro %}

{#- Log of the mean daily variance over n bars; nothing while there was no move at all. -#}
{% macro log_variance(total, n) -%}
{{ from_bar(n + 1, 'if(%s > 0, log(greatest(%s, 1) / %d / 1e16), null)' % (total, total, n)) }}
{%- endmacro %}
