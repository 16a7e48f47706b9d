-- The 95 % interval holds the 80 % one, and the forecast lies inside.
select
    source,
    symbol,
    as_of_date,
    horizon,
    model_version
from {{ ref('fct_forecasts') }}
where
    not (lower_95 <= lower_80 and lower_80 <= upper_80 and upper_80 <= upper_95)
    or not (point between lower_95 and upper_95)
    or target_date <= as_of_date
    or horizon = 0
