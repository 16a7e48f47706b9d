"""What each chart has to show when its dashboard opens, asked of the marts in plain SQL.

One query for each that the chart asks, without rows that hold nothing. The column order is the
chart's; series come in the order of their names. Days are points in time, because Superset groups
by these.
"""

from urllib.parse import quote

PERFORMANCE = "from marts.fct_model_performance"
ERRORS = (
    "sum(mae * forecasts) / sum(mae_drift * forecasts), "
    "sum(mae * forecasts) / sum(mae_last_price * forecasts)"
)
# The market's dashboard opens with the first symbol, and five days ahead.
SYMBOL = "symbol = 'AAPL'"


def by_strategy(column: str) -> str:
    """A column of the weekly portfolios, in the order of their names."""
    return ", ".join(
        f"avgIf({column}, strategy = '{strategy}' and schedule = 'weekly')"
        for strategy in ("bottom", "long_short", "market", "top")
    )


# The newest forecast of that symbol, and those that have come due.
PATH = f"from marts.fct_forecast_path where {SYMBOL}"
PAST = f"from marts.fct_forecast_accuracy where {SYMBOL} and horizon = 5 group by 1"
# What the screener shows of each symbol, asked of the marts behind its own.
FIGURES = """
    q.last_close, f.expected_return, f.width_80, f.chance_up, x.volatility_21,
    if(q.bars > 126, q.closes[6] / q.closes[127] - 1, null),
    if(q.bars > 252, q.closes[6] / q.closes[253] - 1, null), q.turnover, n.findings"""
SCREENED = """
    from (
        select source, symbol, max(trade_date) as last_date, count() as bars,
            argMax(close, trade_date) as last_close, groupArray(total_return_close) as closes,
            arrayReduce('quantileExact(0.5)', arraySlice(groupArray(value), 1, 63)) as turnover
        from (select * from marts.fct_quotes where is_traded order by trade_date desc)
        group by source, symbol
    ) as q
    inner join marts.fct_forecasts as f
        on f.symbol = q.symbol and f.is_latest and f.horizon = 5 and f.as_of_date = q.last_date
    inner join marts.fct_features as x on x.symbol = q.symbol and x.trade_date = q.last_date
    inner join (
        select d.symbol as symbol, countIf(g.is_open) as findings
        from marts.dim_symbol as d left join marts.fct_findings as g on g.symbol = d.symbol
        group by symbol
    ) as n on n.symbol = q.symbol"""


def chosen(name: str) -> str:
    """A native filter that is set to 'VALUE', as the address of a dashboard says it."""
    return (
        f"NATIVE_FILTER-{name}:(extraFormData:(filters:!((col:{name},op:IN,val:!('VALUE')))),"
        f"filterState:(label:'VALUE',value:!('VALUE')),id:NATIVE_FILTER-{name},ownState:())"
    )


# The sample's symbols are letters, with nothing to escape but what stands around them.
_SOURCE, _SYMBOL = (quote(chosen(name), safe="") for name in ("source", "symbol"))
LINK = (
    "concat('<a href=\"/superset/dashboard/symbol/?native_filters=%28', "
    f"'{_SOURCE.replace('VALUE', 'sample')}', '%2C', "
    f"replaceAll('{_SYMBOL}', 'VALUE', q.symbol), '%29\">', q.symbol, '</a>')"
)

EXPECTED: dict[str, str | tuple[str, str]] = {
    # Market and forecast
    "Last quarter, and the next five trading days": (
        f"select toDateTime(day, 'UTC'), lower_80, upper_80, lower_95, upper_95 {PATH}"
        " and point is not null",
        f"select toDateTime(day, 'UTC'), close, point {PATH}",
    ),
    "All symbols by expected change, five days ahead": """
        select symbol, last_close, point / last_close - 1, lower_80 / last_close - 1,
            upper_80 / last_close - 1,
            abs(point / last_close - 1) / ((upper_80 - lower_80) / last_close / 2)
        from marts.fct_forecasts where is_latest and horizon = 5""",
    "Past forecasts against what happened": (
        f"select toDateTime(realised_date, 'UTC'), avg(lower_80), avg(upper_80) {PAST}",
        f"select toDateTime(realised_date, 'UTC'), avg(point), avg(actual) {PAST}",
    ),
    "Price history: as traded and split-adjusted (log scale)": f"""
        select toDateTime(trade_date, 'UTC'), close, adjusted_close
        from marts.fct_quotes where {SYMBOL}""",
    "Shares traded per month (today's shares)": f"""
        select toDateTime(toStartOfMonth(trade_date), 'UTC'), sum(adjusted_volume)
        from marts.fct_quotes where {SYMBOL} group by 1""",
    # Screener
    "All symbols, to sort and filter": f"""
        select {LINK}, q.symbol, q.source, 'USD', toDateTime(q.last_date, 'UTC'), {FIGURES}
        {SCREENED}""",
    # Symbol
    "The symbol in figures": f"""
        select q.symbol, q.symbol, q.source, 'USD', toDateTime(q.last_date, 'UTC'), q.last_close,
            toDateTime(q.last_date, 'UTC'), {FIGURES.partition(",")[2]} {SCREENED}
        where q.{SYMBOL}""",
    "High–low bars, and the next five trading days": (
        f"""select toDateTime(day, 'UTC'), if(close < open, high - low, null), low,
            if(close >= open, high - low, null) {PATH} and close is not null""",
        f"""select toDateTime(day, 'UTC'), lower_80, upper_80, lower_95, upper_95, close, point
            {PATH}""",
    ),
    "Shares traded per day": f"select toDateTime(day, 'UTC'), volume {PATH}",
    "The next five trading days": f"""
        select toDateTime(target_date, 'UTC'), point, lower_80, upper_80, chance_up
        from marts.fct_forecasts where is_latest and {SYMBOL}""",
    "Its past forecasts against what happened": (
        f"select toDateTime(realised_date, 'UTC'), avg(lower_80), avg(upper_80) {PAST}",
        f"select toDateTime(realised_date, 'UTC'), avg(point), avg(actual) {PAST}",
    ),
    "How good its forecasts were": f"""
        select horizon, count(), avg(abs(point - actual) / last_close)
            / avg(abs(last_close - actual) / last_close),
            avg(abs(point - actual) / last_close) / avg(abs_error_drift),
            countIf(actual between lower_80 and upper_80) / count(),
            countIf(actual between lower_95 and upper_95) / count(),
            countIf(sign(point - last_close) = sign(actual - last_close)) / count(),
            countIf(actual > last_close) / count()
        from marts.fct_forecast_accuracy where {SYMBOL} group by horizon""",
    "Its whole history (log scale)": f"""
        select toDateTime(trade_date, 'UTC'), close, adjusted_close
        from marts.fct_quotes where {SYMBOL}""",
    "Splits and dividends": f"""
        select toDateTime(trade_date, 'UTC'), split_ratio, dividend, close
        from marts.fct_quotes where {SYMBOL} and (split_ratio != 1 or dividend > 0)""",
    "Its open findings": f"""
        select severity, toDateTime(first_date, 'UTC'), rule, seen
        from marts.fct_findings where {SYMBOL} and state = 'open'""",
    # What would it have earned?
    "One unit of money that follows the forecasts, after costs": f"""
        select toDateTime(trade_date, 'UTC'), {by_strategy("net_wealth")}
        from marts.fct_backtest group by 1""",
    "Fall from the highest worth so far": f"""
        select toDateTime(trade_date, 'UTC'), {by_strategy("drawdown")}
        from marts.fct_backtest group by 1""",
    "Strategies, after costs": """
        select schedule, strategy, exp(avg(log1p(net_return)) * 252) - 1,
            exp(avg(log1p(gross_return)) * 252) - 1, stddevSamp(net_return) * sqrt(252),
            if(stddevSamp(net_return) > 0,
                avg(net_return) / stddevSamp(net_return) * sqrt(252), 0),
            max(drawdown), avg(turnover) * 252, uniqExact(trade_date)
        from marts.fct_backtest group by schedule, strategy""",
    # How good is it?
    "Error vs last price": f"""
        select sum(mae * forecasts) / sum(mae_last_price * forecasts) {PERFORMANCE}""",
    "Error vs drift": f"select sum(mae * forecasts) / sum(mae_drift * forecasts) {PERFORMANCE}",
    "Inside 80 % band": f"select sum(coverage_80 * forecasts) / sum(forecasts) {PERFORMANCE}",
    "Direction right": f"select sum(hit_rate * forecasts) / sum(forecasts) {PERFORMANCE}",
    'Always "up" is right': f"select sum(up_share * forecasts) / sum(forecasts) {PERFORMANCE}",
    "Forecasts due": "select count() from marts.fct_forecast_accuracy",
    "Relative error by horizon (below 1 is better)": f"""
        select horizon, {ERRORS} {PERFORMANCE} group by horizon""",
    "Relative error by month (below 1 is better)": f"""
        select toDateTime(month, 'UTC'), {ERRORS} {PERFORMANCE} group by 1""",
    "Rank IC by month (0 is chance)": f"""
        select toDateTime(month, 'UTC'), sum(rank_ic * rank_ic_dates) / sum(rank_ic_dates)
        {PERFORMANCE} group by 1""",
    "Coverage of the bands by horizon": """
        select horizon, avg(is_within_80), avg(is_within_95)
        from marts.fct_forecast_accuracy group by horizon""",
    "Coverage of the bands by volatility": """
        select transform(toString(volatility_bucket), ['low', 'middle', 'high'],
            ['1 low', '2 middle', '3 high']), avg(is_within_80), avg(is_within_95)
        from marts.fct_forecast_accuracy where volatility_bucket != 'unknown' group by 1""",
    "Champion and challenger: every decision of the gate, with its reason": """
        select toDateTime(decided_at, 'UTC'), challenger_version, challenger_kind,
            champion_version, serving_version, is_promoted, reason, relative_mae_champion,
            relative_mae_last_price
        from marts.fct_gate_decisions where not is_dry_run""",
    "Feature drift: distance from the training sample": """
        select feature, argMax(statistic, measured_at) from marts.fct_feature_drift
        group by feature order by 2 desc limit 15""",
    # Data health
    "How fresh is each source?": """
        select source, toDateTime(day, 'UTC'), value, status, detail
        from marts.fct_data_health where metric = 'sessions_behind'""",
    "Rejects by rule, with the newest example": """
        select rule, is_kept, count(), uniqExact(symbol), toDateTime(max(rejected_at), 'UTC'),
            argMax(concat(symbol, ' ', toString(trade_date), ': ', reason), rejected_at)
        from marts.fct_rejects group by 1, 2""",
    "Findings, and what was decided about them": """
        select severity, state, source, symbol, toDateTime(first_date, 'UTC'),
            toDateTime(last_date, 'UTC'), rule, seen, sets_aside, acknowledged_by, acknowledged_why
        from marts.fct_findings""",
    "Bars landed and corrected, by day of landing": """
        select toDateTime(toDate(committed_at), 'UTC'), sum(corrected_rows), sum(new_rows)
        from marts.fct_lake_snapshots where table_name = 'raw.quotes' group by 1""",
    "Bars rejected or remarked on, by day of landing": """
        select toDateTime(toDate(rejected_at), 'UTC'), countIf(rule = 'jump')
        from marts.fct_rejects group by 1""",
    "Findings that need a look": """
        select metric, source, subject, toDateTime(day, 'UTC'), value, detail
        from marts.fct_data_health where status = 'warn'""",
    "Trading days covered: bars per day": """
        select toDateTime(trade_date, 'UTC'), toFloat64(count())
        from marts.fct_quotes group by 1""",
    "The lake: rows, files and snapshots": """
        select table_name, argMax(total_rows, committed_at), argMax(total_files, committed_at),
            argMax(total_bytes, committed_at), countIf(is_kept),
            toDateTime(max(committed_at), 'UTC')
        from marts.fct_lake_snapshots group by 1""",
    "The warehouse: size of the marts": """
        select subject, value from marts.fct_data_health where metric = 'mart_bytes'""",
}
