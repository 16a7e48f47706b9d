{#- What a bar holds, as one number; equal on both sides means nothing to do. -#}
{% macro bar_hash() -%}
cityHash64(tuple(
    open, high, low, close, volume, value, currency, board, ingested_at
))
{%- endmacro %}

{#- A model's table as it is before this build, or none. No `ref`: it would be a cycle. -#}
{% macro before_build(layer, name) -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set schema = generate_schema_name(layer, none) -%}
        {{- return(adapter.get_relation(database='', schema=schema, identifier=name)) -}}
    {%- endif -%}
    {{- return(none) -}}
{%- endmacro %}

{#- The first date of which any symbol's features may differ. -#}
{% macro earliest_change() -%}
(
    select min(first_date)
    from (
        select min(features_from) as first_date
        from {{ ref('int_rebuild') }}
        where has_new_features
        having count() > 0
        union all
        select min(trade_date) as first_date
        from {{ ref('int_changed_dates') }}
        having count() > 0
    )
)
{%- endmacro %}

{#- The first date that is made anew for all symbols. -#}
{% macro earliest_changed_date() -%}
(
    select min(trade_date)
    from {{ ref('int_changed_dates') }}
    having count() > 0
)
{%- endmacro %}

{#- The first date of the bars that this build makes anew. -#}
{% macro earliest_rebuild() -%}
(
    select min(quotes_from)
    from {{ ref('int_rebuild') }}
    having count() > 0
)
{%- endmacro %}

{#- Of the bars `q`, those that the windows of the rows to make reach back to: `look_back` bars
    before `f.first_bar`, each symbol's first row to make. In a build from scratch that is all. -#}
{% macro within_look_back(look_back) -%}
q.is_traded
        {%- if is_incremental() %}
        and q.bar_number + {{ look_back }} >= f.first_bar
        -- Says the same once more, as a date, so that whole years are skipped.
        and q.trade_date >= {{ earliest_bar(look_back) }}
        {%- endif %}
{%- endmacro %}

{#- A date before which no symbol's windows reach. Twice as many calendar days as bars is enough for
    most symbols; the bars of those that trade less often are looked up by their key. Nothing here
    reads the whole history. Needs `first_bars`, with each symbol's first date and bar to make. -#}
{% macro earliest_bar(look_back) -%}
{%- set recently -%}
(
    select toDate(greatest(toInt32(min(first_date)) - {{ 2 * look_back + 30 }}, 0))
    from first_bars
    having count() > 0
)
{%- endset -%}
(
    select min(reached)
    from (
        select {{ recently }} as reached
        union all
        select min(b.trade_date) as reached
        from {{ ref('fct_quotes') }} as b
        inner join first_bars as e on b.source = e.source and b.symbol = e.symbol
        where
            b.is_traded
            and b.bar_number + {{ look_back }} >= e.first_bar
            and (b.source, b.symbol) in (
                select
                    source,
                    symbol
                from (
                    select
                        r.source as source,
                        r.symbol as symbol,
                        min(r.bar_number) as lowest,
                        any(e.first_bar) as first_bar
                    from {{ ref('fct_quotes') }} as r
                    inner join first_bars as e on r.source = e.source and r.symbol = e.symbol
                    where r.is_traded and r.trade_date >= {{ recently }}
                    group by source, symbol
                )
                where lowest > greatest(first_bar - {{ look_back }}, 1)
            )
        having count() > 0
    )
)
{%- endmacro %}

{#- Each symbol's last bar with trade before those to make anew; to be narrowed by further
    conditions and grouped by symbol. -#}
{% macro last_bars_before(quotes) -%}
select
        q.source as source,
        q.symbol as symbol,
        max(q.bar_number) as base_bars,
        max(q.trade_date) as base_date,
        argMax(assumeNotNull(q.close), q.trade_date) as base_close,
        argMax(q.log_index_e8, q.trade_date) as base_log_index_e8,
        argMax(q.split_index_e4, q.trade_date) as base_split_index_e4
    from {{ quotes }} as q
    inner join rebuild as r on q.source = r.source and q.symbol = r.symbol
    where
        q.is_traded
        and q.trade_date < r.quotes_from
{%- endmacro %}
