"""The running queries: their ids, who runs them, and how they are stopped."""

from __future__ import annotations

import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from deploy.chserver.errors import ClickHouseError

_TICK: Final = 0.2
_RETRY: Final = 1.0
# How long a stopped query may take to notice, before its place goes to others.
_GRACE: Final = 1.0
# Linux tells that the peer closed its half; elsewhere only a full close is seen.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(eq=False)
class RunningQuery:
    """A query from its acceptance to its last byte.

    Attributes:
        query_id: The client's id, or one made for it.
        token: The engine sees it at the end of the log comment; ``KILL QUERY`` finds it there.
        limit: Seconds after which the engine should have ended it.
        free_early: Gives its place to others, should it not end.
        watched: The client's socket, while a lost client is reason to stop the query.
        stopped: Why the query is being stopped, empty while it is not.
    """

    query_id: str
    user: str
    text: str
    limit: float = float("inf")
    free_early: Callable[[], None] | None = None
    token: str = field(default_factory=lambda: f"chserver:{uuid.uuid4()}")
    started: float = field(default_factory=time.monotonic)
    watched: socket.socket | None = None
    stopped: str = ""
    asked: float = 0.0
    first_asked: float = 0.0
    in_engine: bool = False

    def check(self) -> None:
        """Raise QUERY_WAS_CANCELLED if the query was stopped before it began."""
        if self.stopped:
            raise ClickHouseError(394, f"Query was cancelled: {self.stopped}")


class QueryRegistry:
    """Knows every running query; stops those that are killed or whose client left."""

    def __init__(self, kill: Callable[[str], None]) -> None:
        self._kill = kill
        # Each user has ids of its own: nobody can block another's by using it.
        self._queries: dict[tuple[str, str], RunningQuery] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="query-watch", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queries)

    def add(self, query: RunningQuery) -> None:
        """Enter a query.

        Raises:
            ClickHouseError: One with the same id is running.
        """
        with self._lock:
            key = (query.user, query.query_id)
            if key in self._queries:
                raise ClickHouseError(216, f"Query with id = {query.query_id} is already running")
            self._queries[key] = query

    def remove(self, query: RunningQuery) -> None:
        """Take a query out that has ended."""
        with self._lock:
            self._queries.pop((query.user, query.query_id), None)

    def running(self, user: str | None = None) -> list[RunningQuery]:
        """Return the queries of ``user``, or of everybody."""
        with self._lock:
            return [q for q in self._queries.values() if user is None or q.user == user]

    def stop(self, queries: Iterable[RunningQuery], reason: str) -> None:
        """Ask the engine to cancel ``queries``; they end with QUERY_WAS_CANCELLED."""
        for query in queries:
            query.stopped = query.stopped or reason
            query.asked = time.monotonic()
            query.first_asked = query.first_asked or query.asked
            if query.in_engine:
                self._kill(query.token)

    def close(self) -> None:
        """End the watch."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            queries = self.running()
            self.stop(_left(queries), "the client closed the connection")
            self.stop(_overdue(queries), "it ignores its time limit")
            for query in queries:
                waited = query.stopped and query.first_asked < time.monotonic() - _GRACE
                if waited and query.in_engine and query.free_early:
                    query.free_early()
            # A kill that came before the engine knew the query went nowhere: ask again.
            late = time.monotonic() - _RETRY
            for query in queries:
                if query.stopped and query.in_engine and query.asked < late:
                    self.stop([query], query.stopped)


def _overdue(queries: list[RunningQuery]) -> list[RunningQuery]:
    """Return the queries that the engine should have ended for their time limit."""
    now = time.monotonic()
    return [q for q in queries if q.in_engine and not q.stopped and now > q.started + q.limit]


def _left(queries: list[RunningQuery]) -> list[RunningQuery]:
    """Return the queries whose client is gone."""
    poll = select.poll()
    watched: dict[int, RunningQuery] = {}
    for query in queries:
        if query.watched is not None and not query.stopped:
            descriptor = query.watched.fileno()
            if descriptor >= 0:
                poll.register(descriptor, _GONE)
                watched[descriptor] = query
    return [watched[descriptor] for descriptor, _ in poll.poll(0)] if watched else []
