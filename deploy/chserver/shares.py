"""Places for running statements, shared so that nobody can take them all."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.chserver.auth import User
from deploy.chserver.errors import ClickHouseError

_KILLS: Final = 2


class Place:
    """A user's place; given back once, either at the end or when its statement is stuck."""

    def __init__(self, shares: Shares, user: User) -> None:
        self._shares = shares
        self._user = user
        self.stuck = False

    def free_early(self) -> None:
        """Give the place to others although the statement has not ended."""
        self._shares._mark_stuck(self, self._user)

    def free(self) -> None:
        """Give the place back."""
        self._shares._leave(self, self._user)


class Shares:
    """A number of places.

    A user who has none gets one at once, whatever others do. Beyond that, places are taken while
    there are any; one user gets three quarters of them at most, and so do all readers together. A
    statement that goes on after it was stopped keeps no place from anybody, but counts against a
    limit of its own.
    """

    def __init__(self, places: int, patience: float) -> None:
        """Take the number of places, and how many seconds to wait for one."""
        self._places = places
        self._share = max(1, places - max(1, places // 4))
        self._patience = patience
        self._by_user: Counter[str] = Counter()
        self._stuck: Counter[str] = Counter()
        self._kills: Counter[str] = Counter()
        self._readers = 0
        self._changed = threading.Condition()

    @contextmanager
    def place(self, user: User) -> Iterator[Place]:
        """Hold a place.

        Raises:
            ClickHouseError: TOO_MANY_SIMULTANEOUS_QUERIES; clients try again.
        """
        taken = Place(self, user)
        deadline = time.monotonic() + self._patience
        with self._changed:
            while not self._has_room(user):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise ClickHouseError(
                        202,
                        f"Too many simultaneous queries. Maximum: {self._places}, "
                        f"{self._share} for one user",
                    )
            self._by_user[user.name] += 1
            self._readers += user.role == "reader"
        try:
            yield taken
        finally:
            taken.free()

    @contextmanager
    def kill(self, user: User) -> Iterator[None]:
        """Hold one of the places for KILL QUERY, which each user has apart from the others.

        Raises:
            ClickHouseError: TOO_MANY_SIMULTANEOUS_QUERIES.
        """
        with self._changed:
            if self._kills[user.name] >= _KILLS:
                raise ClickHouseError(202, f"Too many simultaneous KILL QUERY. Maximum: {_KILLS}")
            self._kills[user.name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._kills[user.name] -= 1

    def _has_room(self, user: User) -> bool:
        mine = self._by_user[user.name]
        if self._stuck[user.name] >= self._share:
            return False
        if mine == 0:
            return True
        readers_full = user.role == "reader" and self._readers >= self._share
        free = sum(self._by_user.values()) < self._places
        return free and mine < self._share and not readers_full

    def _mark_stuck(self, place: Place, user: User) -> None:
        with self._changed:
            if not place.stuck:
                place.stuck = True
                self._stuck[user.name] += 1
                self._release(user)

    def _leave(self, place: Place, user: User) -> None:
        with self._changed:
            if place.stuck:
                self._stuck[user.name] -= 1
                self._changed.notify_all()
            else:
                self._release(user)

    def _release(self, user: User) -> None:
        self._by_user[user.name] -= 1
        self._readers -= user.role == "reader"
        self._changed.notify_all()
