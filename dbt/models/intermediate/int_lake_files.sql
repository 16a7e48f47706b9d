select
    data_file,
    min(trade_date) as first_date,
    max(trade_date) as last_date
from {{ ref('stg_quotes') }}
group by data_file
