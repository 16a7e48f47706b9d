{#- Read an Iceberg table at the snapshot that this build is pinned to, so that all models of one
    build see the same lake although somebody ingests meanwhile. The variable of raw.quotes is
    WEEKAHEAD_SNAPSHOT_RAW_QUOTES; a table without one is read as it is now. -#}
{% macro at_snapshot(table) -%}
    {%- set snapshot = env_var('WEEKAHEAD_SNAPSHOT_' ~ table | replace('.', '_') | upper, '') -%}
    {%- if snapshot -%}
settings iceberg_snapshot_id = {{ snapshot }}
    {%- endif -%}
{%- endmacro %}
