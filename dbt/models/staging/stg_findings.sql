with source as (
    select *
    from {{ source('raw', 'findings') }}
),

renamed as (
    select
        toLowCardinality(source) as source,
        toLowCardinality(symbol) as symbol,
        toLowCardinality(rule) as rule,
        toDate32(first_date) as first_date,
        toDate32(ifNull(last_date, first_date)) as last_date,
        toLowCardinality(ifNull(severity, 'warning')) as severity,
        ifNull(seen, '') as seen,
        ifNull(proposal, '') as proposal,
        toLowCardinality(ifNull(state, 'open')) as state,
        acknowledged_by,
        acknowledged_why,
        acknowledged_at,
        found_at
    from source
)

select * from renamed
{{ at_snapshot('raw.findings') }}
