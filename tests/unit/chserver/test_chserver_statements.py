"""The lexer, the INSERT splitter and the guard, with examples and at random."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.chserver.errors import ClickHouseError
from deploy.chserver.guard import Guard, check_parameters
from deploy.chserver.statements import (
    Insert,
    find_insert_data,
    first_words,
    output_format,
    tokens,
)

GUARD = Guard(["file", "url", "numbers", "eval", "format", "Loop"])
FRAGMENTS = st.sampled_from(
    [
        *("INSERT", "INTO", "t", "(a, b)", "VALUES", "FORMAT", "CSV", "SELECT", "FROM", "SETTINGS"),
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
    output_format(sql)
    if insert is None:
        return
    assert first_words(sql, 1) == ("INSERT",)
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
    assert output_format(sql.encode()) == expected


def refused(sql: str, role: str = "writer", kind: str = "READ_ONLY", **params: str) -> bool:
    try:
        GUARD.check(role, sql, kind, params)
    except ClickHouseError as error:
        assert error.code in (497, 48)
        return True
    return False


@given(
    st.sampled_from(["file", "`file`", '"file"', "File", "FILE", "python", "Loop", "`url`"]),
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
        for kind in ("READ_ONLY", "MUTATING", "CONTROL", "UNKNOWN"):
            refused(sql, role, kind, p="system.processes")


@given(st.text(min_size=1, max_size=20))
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
    ):
        assert not refused(sql, "reader")
    assert not refused("SET max_threads = 1", "reader", "CONTROL")
    assert refused("SET max_threads = 1, readonly = 0", "reader", "CONTROL")
    assert refused("SELECT * FROM {t:Identifier}", "reader", t="`system`.processes")


def test_parameters() -> None:
    check_parameters("reader", {"max_threads": "1"}, "marts", "reader")
    check_parameters("admin", {"readonly": "1"}, "system", None)
    for settings, database, role in (
        ({"Profile": "x"}, None, None),
        ({}, "SYSTEM", None),
        ({}, None, "admin"),
    ):
        with pytest.raises(ClickHouseError):
            check_parameters("reader", settings, database, role)
