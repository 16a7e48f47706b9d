"""Slots for running statements, shared so that no user can take them all."""

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
    """A user's slot; released once, either at the end or when its statement is stuck."""

    def __init__(self, shares: Shares, user: User) -> None:
        self._shares = shares
        self._user = user
        self.stuck = False

    def free_early(self) -> None:
        """Release the slot although the statement has not ended."""
        self._shares._mark_stuck(self, self._user)

    def free(self) -> None:
        """Release the slot."""
        self._shares._leave(self, self._user)


class Shares:
    """A fixed number of slots.

    A user without a slot always gets one at once. Further slots are given while any are free; one
    user gets at most three quarters of them, and so do all readers together. A statement that
    continues after it was stopped occupies no slot, but counts against a separate limit.
    """

    def __init__(self, places: int, patience: float) -> None:
        """Take the number of slots, and how many seconds to wait for one."""
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
        """Hold a slot.

        Raises:
            ClickHouseError: TOO_MANY_SIMULTANEOUS_QUERIES; clients retry.
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
        """Hold one of the user's separate slots for KILL QUERY.

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
