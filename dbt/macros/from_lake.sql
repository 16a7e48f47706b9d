{#- Read an Iceberg table at the snapshot that this build is pinned to, so that all models of one
    build see the same lake although somebody ingests meanwhile. WEEKAHEAD_SNAPSHOTS is a JSON
    object of table name to snapshot id; a table that is not in it is read as it is now. -#}
{% macro at_snapshot(table) -%}
    {%- set snapshots = fromjson(env_var('WEEKAHEAD_SNAPSHOTS', '{}')) -%}
    {%- if snapshots.get(table) -%}
settings iceberg_snapshot_id = {{ snapshots[table] }}
    {%- endif -%}
{%- endmacro %}
