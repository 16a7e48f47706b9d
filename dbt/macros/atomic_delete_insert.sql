{#- The adapter's delete+insert deletes from the table that people read, and inserts afterwards: in
    between, rows are missing. This override works on a clone (hard links, no copying) and exchanges
    the two in the end, so a reader sees the table before or after, never in between. Rows are
    replaced by whole partitions; a build that only adds rows rewrites nothing.

    A model says which of its rows a build replaces in `meta.replaces`, a condition in which
    `{{ this }}` and `{{ ref(...) }}` may stand. Without one the unique key decides, as ever. -#}
{% macro clickhouse__incremental_delete_insert(
    existing_relation, unique_key, incremental_predicates, is_distributed=False
) %}
    {%- set suffix = invocation_id.replace('-', '_') -%}
    {%- set name = existing_relation.identifier -%}
    {%- set new_data = existing_relation.incorporate(
        path={'identifier': name ~ '__dbt_new_data_' ~ suffix}) -%}
    {%- set clone = existing_relation.incorporate(
        path={'identifier': name ~ '__dbt_clone_' ~ suffix}) -%}
    {%- set settings = adapter.get_model_query_settings(model) -%}

    {% call statement('main') %}
        {{ get_create_table_as_sql(False, new_data, sql) }}
    {% endcall %}

    {%- set replaces = config.get('meta', {}).get('replaces') -%}
    {%- if replaces -%}
        {%- set replaced = render(replaces) -%}
    {%- else -%}
        {%- set replaced -%}
            ({{ unique_key }}) in (select {{ unique_key }} from {{ new_data }})
        {%- endset -%}
    {%- endif -%}

    {%- set stale -%}
        select distinct _partition_id as id
        from {{ existing_relation }}
        where {{ replaced }}
        order by id
        {{ settings }}
    {%- endset -%}
    {%- set stale_ids = run_query(stale).rows | map(attribute='id') | list -%}

    {% if stale_ids %}
        {%- set ids = "'" ~ stale_ids | join("', '") ~ "'" -%}
        {%- set columns = adapter.get_columns_in_relation(existing_relation)
            | map(attribute='quoted') | join(', ') -%}
        {% call statement('keep_rows') %}
            insert into {{ new_data }} ({{ columns }})
            select {{ columns }}
            from {{ existing_relation }}
            where _partition_id in ({{ ids }}) and not ({{ replaced }})
            {{ settings }}
        {% endcall %}
    {% endif %}

    {%- set added -%}
        select distinct _partition_id as id from {{ new_data }} order by id
    {%- endset -%}
    {%- set added_ids = run_query(added).rows | map(attribute='id') | list -%}

    {% if stale_ids or added_ids %}
        {% do clone_table(clone, existing_relation) %}
        {% for id in stale_ids %}
            {% call statement('replace_' ~ loop.index) %}
                alter table {{ clone }}
                {% if id in added_ids -%}
                    replace partition id '{{ id }}' from {{ new_data }}
                {%- else -%}
                    drop partition id '{{ id }}'
                {%- endif %}
            {% endcall %}
        {% endfor %}
        {% for id in added_ids if id not in stale_ids %}
            {% call statement('attach_' ~ loop.index) %}
                alter table {{ clone }} attach partition id '{{ id }}' from {{ new_data }}
            {% endcall %}
        {% endfor %}
        {% do exchange_tables_atomic(clone, existing_relation) %}
        {% do adapter.drop_relation(clone) %}
    {% endif %}

    {% do adapter.drop_relation(new_data) %}
{% endmacro %}

{#- On a cluster every replica would clone, and a replicated table then hold each part once per
    replica: there the empty table is made everywhere, and its partitions are attached once. -#}
{% macro clone_table(clone, existing_relation) %}
    {%- set on_cluster = on_cluster_clause(existing_relation) -%}
    {% if not on_cluster | trim %}
        {% call statement('clone') %}
            create table {{ clone }} clone as {{ existing_relation }}
        {% endcall %}
    {% else %}
        {% call statement('clone') %}
            create table {{ clone }} {{ on_cluster }} as {{ existing_relation }}
        {% endcall %}
        {%- set present -%}
            select distinct _partition_id as id from {{ existing_relation }} order by id
        {%- endset -%}
        {% for id in run_query(present).rows | map(attribute='id') %}
            {% call statement('clone_' ~ loop.index) %}
                alter table {{ clone }}
                attach partition id '{{ id }}' from {{ existing_relation }}
            {% endcall %}
        {% endfor %}
    {% endif %}
{% endmacro %}
