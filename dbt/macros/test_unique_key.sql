{#- No two rows share the key, and no part of it is missing. Tables are sorted by their keys, so the
    rows are grouped as they are read, in little memory. `changed_dates_only` looks at the dates
    that this build replaced; in a full build those are all. -#}
{% test unique_key(model, columns, changed_dates_only=false) %}
select
    {{ columns | join(', ') }},
    count() as copies
from {{ model }}
{%- if changed_dates_only %}
where
    (source, trade_date) in (select source, trade_date from {{ ref('int_changed_dates') }})
    -- Says the same once more, so that whole years are skipped.
    and trade_date >= {{ earliest_changed_date() }}
{%- endif %}
group by {{ columns | join(', ') }}
having
    copies > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}
settings optimize_aggregation_in_order = 1
{% endtest %}
