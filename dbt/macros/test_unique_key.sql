{#- No two rows share the key, and no part of it is missing. Tables are sorted by their keys, so the
    rows are grouped as they are read, in little memory. -#}
{% test unique_key(model, columns) %}
select
    {{ columns | join(', ') }},
    count() as copies
from {{ model }}
group by {{ columns | join(', ') }}
having
    copies > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}
settings optimize_aggregation_in_order = 1
{% endtest %}
