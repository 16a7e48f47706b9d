"""What each role may do, and above all what it may not."""

from pathlib import Path
from typing import Any

import pytest

DENIED = 497
READONLY = 164
CONSTRAINT = 452
CANARY = "canary-in-a-file"

# Statements that neither reader nor writer may run, by what they would reach.
OUTSIDE = {
    "file function": "SELECT file('{file}')",
    "file, quoted and escaped": "SELECT `fi\\x6ce`('{file}')",
    "file, in a comment's shadow": "SELECT /* x */ file /* y */ (\n'{file}') -- z",
    "file by APPLY": "SELECT * APPLY(file) FROM (SELECT '{file}')",
    "file as a lambda": "SELECT arrayMap(file, ['{file}'])",
    "file table": "SELECT * FROM file('{file}', 'LineAsString', 'x String')",
    "file name as a table": "SELECT * FROM `{file}`",
    "file in a default": "SELECT * FROM format(JSONEachRow, 'x String, y String DEFAULT f' "
    "|| 'ile(\\'{file}\\')', '{{\"x\":\"1\"}}')",
    "format by computed name": "SELECT * FROM format('{{' || 'x', 'x String', 'y')",
    "format after a comma": "SELECT * FROM marts.prices, format(Values, 'x String', '(1)')",
    "statement in a string": "SELECT * FROM eval('SELECT fi' || 'le(\\'{file}\\')') "
    "SETTINGS allow_experimental_eval_table_function = 1",
    "table function after a comma": "SELECT * FROM numbers(1) AS a, loop(marts.prices) AS b",
    "file in a filter": "SELECT * FROM marts.prices SETTINGS additional_table_filters = "
    "{{'marts.prices': 'length(fi\\x6ce(\\'{file}\\')) > 0'}}",
    "file in a result filter": "SELECT * FROM marts.prices SETTINGS additional_result_filter = "
    "'length(fi' 'le(\\'{file}\\')) > 0'",
    "file as a template": "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{file}'",
    "file as a schema": "SELECT 1 AS x FORMAT Protobuf SETTINGS format_schema = '{file}:M'",
    "objects of the process": "SELECT * FROM Python(users)",
    "program": "SELECT * FROM executable('id', 'TSV', 'x String')",
    "url": "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')",
    "s3": "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'x String')",
    "s3 cluster": "SELECT * FROM icebergS3('http://127.0.0.1:1/bucket/key')",
    "local iceberg": "SELECT * FROM icebergLocal('/tmp')",
    "other server": "SELECT * FROM remote('127.0.0.1', 'system', 'processes')",
    "other database": "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "sqlite": "SELECT * FROM sqlite('{file}', 't')",
    "write a file": "INSERT INTO FUNCTION file('{file}', 'CSV', 'x String') SELECT 'x'",
    "write a file by the client": "SELECT 1 INTO OUTFILE '{file}' APPEND",
    "read a file by the client": "INSERT INTO marts.prices FROM INFILE '{file}' FORMAT CSV",
    "backup": "BACKUP DATABASE marts TO File('{file}.zip')",
    "users": "SELECT * FROM system.users",
    "grants": "SELECT * FROM system.grants",
    "other role": "SET ROLE admin",
    "all roles": "SET ROLE ALL",
    "default role": "SET ROLE DEFAULT",
    "no role": "SET ROLE NONE",
    "default role for good": "SET DEFAULT ROLE ALL TO default",
    "other user": "EXECUTE AS default SELECT 1",
    "other profile": "SET profile = 'default'",
    "other profile, quoted": "SET `profile` = 'admin'",
    "other profile for a query": "SELECT 1 SETTINGS profile = 'default'",
    "other profile in a subquery": "SELECT * FROM (SELECT 1 SETTINGS profile = 'admin')",
    "writable": "SET readonly = 0",
    "writable for a query": "SELECT 1 SETTINGS readonly = 0",
    "other language": "SET dialect = 'kusto'",
    "grant": "GRANT SELECT ON lake.* TO reader",
    "user": "CREATE USER x",
    "function": "CREATE FUNCTION f AS (x) -> x",
    "named collection": "CREATE NAMED COLLECTION c AS a = 1",
    "copy to a file": "COPY marts.prices TO '{file}'",
    "shutdown": "SYSTEM SHUTDOWN",
    "view with the maker's rights": "CREATE VIEW marts.v DEFINER = default SQL SECURITY DEFINER "
    "AS SELECT * FROM system.processes",
    "view without rights": "CREATE VIEW marts.v SQL SECURITY NONE AS SELECT * FROM marts.prices",
    "dictionary of a query": "CREATE DICTIONARY marts.d (x String, y String) PRIMARY KEY x SOURCE("
    "CLICKHOUSE(QUERY 'SELECT query_id, query FROM system.processes')) "
    "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "file table engine": "CREATE TABLE marts.f (x String) ENGINE = File(CSV, '{file}')",
    "url table engine": "CREATE TABLE marts.u (x String) ENGINE = URL('http://127.0.0.1:1', 'CSV')",
    "local disk": "CREATE TABLE marts.l (x String) ENGINE = MergeTree ORDER BY x "
    "SETTINGS disk = disk(type = local, path = '/tmp/')",
    "database of another": "CREATE DATABASE other",
    "drop the lake": "DROP DATABASE lake",
    "write the lake": "INSERT INTO lake.quotes VALUES ('x')",
    "two statements": "SELECT 1; SELECT file('{file}')",
}

READER_ONLY = {
    "lake": "SELECT * FROM lake.quotes",
    "lake through a view": "SELECT * FROM view(SELECT * FROM lake.quotes)",
    "lake in a subquery": "SELECT (SELECT any(symbol) FROM lake.quotes)",
    "lake by IN": "SELECT 1 WHERE 'AAPL' IN lake.quotes",
    "staging": "SELECT * FROM staging.secret",
    "merge over all": "SELECT * FROM merge(REGEXP('.*'), 'quotes')",
    "insert": "INSERT INTO marts.prices VALUES ('X', 1)",
    "create": "CREATE TABLE marts.mine (x Int8) ENGINE = Memory",
    "temporary table": "CREATE TEMPORARY TABLE mine (x Int8)",
    "drop": "DROP TABLE marts.prices",
    "delete": "DELETE FROM marts.prices WHERE 1",
    "optimize": "OPTIMIZE TABLE marts.prices",
    "definition of the lake": "SHOW CREATE DATABASE lake",
    "queries of others": "SELECT * FROM system.processes",
    "errors of others": "SELECT * FROM system.errors",
    "stacks": "SELECT * FROM system.stack_trace",
    "parts": "SELECT path FROM system.parts",
    "system by explain": "EXPLAIN SELECT * FROM system.processes",
    "system as current": "USE system",
    "more memory": "SET max_memory_usage = 2000000000",
    "more memory for a query": "SELECT 1 SETTINGS max_memory_usage = 2000000000",
    "endless memory": "SELECT 1 SETTINGS max_memory_usage = 0",
    "more time": "SET max_execution_time = 3600",
    "endless time": "SELECT 1 SETTINGS max_execution_time = 0",
    "forbid ddl": "SET allow_ddl = 0",
    "time limit ignored": "SET timeout_overflow_mode = 'break'",
}


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canary") / "canary.txt"
    path.write_text(CANARY)
    return path


def must_refuse(server: Any, user: str, sql: str, **params: str) -> None:
    answer = server.query(sql, user, **params)
    assert answer.status >= 400, f"{user} ran: {sql}\n{answer.text}"
    assert CANARY not in answer.text


@pytest.mark.parametrize("user", ["reader", "writer"])
@pytest.mark.parametrize("what", OUTSIDE)
def test_nobody_but_admin_leaves_the_warehouse(
    server: Any, canary: Path, user: str, what: str
) -> None:
    must_refuse(server, user, OUTSIDE[what].format(file=canary))
    assert canary.read_text() == CANARY


@pytest.mark.parametrize("what", READER_ONLY)
def test_a_reader_reads_the_marts_and_nothing_else(server: Any, what: str) -> None:
    answer = server.query(READER_ONLY[what], "reader")
    assert answer.code in (DENIED, READONLY, CONSTRAINT, 60, 636), answer.text or "it ran"
    assert server.ok("SELECT count() FROM marts.prices", "reader") == "2\n"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"role": "admin"}, 512),
        ({"profile": "default"}, READONLY),
        ({"PROFILE": "default"}, READONLY),
        ({"readonly": "0"}, READONLY),
        ({"max_memory_usage": "2000000000"}, CONSTRAINT),
        ({"max_execution_time": "0"}, CONSTRAINT),
        ({"dialect": "kusto"}, CONSTRAINT),
        ({"default_format": "Template", "format_template_resultset": "/etc/hostname"}, CONSTRAINT),
        ({"database": "lake"}, DENIED),
        ({"max_threads = 1, readonly": "0"}, 115),
        ({"max_threads`": "0"}, 115),
    ],
)
def test_parameters_of_a_request_lead_nowhere(
    server: Any, params: dict[str, str], code: int
) -> None:
    assert server.query("SELECT 1", "reader", **params).code == code
    assert server.query("SELECT 1", "reader", session_id="lead", **params).code == code
    assert server.ok("SELECT getSetting('readonly')", "reader", session_id="lead") == "2\n"


@pytest.mark.parametrize("name", ["system.processes", "`system`.processes", "system . processes"])
def test_identifiers_as_parameters_are_looked_at(server: Any, name: str) -> None:
    must_refuse(server, "reader", "SELECT * FROM {t:Identifier}", param_t=name)
    database, table = (part.strip(" `") for part in name.split("."))
    must_refuse(
        server, "reader", "SELECT * FROM {d:Identifier}.{t:Identifier}",
        param_d=database, param_t=table,
    )  # fmt: skip
    sql = "SELECT count() FROM {d:Identifier}.{t:Identifier}"
    assert server.ok(sql, "reader", param_d="marts", param_t="prices") == "2\n"


def test_expressions_in_values_are_not_evaluated(server: Any, canary: Path) -> None:
    server.ok(
        "CREATE OR REPLACE TABLE staging.vals (x String, y Int64) ENGINE MergeTree ORDER BY x"
    )
    for value in (f"file('{canary}')", f"`fi\\x6ce`('{canary}')", f"(SELECT file('{canary}'))"):
        must_refuse(server, "writer", f"INSERT INTO staging.vals VALUES ({value}, 1)")
    server.ok("INSERT INTO staging.vals VALUES ('it''s', -1), ('b', 2)", "writer")
    assert server.ok("SELECT count(), sum(y) FROM staging.vals", "writer") == "2\t1\n"


def test_external_tables_bring_no_rights(server: Any, canary: Path) -> None:
    def send(structure: str, data: bytes, output: str = "CSV") -> Any:
        boundary = b"x-boundary"
        fields = {b"ext_structure": structure.encode(), b"ext_format": output.encode()}
        body = b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, k, v)
            for k, v in fields.items()
        )
        body += (
            b'--%s\r\nContent-Disposition: form-data; name="ext"; filename="ext"\r\n\r\n%s\r\n'
            b"--%s--\r\n" % (boundary, data, boundary)
        )
        return server.query(
            body, "reader", query="SELECT *, currentRoles() FROM ext",
            headers={"Content-Type": "multipart/form-data; boundary=x-boundary"},
        )  # fmt: skip

    assert send("x Int32", b"7\n").text == "7\t['reader']\n"
    for structure, data, output in (
        (f"x String) AS SELECT file('{canary}') --", b"a\n", "CSV"),
        (f"x Int8, y String DEFAULT file('{canary}')", b'{"x": 1}', "JSONEachRow"),
        ("x String", f"(file('{canary}'))".encode(), "Values"),
        ("x String", b"a", "Nonsense"),
    ):
        answer = send(structure, data, output)
        assert CANARY not in answer.text
    assert server.ok("SELECT currentRoles()", "reader") == "['reader']\n"


def test_a_writer_does_what_dbt_needs(server: Any) -> None:
    def run(sql: str) -> str:
        return str(server.ok(sql, "writer"))

    assert run("SELECT count() FROM lake.quotes") == "1\n"
    assert run("SELECT format('{}-{}', symbol, 1) FROM lake.quotes FORMAT TSV") == "AAPL-1\n"
    assert server.ok("CREATE TEMPORARY TABLE t (x Int8)", "writer", session_id="temporary") == ""
    for database in ("staging", "intermediate", "marts"):
        run(f"CREATE DATABASE IF NOT EXISTS {database}")
        run(f"CREATE OR REPLACE TABLE {database}.a ENGINE MergeTree ORDER BY x AS SELECT 1 AS x")
        run(f"CREATE TABLE {database}.b AS {database}.a")
        run(f"EXCHANGE TABLES {database}.a AND {database}.b")
        run(f"INSERT INTO {database}.a SELECT number FROM numbers(10)")
        run(f"DELETE FROM {database}.a WHERE x > 5")
        run(f"ALTER TABLE {database}.a ADD COLUMN y String DEFAULT 'z'")
        run(f"ALTER TABLE {database}.a DELETE WHERE x = 0 SETTINGS mutations_sync = 1")
        run(f"OPTIMIZE TABLE {database}.a FINAL")
        run(f"CREATE VIEW {database}.v AS SELECT count() AS n FROM {database}.a")
        run(
            f"CREATE MATERIALIZED VIEW {database}.m ENGINE MergeTree ORDER BY x "
            f"AS SELECT x FROM {database}.a"
        )
        run(f"RENAME TABLE {database}.b TO {database}.c")
        assert run(f"SELECT n FROM {database}.v") == "5\n"
        for name in ("m", "v", "a", "c"):
            run(f"DROP TABLE {database}.{name}")


def test_a_reader_sees_the_metadata_that_its_tools_need(server: Any) -> None:
    def run(sql: str) -> list[str]:
        return str(server.ok(sql, "reader")).splitlines()

    assert run("SHOW DATABASES") == ["marts"]
    assert "prices" in run("SHOW TABLES FROM marts")
    assert run("SELECT name FROM system.columns WHERE table = 'prices'") == ["symbol", "close"]
    assert run(
        "SELECT DISTINCT database FROM system.tables WHERE database NOT IN "
        "('system', 'INFORMATION_SCHEMA', 'information_schema')"
    ) == ["marts"]
    assert run("SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'")
    assert run("DESCRIBE TABLE marts.prices")[0].startswith("symbol\tString")
    assert run("EXISTS TABLE marts.prices") == ["1"]
    assert run("SELECT count() > 1000 FROM system.settings") == ["1"]
    assert run("EXPLAIN SELECT * FROM marts.prices")
    assert not any("lake" in line or "secret" in line for line in run("SHOW TABLES FROM lake"))


def test_a_writer_does_not_see_what_others_run(server: Any) -> None:
    assert server.ok("SELECT count() FROM system.processes", "writer") == "0\n"
    assert server.ok("SELECT count() FROM system.processes", "admin") == "1\n"


def test_the_lakes_secret_is_shown_to_nobody(stack: Any) -> None:
    """With the real catalog: definition, tables, errors and settings that would unmask."""
    import urllib.error
    import urllib.request

    from catalog.clickhouse import EXPERIMENTAL_SETTINGS, lake_database

    account = stack.settings.clickhouse
    statement = lake_database(stack.settings.catalog, stack.settings.s3, name="lake_secret_test")

    def ask(who: str, sql: str) -> str:
        request = urllib.request.Request(
            f"{account.url}/?allow_database_iceberg={EXPERIMENTAL_SETTINGS['allow_database_iceberg']}",
            data=sql.encode(),
            headers={
                "X-ClickHouse-User": getattr(account, f"{who}_user"),
                "X-ClickHouse-Key": getattr(account, f"{who}_password").get_secret_value(),
            },
        )
        try:
            return str(urllib.request.urlopen(request).read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    assert ask("admin", statement) == ""
    secret = statement.split("DataLakeCatalog(")[1].split("'")[5]
    assert len(secret) > 20
    try:
        for sql in (
            "SHOW CREATE DATABASE lake_secret_test",
            "SELECT * FROM system.databases",
            "SELECT * FROM system.databases SETTINGS format_display_secrets_in_show_and_select = 1",
            "SHOW CREATE TABLE lake_secret_test.`raw.quotes`",
            "SELECT * FROM system.tables SETTINGS show_data_lake_catalogs_in_system_tables = 1",
            "SELECT * FROM lake_secret_test.`raw.nothing`",
            "SELECT * FROM system.errors",
        ):
            for who in ("admin", "writer", "reader"):
                assert secret not in ask(who, sql), (who, sql)
    finally:
        ask("admin", "DROP DATABASE lake_secret_test")
