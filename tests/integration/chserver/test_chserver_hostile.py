"""Hostile statements, hundreds of them, through one server; and honest ones, which must work."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

CANARY = "canary-d41d8c"
HERE = Path(__file__).parent
HOSTILE: dict[str, list[str]] = yaml.safe_load(HERE.joinpath("hostile.yml").read_text())
HONEST: dict[str, Any] = yaml.safe_load(HERE.joinpath("honest.yml").read_text())


def put(places: list[str], mark: str, things: list[str]) -> list[str]:
    """Put each thing into each place."""
    return [place.replace(mark, thing) for thing, place in product(things, places)]


def reader() -> list[str]:
    """Statements that give a reader nothing."""
    named = HOSTILE
    hidden = [f"system.{name}" for name in named["system"]] + ["staging.secret", "lake.quotes"]
    found = [
        *put(named["from"][:6], "{t}", named["tables"]),
        *put(named["from"][6:], "{t}", named["tables"][::12]),
        *put(named["calls"], "{f}", named["functions"]),
        *put(named["set"], "{s}", named["settings"]),
        *put(named["others"], "{t}", hidden),
        *(named["other_calls"] + named["statements"] + named["readers_own"]),
    ]
    return list(dict.fromkeys(found))


def writer() -> list[str]:
    """Statements that give a writer nothing."""
    named = HOSTILE
    # What a writer may read as far as its own limits go.
    free = ("staging.secret", "AggregateFunction")
    tables = [table for table in named["tables"] if not any(word in table for word in free)]
    found = [
        *put(named["places"], "{e}", named["engines"]),
        *put(named["from"][:2], "{t}", tables),
        *put(named["calls"], "{f}", named["functions"][:2]),
        *(sql for sql in named["statements"] if "SHOW " not in sql or "USER" in sql),
        *named["writers_own"],
    ]
    return list(dict.fromkeys(found))


@dataclass
class Trap:
    """What must stay untouched: a file outside, one inside, a listener without connections."""

    folder: Path
    inside: Path
    listener: socket.socket
    calls: list[str] = field(default_factory=list)

    def fill(self, sql: str) -> str:
        """Put the places into a statement."""
        places = {
            "file": str(self.folder / "canary.txt"),
            "new": str(self.folder / "new.txt"),
            "inside": str(self.inside),
            "url": f"http://127.0.0.1:{self.listener.getsockname()[1]}",
        }
        for name, value in places.items():
            sql = sql.replace("{" + name + "}", value)
        return sql.replace("{{", "{").replace("}}", "}")

    def sprung(self) -> list[str]:
        """What has happened that must not."""
        found = [path.name for path in self.folder.iterdir() if path.name != "canary.txt"]
        if (self.folder / "canary.txt").read_text() != CANARY:
            found.append("the canary was changed")
        return found + self.calls


@pytest.fixture(scope="module")
def trap(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "canary.txt").write_text(CANARY)
    inside = server.data / "engine" / "canary.txt"
    inside.write_text(CANARY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Trap(folder, inside, listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                made.calls.append("somebody connected")
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        server.ok("CREATE OR REPLACE TABLE staging.own (x String) ENGINE MergeTree ORDER BY x")
        server.ok(f"INSERT INTO staging.secret VALUES ('{CANARY}')")
        yield made
        listener.shutdown(socket.SHUT_RDWR)
    inside.unlink()
    server.ok("TRUNCATE TABLE staging.secret")
    server.ok("DROP TABLE staging.own")


class Wire:
    """One kept connection of one user."""

    def __init__(self, server: Any, user: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": server.passwords[user]}

    def run(self, sql: str, **params: str) -> tuple[int, str]:
        target = "/?" + urlencode(params) if params else "/"
        self._http.request("POST", target, body=sql.encode(), headers=self._headers)
        answer = self._http.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")


def state(server: Any) -> str:
    """Everything that a statement could have changed in the engine."""
    return str(
        server.ok(
            "SELECT database, name, engine, total_rows, create_table_query FROM system.tables "
            "WHERE database IN ('staging', 'intermediate', 'marts', 'lake', 'default') "
            "ORDER BY ALL FORMAT TSV"
        )
        + server.ok("SELECT name, engine FROM system.databases ORDER BY ALL")
        + server.ok("SELECT name FROM system.users UNION ALL SELECT name FROM system.roles")
        + server.ok("SELECT name FROM system.functions WHERE origin != 'System'")
    )


@pytest.mark.parametrize(
    ("user", "statements", "least"), [("reader", reader(), 900), ("writer", writer(), 300)]
)
def test_hostile_statements_give_nothing(
    server: Any, trap: Trap, user: str, statements: list[str], least: int
) -> None:
    assert len(statements) >= least
    before = state(server)
    wire = Wire(server, user)
    passed = []
    codes: Counter[str] = Counter()
    for statement in map(trap.fill, statements):
        status, text = wire.run(statement)
        codes[text[:10]] += 1
        if status == 200 or CANARY in text:
            passed.append((status, statement, text[:200]))
    assert passed == []
    # It is the judgement that refuses them, not a slip of the pen in the list.
    judged = sum(codes[f"Code: {code}."] for code in (497, 452, 164))
    assert judged > 0.95 * len(statements), codes
    assert trap.sprung() == []
    assert state(server) == before
    assert wire.run("SELECT currentRoles()")[1] == f"['{user}']\n"


def test_honest_statements_work(server: Any, trap: Trap) -> None:
    statements = HONEST["statements"]
    assert len(set(statements)) >= 100
    wire = Wire(server, "reader")
    refused = []
    for statement in statements:
        status, text = wire.run(statement)
        if status != 200:
            refused.append((statement, text))
    assert refused == []


def test_system_as_the_database_shows_what_its_full_name_shows(server: Any) -> None:
    wire = Wire(server, "reader")
    # Other tests of this server have tables there, too.
    query = "SELECT name FROM {} WHERE database = 'marts' ORDER BY name"
    status, text = wire.run(query.format("tables"), database="system")
    assert (status, text) == wire.run(query.format("system.tables"))
    assert status == 200 and "prices\n" in text
    for name in HOSTILE["system"]:
        for sql in (f"SELECT * FROM {name}", f"SELECT count() FROM `{name}`"):
            assert wire.run(sql, database="system")[0] >= 400, sql
        asked = wire.run("SELECT * FROM {t:Identifier}", database="system", param_t=name)
        assert asked[0] >= 400
    assert wire.run("SELECT currentRoles()", database="system")[1] == "['reader']\n"


def test_honest_requests_work(server: Any) -> None:
    wire = Wire(server, "reader")
    refused = []
    for params in HONEST["parameters"]:
        status, text = wire.run("SELECT symbol, close FROM marts.prices ORDER BY symbol", **params)
        if status != 200 or "AAPL" not in text:
            refused.append((params, text))
    assert refused == []
