"""Reads ISS, the wire format of the Moscow Exchange.

A block of an ISS response is ``{"columns": [...], "data": [[...], ...]}``. Columns are looked up by
name because their order is not guaranteed. Long blocks are paged, with a block ``<name>.cursor``
that holds INDEX, TOTAL and PAGESIZE. Reference: https://iss.moex.com/iss/reference/.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import BadPayload
from lakehouse.sources.http import HttpClient, Refused

PAGE_ROWS = 100
NOT_FOUND = 404
EMPTY_PAGE_TRIES = 3


class NotOffered(BadPayload):
    """The host does not offer this part of ISS."""


@dataclass(frozen=True)
class Block:
    """A table from ISS, transposed from rows to columns.

    Keeping thousands of rows as separate lists would cost the garbage collector as much as decoding
    the JSON.

    Attributes:
        where: Origin, for error messages.
        columns: Names in upper case.
        cells: The values of each column.
        height: Number of rows.
    """

    where: str
    columns: tuple[str, ...]
    cells: list[list[Any]]
    height: int

    def values(self, name: str) -> list[Any]:
        """The values of a column; nulls if ISS does not send it."""
        if name not in self.columns:
            return [None] * self.height
        return self.cells[self.columns.index(name)]

    def require(self, *names: str) -> "Block":
        """Check that columns exist.

        Args:
            *names: Column names in upper case.

        Returns:
            The block itself.

        Raises:
            BadPayload: A column is missing although there are rows.
        """
        missing = [name for name in names if name not in self.columns]
        if missing and self.height:
            raise BadPayload(f"{self.where} comes without the column {', '.join(missing)}.")
        return self

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.cells, strict=True)]


class IssClient:
    """Fetches blocks from an ISS host."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def block(self, path: str, name: str, params: Mapping[str, str | int]) -> Block:
        """Fetch a block that is not paged.

        Args:
            path: Path on the host.
            name: Name of the block.
            params: Query parameters.

        Returns:
            The block.

        Raises:
            NotOffered: The host does not know the path, or omits the block.
            BadPayload: The response is not in ISS format.
            SourceUnavailable: The host does not answer or refuses.
        """
        answer = self._get(path, {**params, "iss.meta": "off", "iss.only": name})
        return _block(answer, name, f"{self._http.host}{path}")

    def pages(self, path: str, name: str, params: Mapping[str, str | int]) -> Block:
        """Fetch all pages of a block.

        The pages must add up to the cursor's total, or the whole response counts as broken: a
        history with a hole is worse than one that is fetched again later.

        Args:
            path: Path on the host.
            name: Name of the block.
            params: Query parameters without ``start``.

        Returns:
            The pages as one block, without overlapping rows.

        Raises:
            NotOffered: The host does not know the path, or omits the block.
            BadPayload: The response is not in ISS format, or pages and cursor contradict each
                other.
            SourceUnavailable: The host does not answer or refuses.
        """
        where = f"{self._http.host}{path}"
        columns: tuple[str, ...] = ()
        cells: list[list[Any]] = []
        height = 0
        while True:
            page, total, size = self._page(path, name, params, start=height)
            if not columns:
                columns, cells = page.columns, [[] for _ in page.columns]
            again = _overlap(columns, cells, page)
            for column, values in zip(columns, cells, strict=True):
                values += page.values(column)[again:]
            height += page.height - again
            if again == page.height:
                break
            # A full page may not be the last one, whatever the cursor says.
            if not page.height or (height >= (total or 0) and page.height < size):
                break
        if total is not None and height != total:
            raise BadPayload(
                f"{where} announces {total} rows and sends {height}. None of them were used; "
                "they are read again next time."
            )
        return Block(where, columns, cells, height)

    def _page(
        self, path: str, name: str, params: Mapping[str, str | int], start: int
    ) -> tuple[Block, int | None, int]:
        """One page, the announced total of rows, and the size of a full page."""
        asked = {**params, "start": start, "iss.meta": "off", "iss.only": f"{name},{name}.cursor"}
        where = f"{self._http.host}{path}"
        for _ in range(EMPTY_PAGE_TRIES):
            answer = self._get(path, asked)
            page = _block(answer, name, where)
            index, total, size = _cursor(answer, name, where)
            if index is not None and index != start:
                raise BadPayload(
                    f"{where}: asked for the rows from {start}, got those from {index}."
                )
            # Retry an empty page if rows were announced; the caller rejects a persistent one.
            if page.height or total is None or start >= total:
                break
        return page, total, size

    def _get(self, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        try:
            answer = self._http.get_json(path, params)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise
            raise NotOffered(str(error)) from error
        if not isinstance(answer, dict):
            raise BadPayload(
                f"{self._http.host}{path} answers with {type(answer).__name__}, not ISS."
            )
        return answer


def _overlap(columns: tuple[str, ...], cells: list[list[Any]], page: Block) -> int:
    """Number of rows at the start of a page that repeat the end of the previous pages."""
    if not page.height or not cells or not cells[0]:
        return 0
    first = [page.values(column)[0] for column in columns]
    longest = min(len(cells[0]), page.height)
    for count in range(1, longest + 1):
        # Compare single cells first; most rows differ in one of the first columns.
        if all(values[-count] == value for values, value in zip(cells, first, strict=True)) and all(
            page.values(column)[:count] == values[-count:]
            for column, values in zip(columns, cells, strict=True)
        ):
            return count
    return 0


def _block(answer: Mapping[str, Any], name: str, where: str) -> Block:
    block = answer.get(name)
    if block is None:
        raise NotOffered(f"{where} answers without a block '{name}'.")
    try:
        columns = tuple(str(column).upper() for column in block["columns"])
        rows = block["data"]
        widths = set(map(len, rows))
    except (TypeError, KeyError) as error:
        raise BadPayload(
            f"{where}: the block '{name}' is not in ISS format ({error!r})."
        ) from error
    if not set(map(type, rows)) <= {list}:
        raise BadPayload(f"{where}: the block '{name}' holds something else than rows.")
    if widths - {len(columns)}:
        raise BadPayload(f"{where}: rows of the block '{name}' do not fit its columns.")
    cells = list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in columns]
    return Block(where, columns, cells, len(rows))


def _cursor(answer: Mapping[str, Any], name: str, where: str) -> tuple[int | None, int | None, int]:
    if f"{name}.cursor" not in answer:
        return None, None, PAGE_ROWS
    cursor = _block(answer, f"{name}.cursor", where).require("INDEX", "TOTAL", "PAGESIZE")
    if not cursor.height:
        return None, None, PAGE_ROWS
    numbers = [cursor.values(column)[0] for column in ("INDEX", "TOTAL", "PAGESIZE")]
    if not all(isinstance(number, int) for number in numbers) or numbers[2] < 1:
        raise BadPayload(f"{where}: the cursor {numbers} does not consist of whole numbers.")
    return numbers[0], numbers[1], numbers[2]
