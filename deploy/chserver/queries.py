"""The running queries: their ids, their users, and how they are stopped."""

from __future__ import annotations

import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from deploy.chserver.errors import ClickHouseError

_TICK: Final = 0.2
_RETRY: Final = 1.0
# How long a stopped query may keep its slot before it is given to others.
_GRACE: Final = 1.0
# Shares of the memory: what readers may hold alone, and beside others' work; what counts as work.
_READERS_ALONE: Final = 3 / 4
_READERS_BESIDE: Final = 1 / 2
_AT_WORK: Final = 1 / 16
# Linux reports when the peer closes its half; other systems only report a full close.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(eq=False)
class RunningQuery:
    """A query from its acceptance to its last byte.

    Attributes:
        query_id: The client's id, or a generated one.
        user: Who runs it.
        reads_only: Whether the user is a reader, whose queries go first when memory is short.
        text: Its first 4096 characters.
        token: Appended to the log comment, by which the engine's ``KILL QUERY`` finds it.
        limit: Seconds after which the engine should have ended it.
        free_early: Gives its slot to others if it does not end.
        watched: The client's socket, while losing the client is a reason to stop the query.
        stopped: Why the query is being stopped; empty if it is not.
    """

    query_id: str
    user: str
    reads_only: bool
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
        """Raise QUERY_WAS_CANCELLED with the reason if the query was stopped."""
        if self.stopped:
            raise ClickHouseError(394, f"Query was cancelled: {self.stopped}")


class QueryRegistry:
    """Tracks every running query; stops those that are killed or whose client disconnects.

    Readers may hold three quarters of the memory together, and half of it while others' statements
    work; above that the largest of their queries is stopped. The engine would not do it: as a
    library it refuses whoever asks last.

    Args:
        kill: Cancels the query with this token in the engine.
        memory: Bytes that each query of the engine holds, by token.
        max_memory: The engine's limit, in bytes.
    """

    def __init__(
        self,
        kill: Callable[[str], None],
        memory: Callable[[], Mapping[str, int]],
        max_memory: int,
    ) -> None:
        self._kill = kill
        self._memory = memory
        self._max_memory = max_memory
        # Ids are per user, so that one user cannot block another's ids.
        self._queries: dict[tuple[str, str], RunningQuery] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="query-watch", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queries)

    def add(self, query: RunningQuery) -> None:
        """Add a query.

        Raises:
            ClickHouseError: A query with the same id is running.
        """
        with self._lock:
            key = (query.user, query.query_id)
            if key in self._queries:
                raise ClickHouseError(216, f"Query with id = {query.query_id} is already running")
            self._queries[key] = query

    def remove(self, query: RunningQuery) -> None:
        """Remove a query that has ended."""
        with self._lock:
            self._queries.pop((query.user, query.query_id), None)

    def running(self, user: str | None = None) -> list[RunningQuery]:
        """Return the queries of ``user``, or of all users."""
        with self._lock:
            return [q for q in self._queries.values() if user is None or q.user == user]

    def stop(self, queries: Iterable[RunningQuery], reason: str) -> None:
        """Ask the engine to cancel queries; they end with QUERY_WAS_CANCELLED.

        Args:
            queries: The queries to stop.
            reason: Shown to the client; the first reason is kept.
        """
        for query in queries:
            query.stopped = query.stopped or reason
            query.asked = time.monotonic()
            query.first_asked = query.first_asked or query.asked
            if query.in_engine:
                self._kill(query.token)

    def close(self) -> None:
        """Stop the background thread."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            # The engine may refuse even a look at its queries while its memory is full.
            with suppress(ClickHouseError):
                self._look_after(self.running())

    def _look_after(self, queries: list[RunningQuery]) -> None:
        self.stop(_left(queries), "the client closed the connection")
        self.stop(_overdue(queries), "it ignores its time limit")
        for query in queries:
            waited = query.stopped and query.first_asked < time.monotonic() - _GRACE
            if waited and query.in_engine and query.free_early:
                query.free_early()
        # A kill sent before the engine knew the query has no effect, so repeat it.
        late = time.monotonic() - _RETRY
        for query in queries:
            if query.stopped and query.in_engine and query.asked < late:
                self.stop([query], query.stopped)
        self.stop(self._too_large(queries), "all readers' queries together hold too much memory")

    def _too_large(self, queries: list[RunningQuery]) -> list[RunningQuery]:
        """Return the largest reader's query if readers hold more than their share."""
        readers = [query for query in queries if query.reads_only and query.in_engine]
        if not readers:
            return []
        held = self._memory()
        others = sum(held.values()) - sum(held.get(query.token, 0) for query in readers)
        share = _READERS_BESIDE if others > _AT_WORK * self._max_memory else _READERS_ALONE
        # What a query holds that is being stopped will be free soon.
        sizes = {query: held.get(query.token, 0) for query in readers if not query.stopped}
        if sum(sizes.values()) <= share * self._max_memory:
            return []
        return [max(sizes, key=sizes.__getitem__)]


def _overdue(queries: list[RunningQuery]) -> list[RunningQuery]:
    """Return the queries that have exceeded their time limit in the engine."""
    now = time.monotonic()
    return [q for q in queries if q.in_engine and not q.stopped and now > q.started + q.limit]


def _left(queries: list[RunningQuery]) -> list[RunningQuery]:
    """Return the queries whose client has disconnected."""
    poll = select.poll()
    watched: dict[int, RunningQuery] = {}
    for query in queries:
        if query.watched is not None and not query.stopped:
            descriptor = query.watched.fileno()
            if descriptor >= 0:
                poll.register(descriptor, _GONE)
                watched[descriptor] = query
    return [watched[descriptor] for descriptor, _ in poll.poll(0)] if watched else []
