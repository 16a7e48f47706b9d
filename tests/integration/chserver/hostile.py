"""Statements that must give nothing: dangerous things in every place where SQL may name them.

``{file}`` is a file outside the server's directories that holds the canary, ``{inside}`` one within
them, ``{url}`` the address of a listener that must not be called.
"""

from __future__ import annotations

from itertools import product

# What would reach out, as a table function ...
TABLES = [
    "file('{file}', 'LineAsString', 'x String')",
    "file('{inside}', 'LineAsString', 'x String')",
    "`file`('{file}')",
    "fileCluster('c', '{file}', 'CSV', 'x String')",
    "url('{url}', 'CSV', 'x String')",
    "urlCluster('c', '{url}', 'CSV', 'x String')",
    "s3('{url}/b/k', 'NOSIGN', 'CSV', 'x String')",
    "s3Cluster('c', '{url}/b/k', 'CSV', 'x String')",
    "gcs('{url}/b/k', 'CSV', 'x String')",
    "azureBlobStorage('{url}', 'c', 'b', 'CSV', 'x String')",
    "hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'x String')",
    "iceberg('{url}/b/k')",
    "icebergS3('{url}/b/k')",
    "icebergLocal('{file}')",
    "deltaLake('{url}/b/k')",
    "deltaLakeLocal('{file}')",
    "hudi('{url}/b/k')",
    "paimonLocal('{file}')",
    "filesystem('{file}')",
    "sqlite('{file}', 't')",
    "mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'x String')",
    "redis('127.0.0.1:1', 'x', 'x String')",
    "odbc('DSN=x', 'a', 'b')",
    "jdbc('x', 'a', 'b')",
    "remote('127.0.0.1', 'staging', 'secret')",
    "remoteSecure('127.0.0.1', 'staging', 'secret')",
    "cluster('default', 'staging', 'secret')",
    "clusterAllReplicas('default', 'system', 'processes')",
    "executable('id', 'TSV', 'x String')",
    "python('users')",
    "eval('SELECT file(\\'{file}\\')')",
    "loop(staging.secret)",
    "merge('.*', 'secret')",
    "dictionary('staging.d')",
    "viewIfPermitted(SELECT file('{file}') AS x ELSE null('x String'))",
    "view(SELECT file('{file}') AS x)",
    "view(SELECT * FROM staging.secret)",
    "mergeTreeIndex(staging, secret)",
    "mergeTreeProjection(staging, secret, p)",
    "format(LineAsString, 'x String', 'a')",
    "format(JSONEachRow, 'a Int8, x String DEFAULT file(\\'{file}\\')', '{{\"a\":1}}')",
    "input('x String')",
    "fuzzQuery('SELECT 1')",
    "timeSeriesData(staging.secret)",
    "values('a UInt8, x String ALIAS file(\\'{file}\\')', 1)",
    "values('a UInt8, x String DEFAULT file(\\'{file}\\')', (1, ''))",
    "values('a UInt8, x String MATERIALIZED file(\\'{file}\\')', 1)",
    "values('a/**/UInt8,x/**/String/**/ALIAS/**/file(\\'{file}\\')', 1)",
    "values('a\\tUInt8,x\\tString\\tALIAS\\tfile(\\'{file}\\')', 1)",
    "values('a UInt8, x String' || ' ALIAS file(\\'{file}\\')', 1)",
    "values(['a UInt8, x String ALIAS file(\\'{file}\\')'][1], 1)",
    "values(concat('a UInt8, x String ALIAS fi', 'le(\\'{file}\\')'), 1)",
    "values($$a UInt8, x String ALIAS file('{file}')$$, 1)",
    "values('x AggregateFunction(sum, UInt64)', unhex('00'))",
    "generateRandom('a UInt8, x String ALIAS file(\\'{file}\\')', 1, 2, 2)",
    "generateRandom('a UInt8, x String DEFAULT `fi\\\\x6ce`(\\'{file}\\')', 1, 2, 2)",
    "null('a UInt8, x String ALIAS file(\\'{file}\\')')",
]
# ... and where a table function may stand.
FROM = [
    "SELECT * FROM {t}",
    "SELECT x FROM {t} LIMIT 1",
    "SELECT (SELECT any(x) FROM {t})",
    "SELECT 1 WHERE 'a' IN (SELECT x FROM {t})",
    "SELECT * FROM numbers(1) AS n, {t} AS t",
    "WITH w AS (SELECT * FROM {t}) SELECT * FROM w",
    "SELECT 1 UNION ALL SELECT length(x) FROM {t}",
    "DESCRIBE TABLE {t}",
    "EXPLAIN SELECT * FROM {t}",
    "EXPLAIN SYNTAX SELECT * FROM (SELECT * FROM {t})",
]
# What would reach out as a function of one text, and where a function may be named.
CALLS = [
    "SELECT {f}('{file}')",
    "SELECT `{f}`('{file}')",
    "SELECT /* ' */ {f} -- '\n('{file}')",
    "SELECT * APPLY({f}) FROM (SELECT '{file}')",
    "SELECT * APPLY(x -> {f}(x)) FROM (SELECT '{file}')",
    "SELECT arrayMap({f}, ['{file}'])",
    "SELECT arrayMap(x -> {f}(x), ['{file}'])",
    "WITH {f}('{file}') AS x SELECT x",
    "SELECT COLUMNS('x') REPLACE({f}(x) AS x) FROM (SELECT '{file}' AS x)",
    "SELECT max(x) FROM (SELECT {f}('{file}') AS x) HAVING {f}('{file}') != ''",
    "SELECT 1 ORDER BY {f}('{file}')",
    "SELECT 1 LIMIT length({f}('{file}'))",
    "SELECT if(1, {f}('{file}'), '')",
    "EXPLAIN SYNTAX SELECT {f}('{file}')",
    "DESCRIBE TABLE (SELECT {f}('{file}') AS x)",
    "KILL QUERY WHERE {f}('{file}') != '' TEST",
]
FUNCTIONS = ["file", "FILE", "filesystemAvailable", "getMacro", "getServerSetting", "showCertificate"]
OTHER_CALLS = [
    "SELECT dictGet('staging.d', 'x', 1)",
    "SELECT dictHas('staging.d', 1)",
    "SELECT joinGet('staging.j', 'x', 1)",
    "SELECT hasColumnInTable('staging', 'secret', 'value')",
    "SELECT addressToLine(1)",
    "SELECT demangle('x')",
    "SELECT getClientHTTPHeader('X-ClickHouse-Key')",
    "SELECT formatQuery('SELECT 1')",
    "SELECT parseQueryToJSON('SELECT 1')",
    "SELECT formatRow('Template', 1)",
    "SELECT structureToProtobufSchema('a Int8')",
    "SELECT naiveBayesClassifier('{file}', 'x')",
    "SELECT catboostEvaluate('{file}', 1)",
    "SELECT aiGenerate('x', '{url}')",
    "SELECT serverUUID()",
    "SELECT tcpPort()",
    "SELECT __getScalar('x')",
    "SELECT CAST(unhex('00'), 'AggregateFunction(sum, UInt64)')",
    "SELECT CAST(unhex('00') AS AggregateFunction(groupArray, String))",
    "SELECT unhex('00')::AggregateFunction(uniq, String)",
    "SELECT CAST(unhex('00'), 'Aggregate' || 'Function(sum, UInt64)')",
    "SELECT finalizeAggregation(CAST('x' AS AggregateFunction(topK, String)))",
    "SELECT JSONExtract('{{}}', 'AggregateFunction(sum, UInt64)')",
    "SELECT JSONExtract('{{}}', concat('Aggregate', 'Function(sum, UInt64)'))",
    "SELECT accurateCast(unhex('00'), 'AggregateFunction(sum, UInt64)')",
    "SELECT reinterpret(unhex('00'), 'AggregateFunction(sum, UInt64)')",
    "SELECT nothing_known(1)",
]
# Settings that open files or addresses, lift limits or change who one is, and where they are set.
SETTINGS = [
    *("output_format_schema = '{new}'", "format_schema = '{file}:M'"),
    *("format_schema_source = 'string'", "format_template_resultset = '{file}'"),
    *("format_template_row = '{file}'", "format_avro_schema_registry_url = '{url}'"),
    *("additional_result_filter = 'file(\\'{file}\\') != \\'\\''", "dialect = 'kusto'"),
    *("profile = 'default'", "readonly = 0", "max_memory_usage = 0", "max_execution_time = 0"),
    *("max_untracked_memory = 1000000000000", "max_memory_usage_for_user = 0"),
    *("memory_overcommit_ratio_denominator = 0", "send_logs_level = 'trace'"),
    *("allow_introspection_functions = 1", "allow_ddl = 0", "implicit_select = 1"),
    *("allow_experimental_analyzer = 0", "use_query_cache = 1", "log_queries = 1"),
    *("allow_experimental_eval_table_function = 1", "max_parser_depth = 1000000"),
    *("format_display_secrets_in_show_and_select = 1", "use_environment_credentials = 1"),
    *("query_profiler_real_time_period_ns = 1", "filesystem_cache_name = 'x'"),
    *("input_format_values_interpret_expressions = 1", "parallel_replicas_custom_key = 'x'"),
    *("http_make_head_request = 1", "s3_truncate_on_insert = 1", "engine_file_skip_empty_files = 1"),
    *("temporary_files_codec = 'NONE'", "cloud_mode = 1", "distributed_ddl_entry_format_version = 1"),
]
SET = [
    "SET {s}",
    "SELECT 1 SETTINGS {s}",
    "SELECT * FROM (SELECT 1 SETTINGS {s})",
    "SELECT 1 AS x FORMAT Protobuf SETTINGS {s}",
    "SELECT 1 SETTINGS max_threads = 1, {s}, max_block_size = 100",
    "EXPLAIN SELECT 1 SETTINGS {s}",
]
SYSTEM = """users roles grants role_grants processes user_processes query_log session_log text_log
    errors stack_trace server_settings named_collections remote_data_paths settings_profiles
    settings_profile_elements row_policies quotas quota_usage disks storage_policies
    certificates handlers symbols events metrics dns_cache user_query_log session_query_ids
    asynchronous_inserts backups s3_queue_metadata iceberg_files jemalloc_profile_text""".split()
TABLES_OF_OTHERS = [
    *("SELECT * FROM {t}", "SELECT (SELECT count() FROM {t})", "SELECT 1 WHERE 1 IN {t}"),
    "WITH w AS (SELECT * FROM {t}) SELECT * FROM w",
]
STATEMENTS = [
    *("SET ROLE admin", "SET ROLE ALL", "SET ROLE NONE", "SET DEFAULT ROLE ALL TO default"),
    *("EXECUTE AS default SELECT 1", "GRANT ALL ON *.* TO reader", "CREATE USER x", "DROP USER default"),
    *("CREATE ROLE r", "CREATE QUOTA q", "CREATE ROW POLICY p ON marts.prices USING 1 TO ALL"),
    *("CREATE SETTINGS PROFILE p", "ALTER USER default IDENTIFIED BY 'x'", "SHOW GRANTS", "SHOW USERS"),
    *("SHOW ACCESS", "SHOW ROLES", "SHOW QUOTAS", "SHOW CREATE USER default", "SHOW PROFILES"),
    *("CREATE FUNCTION f AS (x) -> x", "CREATE NAMED COLLECTION c AS a = 1", "DROP NAMED COLLECTION c"),
    *("SYSTEM SHUTDOWN", "SYSTEM KILL", "SYSTEM RELOAD CONFIG", "SYSTEM DROP MARK CACHE"),
    *("SYSTEM FLUSH LOGS", "SYSTEM STOP MERGES", "SYSTEM RELOAD DICTIONARIES", "SYSTEM RESTART REPLICAS"),
    *("SYSTEM DROP FILESYSTEM CACHE", "SYSTEM STOP LISTEN HTTP", "SYSTEM ENABLE FAILPOINT x"),
    *("BACKUP DATABASE marts TO File('{new}')", "RESTORE DATABASE marts FROM File('{file}')"),
    *("BACKUP TABLE marts.prices TO Disk('default', 'x')", "BACKUP ALL TO S3('{url}/b', 'a', 'b')"),
    *("SELECT 1 INTO OUTFILE '{new}'", "SELECT 1 INTO OUTFILE '{new}' APPEND FORMAT CSV"),
    *("SELECT 1 INTO OUTFILE '{new}' AND STDOUT", "SELECT 1; SELECT file('{file}')"),
    *("SELECT 1; DROP TABLE marts.prices", "SELECT 1 PARALLEL WITH SELECT 2", "ATTACH DATABASE x"),
    *("ATTACH TABLE marts.a FROM '{file}' (x Int8) ENGINE = MergeTree ORDER BY x", "DETACH TABLE marts.prices"),
    *("INSERT INTO FUNCTION file('{new}', 'CSV', 'x String') SELECT 'x'", "DETACH DATABASE marts"),
    *("INSERT INTO TABLE FUNCTION file('{new}', 'CSV', 'x String') VALUES ('x')", "UNDROP TABLE marts.x"),
    *("INSERT INTO FUNCTION url('{url}', 'CSV', 'x String') SELECT 'x'", "DROP DATABASE lake"),
    *("INSERT INTO marts.prices FROM INFILE '{file}' FORMAT CSV", "CREATE DATABASE other"),
    *("COPY marts.prices TO '{new}'", "CREATE WORKLOAD all", "CREATE RESOURCE r (WRITE DISK d)"),
    *("INSERT INTO lake.quotes VALUES ('x')", "TRUNCATE TABLE lake.quotes", "DROP TABLE lake.quotes"),
    *("RENAME TABLE lake.quotes TO marts.quotes", "EXCHANGE TABLES lake.quotes AND marts.prices"),
    *("BEGIN TRANSACTION", "SET TRANSACTION SNAPSHOT 1", "MOVE USER default TO x", "SHOW CLUSTERS"),
    *("SHOW CREATE DATABASE lake_hidden", "EXISTS file('{file}')", "KILL MUTATION WHERE 1"),
    *("KILL TRANSACTION WHERE 1", "KILL PART_MOVE_TO_SHARD WHERE 1", "CHECK GRANT SELECT ON lake.*"),
    *("SELECT 1 FORMAT Template", "SELECT 1 AS x FORMAT Protobuf", "SELECT 1 AS x FORMAT CapnProto"),
    *("SELECT 1 AS x FORMAT AvroConfluent", "SELECT 1 AS x FORMAT ProtobufList", "SELECT * FROM `{file}`"),
    *("SELECT * FROM default.`{file}`", "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')"),
]
# A reader changes nothing and sees no table but those of the marts.
READERS_OWN = [
    *("INSERT INTO marts.prices VALUES ('X', 1)", "INSERT INTO marts.prices SELECT 'X', 1"),
    *("CREATE TABLE marts.mine (x Int8) ENGINE = Memory", "CREATE VIEW marts.v AS SELECT 1"),
    *("CREATE TEMPORARY TABLE mine (x Int8)", "DROP TABLE marts.prices", "TRUNCATE TABLE marts.prices"),
    *("DELETE FROM marts.prices WHERE 1", "ALTER TABLE marts.prices DELETE WHERE 1"),
    *("ALTER TABLE marts.prices ADD COLUMN y Int8", "UPDATE marts.prices SET close = 0 WHERE 1"),
    *("OPTIMIZE TABLE marts.prices", "RENAME TABLE marts.prices TO marts.q", "CHECK TABLE marts.prices"),
    *("SHOW CREATE TABLE staging.secret", "SHOW CREATE DATABASE lake", "DESCRIBE TABLE staging.secret"),
    *("USE system", "USE lake", "USE staging", "EXPLAIN INSERT INTO marts.prices SELECT 'X', 1"),
]  # fmt: skip

WRITERS_ENGINES = [
    *("File(CSV, '{new}')", "URL('{url}', 'CSV')", "S3('{url}/b/k', 'CSV')", "SQLite('{file}', 't')"),
    *("S3Queue('{url}/b/k', 'CSV')", "MySQL('127.0.0.1:1', 'a', 'b', 'c', 'd')", "FileLog('{file}', 'CSV')"),
    *("PostgreSQL('127.0.0.1:1', 'a', 'b', 'c', 'd')", "MongoDB('127.0.0.1:1', 'a', 'b', 'c', 'd')"),
    *("Redis('127.0.0.1:1')", "Kafka('127.0.0.1:1', 'a', 'b', 'CSV')", "ODBC('DSN=x', 'a', 'b')"),
    *("EmbeddedRocksDB(0, '{new}') PRIMARY KEY x", "EmbeddedRocksDB PRIMARY KEY x", "HDFS('hdfs://x/', 'CSV')"),
    *("IcebergLocal('{file}')", "IcebergS3('{url}/b/k')", "DeltaLakeLocal('{file}')", "Hudi('{url}/b/k')"),
    *("AzureBlobStorage('x', 'y', 'z', 'CSV')", "Executable('id', 'TSV')", "ExecutablePool('id', 'TSV')"),
    *("Distributed('default', 'system', 'processes')", "Remote('127.0.0.1', 'system', 'processes')"),
    *("Merge('.*', '.*')", "Buffer('lake', 'quotes', 1, 1, 1, 1, 1, 1, 1)", "Dictionary('staging.d')"),
    *("Loop('lake', 'quotes')", "Alias('lake', 'quotes')", "KeeperMap('/x') PRIMARY KEY x", "FuzzJSON('x')"),
    *("ReplicatedMergeTree('/x', 'r') ORDER BY x", "QueryRunner('x')", "TimeSeries", "YTsaurus('a','b','c')"),
    *("MergeTree ORDER BY x SETTINGS disk = disk(type = 'local', path = '/tmp/')", "ArrowStream('x')"),
    *("MergeTree ORDER BY x SETTINGS disk = disk(type = 'object_storage', object_storage_type = 's3', "
      "endpoint = '{url}/b/')", "MergeTree ORDER BY x SETTINGS storage_policy = 's3'"),
    *("MergeTree ORDER BY x SETTINGS disk = 'default'", "MergeTree ORDER BY x SETTINGS table_disk = 1"),
    *("MergeTree ORDER BY file('{file}')", "MergeTree ORDER BY x TTL d + toIntervalDay(1) TO DISK 'x'"),
]  # fmt: skip
WRITERS_PLACES = [
    "CREATE TABLE staging.hostile (x String) ENGINE = {e}",
    "CREATE OR REPLACE TABLE marts.hostile (x String) ENGINE = {e}",
    "CREATE TEMPORARY TABLE hostile (x String) ENGINE = {e}",
]
WRITERS_OWN = [
    "CREATE TABLE staging.h (x String DEFAULT file('{file}')) ENGINE = MergeTree ORDER BY tuple()",
    "CREATE TABLE staging.h (a Int8, x String ALIAS file('{file}')) ENGINE = Memory",
    "CREATE TABLE staging.h (a Int8, x String MATERIALIZED file('{file}')) ENGINE = Memory",
    "CREATE TABLE staging.h (a Int8, CONSTRAINT c CHECK file('{file}') != '') ENGINE = Memory",
    "CREATE TABLE staging.h (a Int8, INDEX i file('{file}') TYPE minmax) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE staging.h ENGINE = Memory AS SELECT file('{file}') AS x",
    "CREATE TABLE staging.h AS file('{file}', 'LineAsString', 'x String')",
    "CREATE TABLE staging.h AS url('{url}', 'CSV', 'x String')",
    "CREATE VIEW marts.h AS SELECT file('{file}') AS x",
    "CREATE VIEW marts.h DEFINER = default SQL SECURITY DEFINER AS SELECT * FROM system.processes",
    "CREATE VIEW marts.h SQL SECURITY NONE AS SELECT * FROM marts.prices",
    "CREATE MATERIALIZED VIEW marts.h ENGINE = Memory AS SELECT file('{file}') AS x",
    "CREATE MATERIALIZED VIEW marts.h ENGINE = File(CSV) AS SELECT 1 AS x",
    "CREATE DICTIONARY marts.h (x String, y String) PRIMARY KEY x SOURCE(FILE(path '{file}' "
    "format 'CSV')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY marts.h (x String, y String) PRIMARY KEY x SOURCE(HTTP(url '{url}' "
    "format 'CSV')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY marts.h (x String, y String) PRIMARY KEY x SOURCE(EXECUTABLE(command 'id' "
    "format 'TSV')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE OR REPLACE DICTIONARY marts.h (x String, y String) PRIMARY KEY x SOURCE(CLICKHOUSE("
    "QUERY 'SELECT 1, 2')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DATABASE marts2 ENGINE = SQLite('{file}')",
    "CREATE DATABASE IF NOT EXISTS marts3 ENGINE = Filesystem('/')",
    "CREATE DATABASE staging2 ENGINE = PostgreSQL('127.0.0.1:1', 'a', 'b', 'c')",
    "CREATE DATABASE other ENGINE = DataLakeCatalog('{url}', 'a', 'b')",
    "ALTER TABLE staging.own UPDATE x = file('{file}') WHERE 1",
    "ALTER TABLE staging.own DELETE WHERE file('{file}') != ''",
    "ALTER TABLE staging.own ADD COLUMN y String DEFAULT file('{file}')",
    "ALTER TABLE staging.own MODIFY COLUMN x String ALIAS file('{file}')",
    "ALTER TABLE staging.own FREEZE",
    "ALTER TABLE staging.own FREEZE PARTITION tuple()",
    "ALTER TABLE staging.own UNFREEZE WITH NAME 'x'",
    "ALTER TABLE staging.own FETCH PARTITION tuple() FROM '/x'",
    "ALTER TABLE staging.own MOVE PARTITION tuple() TO DISK 'x'",
    "ALTER TABLE staging.own MOVE PARTITION tuple() TO VOLUME 'x'",
    "ALTER TABLE staging.own MODIFY SETTING storage_policy = 'x'",
    "ALTER TABLE staging.own MODIFY SETTING disk = 'x'",
    "ALTER TABLE staging.own MODIFY TTL toDate(x) TO DISK 'x'",
    "ALTER TABLE lake.quotes DELETE WHERE 1",
    "ALTER DATABASE lake MODIFY COMMENT 'x'",
    "DELETE FROM staging.own WHERE file('{file}') != ''",
    "UPDATE staging.own SET x = file('{file}') WHERE 1",
    "INSERT INTO staging.own SELECT file('{file}')",
    "INSERT INTO staging.own SELECT * FROM file('{file}', 'LineAsString', 'x String')",
    "INSERT INTO staging.own VALUES (file('{file}'))",
    "INSERT INTO staging.own VALUES ((SELECT file('{file}')))",
    "INSERT INTO staging.own SETTINGS format_schema = '{file}' VALUES ('a')",
    "INSERT INTO staging.own SETTINGS input_format_values_interpret_expressions = 1 VALUES ('a')",
    "INSERT INTO FUNCTION remote('127.0.0.1', 'lake', 'quotes') SELECT 'x'",
    "INSERT INTO FUNCTION null('x String') SELECT 'x'",
    "CREATE WINDOW VIEW staging.h AS SELECT file('{file}')",
    "DROP FUNCTION f",
]  # fmt: skip


def reader() -> list[str]:
    """Statements that give a reader nothing."""
    tables = [place.replace("{t}", table) for table, place in product(TABLES, FROM[:6])]
    tables += [place.replace("{t}", TABLES[i]) for i, place in product((0, 4, 6), FROM[6:])]
    calls = [place.replace("{f}", name) for name, place in product(FUNCTIONS, CALLS)]
    changes = [place.replace("{s}", setting) for setting, place in product(SETTINGS, SET)]
    hidden = [f"system.{name}" for name in SYSTEM] + ["staging.secret", "lake.quotes"]
    others = [place.replace("{t}", name) for name, place in product(hidden, TABLES_OF_OTHERS)]
    return _distinct(tables + calls + OTHER_CALLS + changes + others + STATEMENTS + READERS_OWN)


def writer() -> list[str]:
    """Statements that give a writer nothing."""
    engines = [p.replace("{e}", engine) for engine, p in product(WRITERS_ENGINES, WRITERS_PLACES)]
    tables = [FROM[i % 4].replace("{t}", table) for i, table in enumerate(TABLES)]
    # What a writer may read or change as far as its limits go.
    free = ("staging.secret", "AggregateFunction", "values('x Agg")
    tables = [sql for sql in tables if not any(word in sql for word in free)]
    calls = [place.replace("{f}", name) for name, place in product(FUNCTIONS[:2], CALLS)]
    statements = [sql for sql in STATEMENTS if "SHOW " not in sql or "USER" in sql]
    return _distinct(engines + tables + calls + statements + WRITERS_OWN)


def _distinct(statements: list[str]) -> list[str]:
    return list(dict.fromkeys(statements))
