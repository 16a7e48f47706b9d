"""The quality gate: decides which bars may enter the lake.

The rules are a pandera schema over polars. A row is rejected with the first rule that it breaks. A
jump without a split is only flagged because it may be real; so is a bar without an open, because
its close is still good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pandera.errors import SchemaErrors

from lakehouse.landing.frames import to_frame

PRICES = ("open", "high", "low", "close")
KEY = ("source", "symbol", "trade_date")
JUMP = "jump"
NO_OPEN = "no_open"
# Rules that only flag bars.
KEPT = (JUMP, NO_OPEN)
# The warehouse's dates begin here.
EARLIEST = date(1900, 1, 1)
AROUND_SCHEMA = pa.schema(
    [("symbol", pa.string()), ("trade_date", pa.date32()), ("close", pa.float64())]
)
JUDGED = (*KEY, *PRICES, "volume", "malformed")


@dataclass(frozen=True)
class Expectation:
    """What the gate checks bars against.

    Attributes:
        start: First requested date.
        end: Last requested date.
        today: The current date; nothing can have traded later.
        symbols: Requested symbols; None accepts any.
        splits: Known splits: symbol, ex_date, ratio_before, ratio_after.
        jump_limit: Absolute log return above which a bar is flagged.
        around: Bars in the lake around the load's, in the columns of ``AROUND_SCHEMA``.
        without_volume: Symbols that by their nature have no volume, such as indices.
    """

    start: date
    end: date
    today: date
    symbols: frozenset[str] | None
    splits: pa.Table
    jump_limit: float
    around: pa.Table = field(default_factory=AROUND_SCHEMA.empty_table)
    without_volume: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A condition that every bar must meet.

    Attributes:
        name: Stored in ``raw.rejects.rule``.
        reason: What is wrong with a row that breaks the rule.
        holds: The condition; null counts as met, so that one fault breaks one rule.
    """

    name: str
    reason: str
    holds: pl.Expr


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict on a load.

    Attributes:
        accepted: Bars to merge, in the columns of ``raw.quotes`` except audit columns.
        rejected: Rows for ``raw.rejects`` whose bars stay out of the lake's quotes.
        flagged: Rows for ``raw.rejects`` whose bars are accepted nevertheless.
        checked: Number of distinct rows checked.
        refused: Symbols that are refused as a whole because too many of their bars break a rule,
            with the reason.
    """

    accepted: pa.Table
    rejected: pa.Table
    flagged: pa.Table
    checked: int
    refused: Mapping[str, str] = field(default_factory=dict)

    def without(self, refused: Mapping[str, str]) -> "Verdict":
        """The same verdict without some symbols; the mapping gives the reasons."""
        if not refused:
            return self

        def kept(rows: pa.Table) -> pa.Table:
            names = pa.array(refused, pa.string())
            out = pc.fill_null(pc.is_in(rows.column("symbol"), names), False)
            return rows.filter(pc.invert(out))

        return replace(
            self,
            accepted=kept(self.accepted),
            rejected=kept(self.rejected),
            flagged=kept(self.flagged),
            refused=refused,
        )


def rules(expected: Expectation, *, some_without_volume: bool = False) -> tuple[Rule, ...]:
    """The rules, in the order in which they are applied to a row.

    Args:
        expected: Dates, symbols and prices to check against.
        some_without_volume: Whether volumes are missing; then the frame has a column
            ``_no_volume``, which tells where that is acceptable.

    Returns:
        Rules whose conditions are polars expressions over the columns of ``JUDGED``.
    """
    needed = (*KEY, "high", "low", "close", *(() if some_without_volume else ("volume",)))
    filled = pl.all_horizontal(pl.col(name).is_not_null() for name in needed)
    if some_without_volume:
        filled &= pl.col("volume").is_not_null() | pl.col("_no_volume")
    body_low, body_high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    day = pl.col("trade_date")
    known = (
        pl.lit(True)
        if expected.symbols is None
        else pl.col("symbol").is_in(sorted(expected.symbols))
    )
    return (
        Rule("type", "a value has the wrong type", pl.col("malformed").is_null()),
        Rule("missing", "symbol, date, a price or the volume is missing", filled),
        Rule("unknown_symbol", "the symbol was not requested", known),
        Rule("future", "the date is in the future", day <= expected.today),
        Rule("too_early", "the warehouse has no dates before 1900", day >= EARLIEST),
        Rule(
            "out_of_range",
            "the date was not requested",
            day.is_between(expected.start, expected.end) | (day > expected.today),
        ),
        Rule(
            "positive_price",
            "a price is not a positive number",
            pl.all_horizontal((pl.col(name) > 0) & pl.col(name).is_finite() for name in PRICES),
        ),
        Rule(
            "price_range",
            "low ≤ open, close ≤ high does not hold",
            (pl.col("low") <= body_low) & (body_high <= pl.col("high")),
        ),
        Rule("volume", "the volume is negative", pl.col("volume") >= 0),
        Rule(
            "duplicate",
            "the load holds different bars for this symbol and date",
            ~pl.col("_twice"),
        ),
    )


def check_quotes(rows: pa.Table, expected: Expectation) -> Verdict:
    """Sort bars into accepted, rejected and flagged.

    Args:
        rows: Bars in the columns of ``lakehouse.sources.reader.QUOTES_SCHEMA``.
        expected: Dates, symbols and prices to check against.

    Returns:
        The verdict; accepted bars keep their order.
    """
    rows, without_open = _without_zero_opens(rows)
    frame, in_order = _without_copies(rows)
    missing = bool(frame["volume"].null_count())
    if missing:
        frame = frame.with_columns(_no_volume=_has_no_volume(expected))
    checked = frame.height
    broken = _broken(frame, rules(expected, some_without_volume=missing))
    # Only these are needed from here on; whole rows of a large load would take too much memory.
    good = frame.select("symbol", "trade_date", "close", "_row")
    del frame
    if broken.height:
        good = good.join(broken, on="_row", how="anti", maintain_order="left")
    # Sorting a large load again would cost as much as checking it.
    ordered = good if in_order else good.sort("symbol", "trade_date")
    flags = pl.concat([_jumps(ordered, expected), _flagged(good, without_open)])
    return Verdict(
        accepted=_chosen(rows, good["_row"]).drop_columns(["malformed"]),
        rejected=_reject_rows(rows, broken),
        flagged=_reject_rows(rows, flags),
        checked=checked,
    )


def _without_zero_opens(rows: pa.Table) -> tuple[pa.Table, pa.ChunkedArray | None]:
    """Replace opens of zero by nulls, which they stand for; also returns which rows have none."""
    opens = rows.column("open")
    # Finding the minimum costs a fraction of comparing every value.
    least = pc.min(opens).as_py()
    if not opens.null_count and least is not None and least > 0:
        return rows, None
    missing = pc.fill_null(pc.equal(opens, 0.0), True)
    if not pc.any(missing).as_py():
        return rows, None
    known = pc.if_else(missing, pa.scalar(None, pa.float64()), opens)
    return rows.set_column(rows.column_names.index("open"), "open", known), missing


def _flagged(good: pl.DataFrame, without_open: pa.ChunkedArray | None) -> pl.DataFrame:
    flags = good.select("_row").clear() if without_open is None else good.select("_row")
    if without_open is not None:
        flags = flags.filter(pl.Series(without_open.to_numpy())[flags["_row"]])
    return flags.with_columns(
        rule=pl.lit(NO_OPEN), reason=pl.lit("kept, but the open is zero or missing")
    )


def _has_no_volume(expected: Expectation) -> pl.Expr:
    """Whether a missing volume is acceptable: an index, or a symbol without volume on any day."""
    by_nature = pl.col("symbol").is_in(sorted(expected.without_volume))
    never = pl.col("volume").is_null().all().over("symbol")
    return (by_nature | never).fill_null(False)


def _without_copies(rows: pa.Table) -> tuple[pl.DataFrame, bool]:
    """Keep one of several identical rows, and mark keys that still occur more than once.

    Also returns whether the rows are sorted. The frame has only the judged columns and the row
    number, because a copy of a large load would take too much memory.
    """
    frame = to_frame(rows.select(JUDGED)).with_row_index("_row")
    if _in_order(frame):
        return frame.with_columns(pl.lit(False).alias("_twice")), True
    twice = frame.select(KEY).is_duplicated()
    if twice.any():
        whole = to_frame(rows).with_row_index("_row")
        first = whole.unique(rows.column_names, maintain_order=True, keep="first")["_row"]
        frame = frame[first]
        twice = frame.select(KEY).is_duplicated()
    return frame.with_columns(twice.alias("_twice")), False


def _chosen(rows: pa.Table, numbers: pl.Series) -> pa.Table:
    """The rows with these numbers, in their original order."""
    if len(numbers) == rows.num_rows:
        return rows
    mask = np.zeros(rows.num_rows, dtype=bool)
    mask[numbers.to_numpy()] = True
    return rows.filter(pa.array(mask))


def _in_order(frame: pl.DataFrame) -> bool:
    """Whether each symbol is contiguous with ascending dates, so that no key can occur twice.

    Sources deliver symbols that way, and it is much cheaper to check than looking up every key.
    """
    same = pl.col("symbol") == pl.col("symbol").shift(1)
    rising = pl.col("trade_date") > pl.col("trade_date").shift(1)
    seen = frame.select(
        rises=(~same | rising).all(ignore_nulls=True),
        pieces=(~same).sum() + 1,
        symbols=pl.col("symbol").n_unique(),
        nulls=pl.col("symbol").null_count() + pl.col("trade_date").null_count(),
        sources=pl.col("source").n_unique(),
    ).row(0, named=True)
    return bool(
        seen["rises"]
        and seen["pieces"] == seen["symbols"]
        and seen["sources"] == 1
        and not seen["nulls"]
    )


def _broken(frame: pl.DataFrame, applied: tuple[Rule, ...]) -> pl.DataFrame:
    """Row number, rule and reason of every row that breaks a rule; the first broken rule counts."""
    schema = pandera.DataFrameSchema(checks=[_check(rule) for rule in applied])
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        order = {rule.name: place for place, rule in enumerate(applied)}
        reasons = {rule.name: rule.reason for rule in applied}
        cases: pl.DataFrame = error.failure_cases
        return (
            cases.select(
                frame["_row"][cases["index"].cast(pl.get_index_type())], rule=pl.col("check")
            )
            .with_columns(_order=pl.col("rule").replace_strict(order))
            .sort("_row", "_order")
            .unique("_row", keep="first", maintain_order=True)
            .with_columns(reason=pl.col("rule").replace_strict(reasons))
            .drop("_order")
        )
    return pl.DataFrame(
        schema={"_row": pl.get_index_type(), "rule": pl.String, "reason": pl.String}
    )


def _check(rule: Rule) -> Any:
    def holds(data: Any) -> pl.LazyFrame:
        frame: pl.LazyFrame = data.lazyframe
        return frame.select(rule.holds.fill_null(True))

    return pandera.Check(holds, name=rule.name, error=rule.name)


def _jumps(ordered: pl.DataFrame, expected: Expectation) -> pl.DataFrame:
    """Bars whose close moved by more than the limit since the previous one, adjusted for splits.

    The bars are sorted by symbol and date. A split that the prices do not show is as suspicious as
    a jump without a split.
    """
    splits = to_frame(expected.splits).select(
        "symbol", "ex_date", _ratio=(pl.col("ratio_after") / pl.col("ratio_before")).log()
    )
    if expected.around.num_rows:
        ordered = _with_neighbours(ordered, expected.around)
    change = (pl.col("close") / pl.col("close").shift(1)).log()
    suspects = (
        ordered.with_columns(_change=change, _since=pl.col("trade_date").shift(1))
        .filter(
            (pl.col("symbol") == ordered["symbol"].shift(1))
            & pl.col("_row").is_not_null()
            & (
                (pl.col("_change").abs() > expected.jump_limit)
                | pl.col("symbol").is_in(splits["symbol"].unique().to_list())
            )
        )
        .with_row_index("_number")
    )
    between = (pl.col("ex_date") > pl.col("_since")) & (pl.col("ex_date") <= pl.col("trade_date"))
    explained = (
        suspects.select("_number", "symbol", "trade_date", "_since")
        .join(splits, on="symbol")
        .filter(between)
        .group_by("_number")
        .agg(pl.col("_ratio").sum())
    )
    unexplained = pl.col("_change") + pl.col("_ratio").fill_null(0.0)
    percent = ((unexplained.exp() - 1) * 100).round(1).cast(pl.String)
    moved = "kept, but the close moved by " + percent + " % and no split explains it"
    unseen = "kept, but the prices do not show the split: adjusted, the close moved by " + percent
    return (
        suspects.join(explained, on="_number", how="left", maintain_order="left")
        .filter(unexplained.abs() > expected.jump_limit)
        .select(
            "_row",
            rule=pl.lit(JUMP),
            reason=pl.when(pl.col("_ratio").is_null()).then(moved).otherwise(unseen + " %"),
        )
    )


def _with_neighbours(ordered: pl.DataFrame, around: pa.Table) -> pl.DataFrame:
    """The load's bars together with those that the lake has before and between them."""
    here = to_frame(around).with_columns(_row=pl.lit(None, pl.get_index_type()))
    fresh = here.join(ordered, on=["symbol", "trade_date"], how="anti")
    return pl.concat([ordered, fresh.select(ordered.columns)]).sort("symbol", "trade_date")


def _reject_rows(rows: pa.Table, remarks: pl.DataFrame) -> pa.Table:
    """Rows for ``raw.rejects``, with the bar as JSON in ``payload``."""
    bar = (*KEY, *PRICES, "volume", "value", "currency", "board")
    payload = pl.coalesce("malformed", pl.struct(bar).struct.json_encode())
    bars = to_frame(rows.take(remarks["_row"].to_arrow()))
    return bars.hstack(remarks).select(*KEY, "rule", "reason", payload=payload).to_arrow()
