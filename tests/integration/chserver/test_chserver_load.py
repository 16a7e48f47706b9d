"""Many clients at once, and a server that is killed under them.

Ten seconds by default; ``CHSERVER_LOAD_SECONDS=60`` for the full minute.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import clickhouse_connect
import psutil
import pytest

SECONDS = float(os.environ.get("CHSERVER_LOAD_SECONDS", "10"))


class Clients:
    """Runs functions in threads until the time is up; collects what they raise."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.done: dict[str, int] = {}
        self._threads: list[threading.Thread] = []
        self.over = threading.Event()

    def add(self, name: str, step: Callable[[int], None]) -> None:
        def run() -> None:
            count = 0
            while not self.over.is_set():
                try:
                    step(count)
                except Exception as error:
                    if self.over.is_set():
                        break
                    self.errors.append(f"{name}: {error!r}")
                    break
                count += 1
            self.done[name] = count

        self._threads.append(threading.Thread(target=run, name=name))

    def run(self, seconds: float) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in self._threads:
            thread.join(60)


def test_eight_clients_of_all_kinds(start_server: Any) -> None:
    server = start_server()
    for database in ("staging", "marts"):
        server.ok(f"CREATE DATABASE {database}")
    server.ok(
        "CREATE TABLE marts.log (client Int32, n Int64) ENGINE MergeTree ORDER BY (client, n)"
    )
    server.ok(
        "CREATE TABLE marts.fixed ENGINE MergeTree ORDER BY n "
        "AS SELECT number AS n FROM numbers(100000)"
    )
    clients = Clients()
    inserted = [0] * 3

    def writer(number: int) -> Callable[[int], None]:
        client = server.client("writer", compress=["lz4", "zstd", False][number])

        def step(count: int) -> None:
            rows = [[number, count * 100 + i] for i in range(100)]
            client.insert("marts.log", rows, column_names=["client", "n"])
            inserted[number] += 100

        return step

    def aggregate(_: int) -> None:
        assert reading.query("SELECT sum(n) FROM marts.fixed").result_rows == [(4999950000,)]

    def stream(_: int) -> None:
        with streaming.query_row_block_stream("SELECT n FROM marts.fixed") as blocks:
            assert sum(len(block) for block in blocks) == 100_000

    def plain(_: int) -> None:
        assert server.ok("SELECT count() FROM marts.fixed WHERE n < 10", "reader") == "10\n"

    def fails(_: int) -> None:
        assert server.query("SELECT * FROM marts.nothing", "reader").code == 60
        assert (
            server.query(
                "SELECT throwIf(n = 99999) FROM marts.fixed", "reader", wait_end_of_query="1"
            ).code
            == 395
        )

    def rebuild(count: int) -> None:
        server.ok(
            f"CREATE OR REPLACE TABLE staging.t ENGINE MergeTree ORDER BY n AS "
            f"SELECT number AS n FROM numbers({count + 1})",
            "writer",
        )
        assert server.ok("SELECT count() FROM staging.t", "writer") == f"{count + 1}\n"

    reading, streaming = server.client("reader"), server.client("reader")
    for number in range(3):
        clients.add(f"writer {number}", writer(number))
    for name, step in {
        "aggregate": aggregate,
        "stream": stream,
        "plain": plain,
        "fails": fails,
        "rebuild": rebuild,
    }.items():
        clients.add(name, step)
    clients.run(SECONDS)
    assert clients.errors == []
    assert len(clients.done) == 8 and min(clients.done.values()) > 0
    found = server.ok(
        "SELECT client, count(), uniqExact(n) FROM marts.log GROUP BY client ORDER BY client"
    )
    assert found == "".join(f"{i}\t{count}\t{count}\n" for i, count in enumerate(inserted))
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 1024**3
    assert server.stop() == 0


def test_a_thousand_requests_leave_nothing_behind(server: Any) -> None:
    process = psutil.Process(server.process.pid)

    def batch(count: int) -> None:
        for _ in range(count):
            server.ok("SELECT 1", "reader")

    batch(300)
    threads, files, memory = process.num_threads(), process.num_fds(), process.memory_info().rss
    batch(1000)
    assert process.num_threads() <= threads + 4
    assert process.num_fds() <= files + 4
    assert process.memory_info().rss < memory + 64 * 1024**2


@pytest.mark.parametrize("round_", range(2))
def test_kill_9_under_load_loses_no_acknowledged_insert(start_server: Any, round_: int) -> None:
    server = start_server()
    server.ok("CREATE DATABASE marts")
    server.ok(
        "CREATE TABLE marts.log (client Int32, n Int64) ENGINE MergeTree ORDER BY (client, n)"
    )
    acknowledged: list[set[int]] = [set() for _ in range(6)]
    clients = Clients()

    def writer(number: int) -> Callable[[int], None]:
        def step(count: int) -> None:
            body = "".join(f"{number}\t{count * 50 + i}\n" for i in range(50))
            server.ok(body, "writer", query="INSERT INTO marts.log FORMAT TSV")
            acknowledged[number].add(count)

        return step

    for number in range(6):
        clients.add(f"writer {number}", writer(number))
    killer = threading.Timer(random.uniform(1.5, 3), lambda: (clients.over.set(), server.kill()))
    killer.start()
    clients.run(4)
    killer.join()
    assert clients.errors == [] and sum(map(len, acknowledged)) > 20
    again = start_server(data=server.data)
    for number, batches in enumerate(acknowledged):
        rows = again.ok(
            f"SELECT intDiv(n, 50) AS b, count() FROM marts.log WHERE client = {number} GROUP BY b"
        )
        found = dict(tuple(map(int, line.split("\t"))) for line in rows.splitlines())
        assert batches <= set(found)
        # At most the one batch that was under way is there without having been acknowledged.
        assert len(found) <= len(batches) + 1 and set(found.values()) <= {50}
    assert clickhouse_connect.get_client(
        host="127.0.0.1", port=again.port, username="writer", password=again.passwords["writer"]
    ).ping()
