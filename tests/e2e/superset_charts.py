"""What each chart has to show when its dashboard opens, asked of the marts in plain SQL.

The column order is the chart's; series come in the order of their names. Days are points in time,
because Superset groups by these.
"""

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


EXPECTED = {
    # Market and forecast
    "Last quarter, and the next five trading days": f"""
        select toDateTime(day, 'UTC'), upper_80, lower_80, upper_95, lower_95, close, point
        from marts.fct_forecast_path where {SYMBOL}""",
    "All symbols by expected change, five days ahead": """
        select symbol, last_close, point / last_close - 1, lower_80 / last_close - 1,
            upper_80 / last_close - 1,
            abs(point / last_close - 1) / ((upper_80 - lower_80) / last_close / 2)
        from marts.fct_forecasts where is_latest and horizon = 5""",
    "Past forecasts against what happened": f"""
        select toDateTime(realised_date, 'UTC'), avg(upper_80), avg(lower_80), avg(point),
            avg(actual)
        from marts.fct_forecast_accuracy where {SYMBOL} and horizon = 5 group by 1""",
    "Price history: as traded and split-adjusted (log scale)": f"""
        select toDateTime(trade_date, 'UTC'), close, adjusted_close
        from marts.fct_quotes where {SYMBOL}""",
    "Shares traded per month (today's shares)": f"""
        select toDateTime(toStartOfMonth(trade_date), 'UTC'), sum(adjusted_volume)
        from marts.fct_quotes where {SYMBOL} group by 1""",
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
