"""The lexer, the INSERT splitter and the guard, with examples and at random."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.chserver.errors import ClickHouseError
from deploy.chserver.guard import Guard, Names, _settings, check_role, check_structure
from deploy.chserver.request import HttpQuery, narrowed
from deploy.chserver.statements import (
    Insert,
    find_insert_data,
    first_words,
    split_format,
    tokens,
)

GUARD = Guard(
    Names(
        functions=frozenset(["file", "format", "dictget", "count"]),
        settings=frozenset(
            [
                "mutations_sync",
                "format_schema",
                "log_queries",
                "storage_policy",
                "output_format_schema",
            ]
        ),
        system=frozenset(["tables", "processes", "users"]),
    )
)
FRAGMENTS = st.sampled_from(
    [
        *("INSERT", "INTO", "t", "(a, b)", "VALUES", "FORMAT", "CSV", "SELECT", "FROM", "SETTINGS"),
        *("WITH", "1 AS x"),
        *(
            "'it''s'",
            "'a\\'b'",
            '"q"',
            "`b``c`",
            "-- c\n",
            "/* VALUES */",
            "# c\n",
            "$$ FORMAT x $$",
        ),
        *(
            "'",
            '"',
            "`",
            "/*",
            "\u2018",
            "\u201c",
            "\u201d",
            "(",
            ")",
            "\n",
            ";",
            "\\",
            "$",
            "\x00",
            "é",
            ",",
            "1.5",
        ),
    ]
)
SQL = st.lists(FRAGMENTS, max_size=15).map(" ".join).map(str.encode) | st.binary(max_size=60)


@given(SQL)
def test_tokens_never_fail_and_cover_in_order(sql: bytes) -> None:
    end = 0
    for token in tokens(sql):
        assert end <= token.start < token.end <= len(sql)
        end = token.end


@given(SQL)
def test_splitter_never_fails_and_keeps_every_byte(sql: bytes) -> None:
    insert = find_insert_data(sql)
    first_words(sql)
    split_format(sql)
    if insert is None:
        return
    assert first_words(sql, 1) in (("INSERT",), ("WITH",))
    assert sql.startswith(insert.statement)
    gap = sql[len(insert.statement) : insert.data_start]
    assert gap.split()[0].upper() in (b"VALUES", b"FORMAT")


@given(SQL, st.integers(0, 200))
@example(b"INSERT INTO t FORMAT CSVWithNames\n1", 22)
@example(b"INSERT INTO t SETTINGS x = 'VALUES' VALUES (1)", 30)
def test_pieces_split_like_the_whole(sql: bytes, cut: int) -> None:
    """What is found in the beginning of a body is what the whole body says."""
    early = find_insert_data(sql[:cut])
    if early is not None and cut < len(sql):
        whole = find_insert_data(sql)
        assert whole is not None
        assert (whole.statement, whole.format) == (early.statement, early.format) or sql[
            len(early.statement) : cut
        ].upper() == b"VALUES"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t VALUES (1)", ("INSERT INTO t ", "Values", "(1)")),
        ("insert into t(a,b) format CSV\n1,2", ("insert into t(a,b) ", "CSV", "1,2")),
        ("INSERT INTO `values` FORMAT TSV \r\n1", ("INSERT INTO `values` ", "TSV", "1")),
        ("INSERT INTO values VALUES (1)", ("INSERT INTO values ", "Values", "(1)")),
        ("-- VALUES\nINSERT INTO t /* FORMAT */ VALUES (1)", None),
        ("INSERT INTO t SETTINGS a = 'FORMAT CSV' FORMAT Native\n\x00", None),
        ("WITH 1 AS x INSERT INTO t FORMAT CSV\na;", ("WITH 1 AS x INSERT INTO t ", "CSV", "a;")),
        (
            "with a as (select insert from t), b.insert AS insert insert t(c) values (1)",
            ("with a as (select insert from t), b.insert AS insert insert t(c) ", "Values", "(1)"),
        ),
    ],
)
def test_where_the_data_begin(sql: str, expected: tuple[str, str, str] | None) -> None:
    insert = find_insert_data(sql.encode())
    assert isinstance(insert, Insert)
    rest = sql.encode()[insert.data_start :].decode().strip()
    if expected:
        assert (insert.statement.decode(), insert.format, rest) == expected
    else:
        assert insert.format in ("Values", "Native")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FORMAT CSV",
        "INSERT INTO t SELECT 1 FORMAT CSV",
        "INSERT INTO t WITH 1 AS x SELECT x",
        "INSERT INTO t SELECT 'VALUES (1)'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO t FORMAT CSV",
        "INSERT INTO t (a, 'VALUES (1",
        "WITH insert AS (SELECT 1) SELECT * FROM insert FORMAT CSV\n1",
        "WITH 1 AS insert SELECT insert FORMAT CSV\n1",
        "WITH insert('a', 1, 1, 'b') AS x SELECT x FORMAT CSV\n1",
        "WITH 1 AS x INSERT INTO t SELECT x FORMAT CSV\n1",
        "",
    ],
)
def test_statements_without_data(sql: str) -> None:
    assert find_insert_data(sql.encode()) is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT 1 AS FORMAT", None),
        ("SELECT format('{}', 1)", None),
        ("SELECT 'FORMAT CSV'", None),
        ("SELECT (SELECT 1) FORMAT TSVWithNames", "TSVWithNames"),
    ],
)
def test_output_format(sql: str, expected: str | None) -> None:
    rest, name = split_format(sql.encode())
    assert name == expected
    assert split_format(rest) == (rest, None)


def test_a_statement_without_its_format_keeps_the_rest() -> None:
    rest, _ = split_format(b"SELECT 1 FORMAT Native SETTINGS max_threads = 1")
    assert rest.split() == b"SELECT 1 SETTINGS max_threads = 1".split()
    assert split_format(b"SELECT (SELECT 'FORMAT x')")[0] == b"SELECT (SELECT 'FORMAT x')"


def test_a_verdict_that_is_remembered_is_one_of_its_role_database_and_parameters() -> None:
    sql = "SELECT * FROM {table:Identifier} LIMIT 1"
    for _ in range(2):
        GUARD.check("reader", sql, {"table": "quotes"}, "marts")
        with pytest.raises(ClickHouseError):
            GUARD.check("reader", sql, {"table": "system.users"}, "marts")
        GUARD.check("admin", "SELECT file('x')", {}, "marts")
        with pytest.raises(ClickHouseError):
            GUARD.check("reader", "SELECT file('x')", {}, "marts")
        GUARD.check("reader", "SELECT * FROM users", {}, "marts")
        with pytest.raises(ClickHouseError):
            GUARD.check("reader", "SELECT * FROM users", {}, "system")


def refused(sql: str, role: str = "writer", **params: str) -> bool:
    try:
        GUARD.check(role, sql, params)
    except ClickHouseError as error:
        assert error.code in (497, 48, 452, 164, 115)
        return True
    return False


@given(
    st.sampled_from(["file", "`file`", '"file"', "File", "url", "Loop", "`url`", "brandNew"]),
    st.sampled_from(["", " ", "/**/", "\n"]),
    st.sampled_from(["SELECT {}('x')", "SELECT a, {}(1)", "SELECT * FROM {}('x') AS t",
                     "SELECT (SELECT 1 WHERE x IN (SELECT * FROM {}(1)))",
                     "CREATE TABLE a AS {}('x')", "SELECT 'a' || 'b', `c` + {}(d)"]),
    st.sampled_from(["reader", "writer"]),
)  # fmt: skip
def test_guard_finds_names_wherever_they_are(name: str, gap: str, frame: str, role: str) -> None:
    assert refused(frame.format(name + gap), role)


@given(st.text(alphabet="SETRlofile`'\"(){}:Identifier.= \\system,profile-/*\n", max_size=60))
def test_guard_never_fails(sql: str) -> None:
    for role in ("reader", "writer", "admin"):
        refused(sql, role, p="system.processes")


@given(st.text(min_size=1, max_size=20).filter(lambda text: "ggregate" not in text))
def test_strings_do_not_trip_the_guard(text: str) -> None:
    from deploy.chserver.engine import quote

    for word in ("file", "eval(", "SETTINGS profile = ", "system.processes"):
        assert not refused(f"SELECT {quote(text + word + text)}", "reader")


def test_guard_lets_ordinary_statements_pass() -> None:
    for sql in (
        "SELECT profile FROM marts.t WHERE profile = 1",
        "SELECT format('{}-{}', a, b) FROM numbers(10) FORMAT CSV",
        "SELECT * FROM system.tables",
        "SELECT url, loop FROM marts.t AS eval",
        "WITH t(a, b) AS (SELECT 1, 2) SELECT a FROM t",
        "SELECT a FROM `values`('a Nullable(Decimal(18, 4)), b Enum8(\\'x\\' = 1)', (1, 'x'))",
        "SET max_threads = 1",
    ):
        assert not refused(sql, "reader"), sql
    assert not refused(
        "CREATE TABLE staging.t (`x` Int8 CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY x"
    )
    assert refused("SET max_threads = 1, readonly = 0", "reader")
    assert refused("SELECT * FROM {t:Identifier}", "reader", t="`system`.processes")


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1 SETTINGS a = 1, b = 'x' FORMAT CSV", ["a", "b"]),
        ("SELECT * FROM (SELECT 1 SETTINGS a = [1, 2], b = {'x': 1}), t AS c", ["a", "b"]),
        (
            "CREATE TABLE t ENGINE = MergeTree SETTINGS a = -1, b = disk(c = 1) AS SELECT d, e",
            ["a", "b"],
        ),
        ("SELECT 1 SETTINGS a, b = 2", ["a", "b"]),
        ("SET a = 1, b = true", ["a", "b"]),
        ("ALTER TABLE t (MODIFY SETTING a = 1)", ["a"]),
        ("SELECT SETTINGS, settings FROM system.settings WHERE settings = 1", []),
        ("SHOW SETTINGS LIKE 'x'", []),
    ],
)
def test_settings_are_found_wherever_they_are(sql: str, names: list[str]) -> None:
    assert [name for name, _ in _settings(list(tokens(sql.encode())))] == names


@pytest.mark.parametrize(
    ("structure", "plain"),
    [
        ("a UInt8, b Array(Nullable(String))", True),
        ("`a b` Enum8('x' = 1), c DateTime64(3, 'UTC')", True),
        ("a UInt8 DEFAULT 1", False),
        ("a UInt8 alias(b)", False),
        ("a UInt8, b String MATERIALIZED file('x')", False),
        ("a UInt8 CODEC(ZSTD)", False),
        ("a file('x')", False),
        ("a AggregateFunction(sum, UInt8)", False),
        ("a UInt8 -- DEFAULT", False),
        ("a/**/UInt8", False),
        ("a UInt8 \u00a0DEFAULT 1", False),
        ("a UInt8) AS SELECT 1", False),
    ],
)  # fmt: skip
def test_descriptions_of_columns_are_names_and_types(structure: str, plain: bool) -> None:
    if plain:
        check_structure(structure)
    else:
        with pytest.raises(ClickHouseError, match="497"):
            check_structure(structure)


@pytest.mark.parametrize(
    ("role", "name", "code"),
    [
        *[("reader", name, 0) for name in ("max_threads", "join_use_nulls", "extremes")],
        *[("writer", name, 0) for name in ("mutations_sync", "index_granularity")],
        *[("reader", name, 452) for name in ("mutations_sync", "format_schema", "log_queries")],
        *[("writer", name, 452) for name in ("storage_policy", "output_format_schema")],
        *[("reader", name, 164) for name in ("readonly", "Profile")],
        *[("writer", name, 115) for name in ("nonsense", "a = 1, b", "max_threads`")],
    ],
)
def test_settings_by_role(role: str, name: str, code: int) -> None:
    if code == 0:
        GUARD.check_setting(role, name)
    else:
        with pytest.raises(ClickHouseError) as error:
            GUARD.check_setting(role, name)
        assert error.value.code == code


def test_roles_and_formats() -> None:
    check_role("reader", "reader")
    check_role("reader", None)
    with pytest.raises(ClickHouseError, match="512"):
        check_role("reader", "admin")
    for name in ("JSON", "csvwithnames", "ArrowStream", "Native", "PrettyCompactMonoBlock"):
        GUARD.check_format("reader", name)
    for name in ("Protobuf", "Template", "CapnProto", "AvroConfluent", "BrandNew"):
        with pytest.raises(ClickHouseError, match="497"):
            GUARD.check_format("reader", name)


def test_requests_that_narrow_or_repeat_their_limits() -> None:
    def changed(role: str, **params: str) -> dict[str, str]:
        return narrowed(HttpQuery("POST", "/", {}, params), role)

    assert changed("reader", readonly="2", max_threads="1") == {"max_threads": "1"}
    assert changed("reader", readonly="0") == {"readonly": "0"}
    assert changed("reader", max_execution_time="65") == {}
    assert changed("reader", max_execution_time="9") == {"max_execution_time": "9"}
    assert changed("writer", max_execution_time="65") == {"max_execution_time": "65"}
    assert changed("reader", max_execution_time="x") == {"max_execution_time": "x"}
    assert changed("admin", readonly="1") == {"readonly": "1"}
