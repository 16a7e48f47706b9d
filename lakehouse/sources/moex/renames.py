"""Ticker changes: the name under which a share traded on a given day.

ISS lists them as ``changeover``: date, old and new name. The list contains placeholders, changes of
a name to itself, cycles, and additional issues that trade next to the main one until they are
merged into it; until then these are two instruments.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from lakehouse.sources.moex.iss import Block

PLACEHOLDER = re.compile(r"X{3,}|[-?.]*")
# The new name may have traded for some days before the date that is listed.
SLACK = timedelta(days=30)
ONE_DAY = timedelta(days=1)

Reject = Callable[[str | None, date | None, str, Any], None]


@dataclass(frozen=True)
class Rename:
    """A ticker change: from this day on the security trades under the new name."""

    old: str
    new: str
    day: date


@dataclass(frozen=True)
class Name:
    """A name of a security, with its first and last day."""

    symbol: str
    first: date
    last: date


class Renames:
    """All ticker changes.

    Args:
        changes: The changes; placeholders and changes of a name to itself are ignored.
        together: Whether both names of a change traded on the same days before it, so that they
            are two instruments.
    """

    def __init__(self, changes: Sequence[Rename], together: Callable[[Rename], bool]) -> None:
        named = [
            change
            for change in changes
            if change.old != change.new
            and not PLACEHOLDER.fullmatch(change.old)
            and not PLACEHOLDER.fullmatch(change.new)
        ]
        self._changes = sorted(named, key=lambda change: change.day)
        self._together = together

    def __iter__(self) -> Iterator[Rename]:
        """The changes in date order."""
        return iter(self._changes)

    def names_of(self, symbol: str, start: date, end: date) -> list[Name]:
        """The past names of a security, given its name today.

        Args:
            symbol: Its name today.
            start: First day of interest.
            end: Last day of interest.

        Returns:
            Names with the days on which they applied, latest first.
        """
        names = []
        name, till = symbol, end
        while start <= till:
            change = self._last_to(name, till)
            first = start if change is None else max(start, change.day)
            # Before this day the name belonged to another security, which was renamed since.
            taken = max([first, *self._given_away(name, till, symbol)])
            names.append(Name(name, taken, till))
            if change is None or change.day <= start or taken > first:
                break
            name, till = change.old, change.day - ONE_DAY
        return [found for found in names if found.first <= found.last]

    def _given_away(self, name: str, till: date, symbol: str) -> Iterator[date]:
        """The days on which other securities gave up a name."""
        for change in self._changes:
            given = change.old == name and change.day <= till
            if given and self.today(name, change.day - ONE_DAY, set()) != symbol:
                yield change.day

    def today(self, symbol: str, day: date, present: set[str]) -> str:
        """The present name of a security that traded under a name on a given day.

        Args:
            symbol: The name then.
            day: The day.
            present: All names that traded on that day.

        Returns:
            The name today.
        """
        while change := self._next_from(symbol, day, present):
            # Each step leads to a later day, so that cycles of names terminate.
            symbol, day, present = change.new, change.day, set()
        return symbol

    def _last_to(self, symbol: str, till: date) -> Rename | None:
        found = (c for c in reversed(self._changes) if c.new == symbol and c.day <= till)
        return next((change for change in found if not self._together(change)), None)

    def _next_from(self, symbol: str, day: date, present: set[str]) -> Rename | None:
        found = (c for c in self._changes if c.old == symbol and c.day > day)
        change = next(found, None)
        if change is None or change.new in present or self._together(change):
            return None
        return change


def read_renames(block: Block, reject: Reject) -> list[Rename]:
    """Parse the block ``changeover``.

    Args:
        block: The block.
        reject: Called with symbol, date, reason and row for each row without a date.

    Returns:
        The changes, in the order of the block.

    Raises:
        BadPayload: A column is missing.
    """
    block.require("ACTION_DATE", "OLD_SECID", "NEW_SECID")
    found = []
    for row in block.records():
        old, new = row["OLD_SECID"], row["NEW_SECID"]
        if not isinstance(old, str) or not isinstance(new, str):
            continue
        try:
            day = date.fromisoformat(str(row["ACTION_DATE"])[:10])
        except ValueError:
            reject(new, None, f"a ticker change without a date: {row['ACTION_DATE']}", row)
            continue
        found.append(Rename(old, new, day))
    return found
