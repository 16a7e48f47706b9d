-- One row per bar with trade, and no feature that is infinite or not a number.
with features as (
    select
        source,
        count() as feature_rows,
        countIf(arrayExists(
            x -> not isFinite(ifNull(x, 0)),
            [
                {%- if execute %}
                {%- for column in adapter.get_columns_in_relation(ref('fct_features'))
                    if column.dtype == 'Nullable(Float64)' %}
                {{ column.name }}{{ ',' if not loop.last }}
                {%- endfor %}
                {%- endif %}
            ]
        )) as broken_rows
    from {{ ref('fct_features') }}
    group by source
),

quotes as (
    select
        source,
        countIf(is_traded) as quote_rows
    from {{ ref('fct_quotes') }}
    group by source
)

select
    q.source as source,
    q.quote_rows as quote_rows,
    f.feature_rows as feature_rows,
    f.broken_rows as broken_rows
from quotes as q
left join features as f on q.source = f.source
where q.quote_rows != f.feature_rows or f.broken_rows > 0
