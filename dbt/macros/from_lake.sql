{#- Read an Iceberg table at the snapshot that this build is pinned to, so that all models of one
    build see the same lake although somebody ingests meanwhile. The variable of raw.quotes is
    WEEKAHEAD_SNAPSHOT_RAW_QUOTES; it is "none" for a table that was empty then, which has no
    snapshot, and no rows for this build whatever it has got since. A table without a variable is
    read as it is now. -#}
{% macro at_snapshot(table) -%}
    {%- set snapshot = env_var('WEEKAHEAD_SNAPSHOT_' ~ table | replace('.', '_') | upper, '') -%}
    {%- if snapshot == 'none' -%}
where false
    {%- elif snapshot -%}
settings iceberg_snapshot_id = {{ snapshot }}
    {%- endif -%}
{%- endmacro %}
