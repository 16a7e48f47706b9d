"""What real clients send as the reader, and must get an answer to."""

from __future__ import annotations

_T = "marts.prices"

READER = [
    # Handshakes and questions of drivers and pages.
    *("SELECT 1", "select 1;", "SELECT version()", "SELECT version(), timezone()", "SELECT currentUser()"),
    *("SELECT timezone(), serverTimezone()", "SELECT currentDatabase()", "SELECT hostName(), uptime()"),
    *("SELECT name, value, readonly FROM system.settings", "SELECT 'a' AS a, 1 AS b FORMAT JSONCompact"),
    *("SHOW DATABASES", "SHOW TABLES FROM marts", "SHOW TABLES FROM marts LIKE 'p%'", "SHOW CREATE TABLE marts.prices"),
    *("SHOW FULL TABLES FROM marts", "SHOW COLUMNS FROM prices FROM marts", "SHOW INDEX FROM prices FROM marts"),
    *("SHOW FUNCTIONS", "SHOW SETTINGS LIKE 'max_threads'", "SHOW SETTING max_threads", "SHOW ENGINES"),
    *("SHOW PROCESSLIST", "SHOW DICTIONARIES FROM marts", "DESCRIBE TABLE marts.prices", "DESC marts.prices"),
    *("DESCRIBE TABLE (SELECT 1 AS x)", "EXISTS TABLE marts.prices", "EXISTS DATABASE marts", "USE marts"),
    *("SELECT name, engine FROM system.databases ORDER BY name", "SET max_threads = 2"),
    "SELECT database, name, engine, comment FROM system.tables WHERE database NOT IN ('system')",
    "SELECT name, type, default_kind, comment FROM system.columns WHERE database = 'marts'",
    "SELECT name, case_insensitive FROM system.functions ORDER BY name LIMIT 5",
    "SELECT name FROM system.data_type_families", "SELECT name FROM system.formats WHERE is_output",
    "SELECT name FROM system.table_engines", "SELECT * FROM system.one", "SELECT count() FROM system.keywords",
    "SELECT * FROM system.dictionaries", "SELECT * FROM system.time_zones LIMIT 3",
    "SELECT cluster, host_name FROM system.clusters", "SELECT * FROM system.build_options LIMIT 3",
    "SELECT * FROM information_schema.tables WHERE table_schema = 'marts'",
    "SELECT table_name, column_name FROM INFORMATION_SCHEMA.COLUMNS WHERE table_schema = 'marts'",
    "select name from system.tables where database = 'marts' and engine in ('View', 'WindowView')",
    "SELECT schema_name FROM information_schema.schemata",
    # Explaining.
    f"EXPLAIN SELECT * FROM {_T}", f"EXPLAIN SYNTAX SELECT symbol FROM {_T}", f"EXPLAIN AST SELECT * FROM {_T}",
    f"EXPLAIN PLAN actions = 1, header = 1 SELECT * FROM {_T}", f"EXPLAIN PIPELINE SELECT count() FROM {_T}",
    f"EXPLAIN ESTIMATE SELECT * FROM {_T}", f"EXPLAIN indexes = 1 SELECT * FROM {_T} WHERE symbol = 'AAPL'",
    # Reading as pages do.
    f"SELECT * FROM {_T}", f"SELECT symbol, close FROM {_T} WHERE symbol = 'AAPL'", f"SELECT * FROM {_T} LIMIT 10 OFFSET 1",
    f"SELECT `symbol` AS `symbol`, AVG(`close`) AS `AVG(close)` FROM `marts`.`prices` GROUP BY `symbol` "
    "ORDER BY `AVG(close)` DESC LIMIT 1000",
    f'SELECT "symbol", sum("close") AS "s" FROM "marts"."prices" GROUP BY "symbol" HAVING ((sum("close") > 0))',
    f"SELECT DISTINCT symbol FROM {_T} ORDER BY symbol LIMIT 1000", f"SELECT COUNT(*) FROM (SELECT * FROM {_T}) AS virtual_table",
    f"SELECT COUNT(DISTINCT symbol), uniqExact(symbol), uniq(symbol) FROM {_T}", f"SELECT count(*) FILTER (WHERE close > 2) FROM {_T}",
    f"SELECT toStartOfInterval(now(), INTERVAL 1 HOUR) AS t, max(close) FROM {_T} GROUP BY t ORDER BY t",
    f"SELECT toStartOfDay(toDateTime('2024-01-01 10:00:00')) AS d, sum(close) FROM {_T} GROUP BY d WITH TOTALS",
    f"SELECT symbol, close, row_number() OVER (PARTITION BY symbol ORDER BY close DESC) AS r FROM {_T}",
    f"SELECT symbol, lagInFrame(close, 1) OVER (ORDER BY symbol ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {_T}",
    f"SELECT symbol, avg(close) OVER w FROM {_T} WINDOW w AS (ORDER BY symbol)",
    f"SELECT rank() OVER (ORDER BY close), dense_rank() OVER (ORDER BY close), ntile(2) OVER (ORDER BY close) FROM {_T}",
    f"SELECT quantile(0.5)(close), quantiles(0.1, 0.9)(close), median(close) FROM {_T}", f"SELECT stddevPop(close), varSamp(close), corr(close, close) FROM {_T}",
    f"SELECT sumIf(close, symbol = 'AAPL'), countIf(close > 1), argMax(symbol, close), anyLast(symbol) FROM {_T}",
    f"SELECT groupArray(symbol), groupUniqArray(symbol), arraySort(groupArray(close)) FROM {_T}",
    f"SELECT sumMerge(s) FROM (SELECT sumState(close) AS s FROM {_T})", f"SELECT avgOrNullIf(close, close > 100), sumDistinct(close) FROM {_T}",
    f"SELECT a.symbol, b.close FROM {_T} AS a INNER JOIN {_T} AS b ON a.symbol = b.symbol", f"SELECT * FROM {_T} AS a LEFT JOIN {_T} AS b USING (symbol)",
    f"SELECT * FROM {_T} AS a ASOF JOIN {_T} AS b ON a.symbol = b.symbol AND a.close >= b.close", f"SELECT * FROM {_T} AS a CROSS JOIN {_T} AS b",
    f"SELECT * FROM {_T} WHERE symbol IN (SELECT symbol FROM {_T} WHERE close > 2)", f"SELECT * FROM {_T} WHERE symbol LIKE 'A%' AND NOT (close IS NULL)",
    f"SELECT * FROM {_T} WHERE (symbol, close) IN (('AAPL', 1.5), ('X', 2))", f"SELECT * FROM {_T} WHERE close BETWEEN 1 AND 2 OR symbol ILIKE '%m%'",
    f"WITH top AS (SELECT * FROM {_T} ORDER BY close DESC LIMIT 1) SELECT * FROM top", "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
    f"WITH 2 AS factor SELECT close * factor FROM {_T}", f"SELECT symbol FROM {_T} UNION ALL SELECT 'x' UNION DISTINCT SELECT 'y'",
    f"SELECT symbol FROM {_T} EXCEPT SELECT 'AAPL'", f"SELECT symbol FROM {_T} INTERSECT SELECT 'AAPL'", f"(SELECT 1) UNION ALL (SELECT 2)",
    f"SELECT CASE WHEN close > 2 THEN 'high' ELSE 'low' END AS level, count() FROM {_T} GROUP BY level",
    f"SELECT CAST(close AS Decimal(18, 4)), close::String, toInt32(close), CAST(close, 'Nullable(Float64)') FROM {_T}",
    f"SELECT if(close > 2, 1, 0), multiIf(close > 2, 'a', close > 1, 'b', 'c'), coalesce(NULL, close), nullIf(close, 1.5) FROM {_T}",
    f"SELECT * EXCEPT (close), close * 2 AS twice FROM {_T}", f"SELECT * REPLACE (close + 1 AS close) FROM {_T}", f"SELECT COLUMNS('^c') APPLY (x -> x + 1) FROM {_T}",
    f"SELECT * APPLY toString FROM {_T}", f"SELECT symbol FROM {_T} GROUP BY GROUPING SETS ((symbol), ())", f"SELECT symbol, sum(close) FROM {_T} GROUP BY ROLLUP (symbol)",
    f"SELECT symbol, sum(close) FROM {_T} GROUP BY CUBE (symbol)", f"SELECT symbol, grouping(symbol) FROM {_T} GROUP BY ROLLUP (symbol)", f"SELECT close FROM {_T} LIMIT 1 BY symbol",
    "SELECT toDate('2024-01-01') + number AS d FROM numbers(3) ORDER BY d WITH FILL", "SELECT arrayJoin([1, 2, 3]) AS x, x * 2", "SELECT * FROM (SELECT [1, 2] AS a) ARRAY JOIN a",
    "SELECT arrayMap(x -> x + 1, [1, 2]), arrayFilter(x -> x > 1, [1, 2]), arraySum([1, 2])", "SELECT map('a', 1)['a'], mapKeys(map('a', 1)), tuple(1, 'a').1",
    "SELECT JSONExtractString('{\"a\":\"b\"}', 'a'), JSONExtract('{\"a\":[1]}', 'a', 'Array(Int64)')", "SELECT formatDateTime(now(), '%Y-%m-%d'), dateDiff('day', today(), tomorrow()) FROM (SELECT 1) WHERE 0"
    .replace("tomorrow()", "today() + 1"), "SELECT toYYYYMM(today()), toISOWeek(today()), dateTrunc('month', today()), date_add(DAY, 1, today())", "SELECT INTERVAL 1 DAY + toDate('2024-01-01'), now() - INTERVAL '7 days'"
    .replace("INTERVAL '7 days'", "INTERVAL 7 DAY"), "SELECT format('{}-{}', 'a', 'b'), concat('a', 'b'), 'a' || 'b'", "SELECT replaceRegexpAll('abc', 'b', 'x'), match('abc', 'b'), extract('a1', '[0-9]')",
    "SELECT substring('abc', 1, 2), trim(BOTH ' ' FROM ' a '), upper('a'), position('abc', 'b'), splitByChar(',', 'a,b')", "SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y'))", "SELECT * FROM values((1, 'x'), (2, 'y'))",
    "SELECT * FROM values('e Enum8(\\'a\\' = 1), d DateTime64(3)', ('a', 0))", "SELECT * FROM generateRandom('a UInt8, b String', 1, 5) LIMIT 2", "SELECT sum(number) FROM numbers(10)", "SELECT * FROM numbers_mt(2)", "SELECT * FROM generate_series(1, 5)",
    "SELECT * FROM null('a UInt8')", f"SELECT * FROM view(SELECT symbol FROM {_T})", f"SELECT file_name, url FROM (SELECT symbol AS file_name, symbol AS url FROM {_T})",
    f"SELECT 'file(' || symbol || ')', 'SETTINGS profile = 1; DROP TABLE x' FROM {_T}", f"SELECT symbol AS \"Symbol (file)\" FROM {_T}", f"SELECT 1 -- file('/etc/passwd')", "SELECT /* url('x') */ 1", "SELECT $$ file('x') $$",
    # Limits and forms of the result.
    f"SELECT * FROM {_T} SETTINGS max_threads = 1, max_result_rows = 100, result_overflow_mode = 'break'", f"SELECT * FROM {_T} SETTINGS max_execution_time = 10, join_use_nulls = 1",
    f"SELECT * FROM (SELECT * FROM {_T} SETTINGS max_threads = 1) FORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 0", f"SELECT * FROM {_T} FORMAT Native", f"SELECT * FROM {_T} FORMAT ArrowStream",
    f"SELECT * FROM {_T} FORMAT Parquet", f"SELECT * FROM {_T} FORMAT CSVWithNames", f"SELECT * FROM {_T} FORMAT PrettyCompactMonoBlock", f"SELECT * FROM {_T} FORMAT JSONEachRowWithProgress", f"SELECT * FROM {_T} FORMAT RowBinaryWithNamesAndTypes",
    f"SELECT * FROM {_T} FORMAT Vertical", f"SELECT * FROM {_T} FORMAT XML", f"SELECT * FROM {_T} FORMAT Markdown", f"SELECT * FROM {_T} FORMAT Null", f"SELECT * FROM {_T} FORMAT TabSeparatedRaw", f"SELECT * FROM {_T} FORMAT SQLInsert",
    "KILL QUERY WHERE query_id = 'none'", "KILL QUERY WHERE user = 'reader' AND elapsed > 1000 ASYNC",
]  # fmt: skip

# Parameters that drivers add to each request.
PARAMETERS = [
    {"max_execution_time": "65"}, {"max_execution_time": "10", "max_result_rows": "1000"},
    {"readonly": "2"}, {"readonly": "1"}, {"readonly": "2", "session_id": "narrow"},
    {"extremes": "0", "max_result_rows": "200", "result_overflow_mode": "break", "session_id": "jdbc"},
    {"send_progress_in_http_headers": "0", "default_format": "JSONCompact"},
    {"database": "system"}, {"database": "marts"}, {"wait_end_of_query": "1", "buffer_size": "1048576"},
    {"output_format_json_quote_64bit_integers": "1", "output_format_json_quote_denormals": "1"},
    {"date_time_input_format": "best_effort", "date_time_output_format": "iso"},
    {"join_use_nulls": "1", "group_by_overflow_mode": "any", "max_rows_to_group_by": "1000000"},
    {"log_comment": "dashboard 7"}, {"enable_http_compression": "0", "stacktrace": "0"},
    {"role": "reader"}, {"query_id": "a-b-c", "quota_key": "x"}, {"max_memory_usage": "500000000"},
    {"session_timezone": "Europe/Berlin"}, {"cancel_http_readonly_queries_on_client_close": "1"},
]  # fmt: skip
