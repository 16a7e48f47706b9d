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

{#- The first of the dates from which on int_rebuild has symbols rebuilt. Next to a symbol's own
    date this lets whole years be skipped. -#}
{% macro earliest(column) -%}
(
    select min({{ column }})
    from {{ ref('int_rebuild') }}
    having count({{ column }}) > 0
)
{%- endmacro %}

{#- The rows of `q` from each symbol's date in int_rebuild, `r`, on. -#}
{% macro since(column) -%}
q.trade_date >= r.{{ column }}
    and q.trade_date >= {{ earliest(column) }}
{%- endmacro %}

{#- The same of the model's own rows, for `meta.replaces`. -#}
{% macro rows_since(column) -%}
trade_date >= {{ earliest(column) }}
and (source, symbol, trade_date) in (
    select
        q.source,
        q.symbol,
        q.trade_date
    from {{ this }} as q
    inner join {{ ref('int_rebuild') }} as r on q.source = r.source and q.symbol = r.symbol
    where {{ since(column) }}
)
{%- endmacro %}

{#- The rows on dates whose comparison between symbols may differ. -#}
{% macro on_changed_dates() -%}
trade_date >= {{ earliest_changed_date() }}
and (source, trade_date) in (
    select
        source,
        trade_date
    from {{ ref('int_changed_dates') }}
)
{%- endmacro %}

{#- The first date that is rebuilt for all symbols. -#}
{% macro earliest_changed_date() -%}
(
    select min(trade_date)
    from {{ ref('int_changed_dates') }}
    having count() > 0
)
{%- endmacro %}

{#- Of the bars `q`, those that the windows of the rows to rebuild reach back to: `look_back` bars
    before `f.first_bar` of int_first_bars. -#}
{% macro within_look_back(look_back) -%}
q.bar_number + {{ look_back }} >= f.first_bar
        -- Says the same once more, as a date, so that whole years are skipped.
        and q.trade_date >= {{ earliest_bar(look_back) }}
{%- endmacro %}

{#- A date before which no symbol's windows reach. Twice as many calendar days as bars is enough for
    most symbols; the bars of those that trade less often are looked up by their key. Nothing here
    reads the whole history. -#}
{% macro earliest_bar(look_back) -%}
{%- set first_bars = ref('int_first_bars') -%}
{%- set recently -%}
(
    select min(first_date) - {{ 2 * look_back + 30 }}
    from {{ first_bars }}
    having count() > 0
)
{%- endset -%}
(
    select min(reached)
    from (
        select {{ recently }} as reached
        union all
        select min(b.trade_date) as reached
        from {{ ref('int_bars') }} as b
        inner join {{ first_bars }} as e on b.source = e.source and b.symbol = e.symbol
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
                    from {{ ref('int_bars') }} as r
                    inner join {{ first_bars }} as e
                        on r.source = e.source and r.symbol = e.symbol
                    where r.is_traded and r.trade_date >= {{ recently }}
                    group by source, symbol
                )
                where lowest > greatest(first_bar - {{ look_back }}, 1)
            )
        having count() > 0
    )
)
{%- endmacro %}
