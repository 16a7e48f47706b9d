"""The lake's tables: schema, key, partitioning.

Key columns are required because ClickHouse cannot sort by a nullable column. Tables are partitioned
by time and never by symbol: small files per symbol made reads and writes ten times slower. Rows are
replaced only by rewriting files (copy-on-write), because engines that read the lake disagree about
delete files.
"""

from dataclasses import dataclass, field

from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import MonthTransform, YearTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

TEXT, DOUBLE, LONG, INT = StringType(), DoubleType(), LongType(), IntegerType()
DATE, TIME, BOOL = DateType(), TimestamptzType(), BooleanType()


@dataclass(frozen=True)
class TableDefinition:
    """One Iceberg table.

    Attributes:
        name: Namespace and table, such as ``raw.quotes``.
        key: Columns that identify a row; a table without a key is append-only.
        schema: The Iceberg schema; key columns are required.
        partition: The partition spec.
        date_column: The date in the key; None for a small table, which a merge reads whole.
        audit: Columns that say when and how a row arrived; a merge does not compare them.
    """

    name: str
    schema: Schema
    key: tuple[str, ...] = ()
    partition: PartitionSpec = UNPARTITIONED_PARTITION_SPEC
    date_column: str | None = None
    audit: tuple[str, ...] = field(default=("load_id", "ingested_at"))


def _schema(key: dict[str, IcebergType], **columns: IcebergType) -> Schema:
    fields = [(name, kind, True) for name, kind in key.items()]
    fields += [(name, kind, False) for name, kind in columns.items()]
    return Schema(
        *(
            NestedField(number, name, kind, required=required)
            for number, (name, kind, required) in enumerate(fields, start=1)
        )
    )


def _by(
    transform: YearTransform[int] | MonthTransform[int], schema: Schema, column: str
) -> PartitionSpec:
    source = schema.find_field(column).field_id
    name = f"{column}_{'year' if isinstance(transform, YearTransform) else 'month'}"
    return PartitionSpec(PartitionField(source, 1000, transform, name))


_QUOTES = _schema(
    {"source": TEXT, "symbol": TEXT, "trade_date": DATE},
    open=DOUBLE,
    high=DOUBLE,
    low=DOUBLE,
    close=DOUBLE,
    volume=LONG,
    value=DOUBLE,
    currency=TEXT,
    board=TEXT,
    load_id=TEXT,
    ingested_at=TIME,
)
_REJECTS = _schema(
    {},
    source=TEXT,
    symbol=TEXT,
    trade_date=DATE,
    rule=TEXT,
    reason=TEXT,
    payload=TEXT,
    load_id=TEXT,
    rejected_at=TIME,
)
_FORECASTS = _schema(
    {
        "source": TEXT,
        "symbol": TEXT,
        "as_of_date": DATE,
        "horizon": INT,
        "model_name": TEXT,
        "model_version": TEXT,
    },
    target_date=DATE,
    last_close=DOUBLE,
    point=DOUBLE,
    lower_80=DOUBLE,
    upper_80=DOUBLE,
    lower_95=DOUBLE,
    upper_95=DOUBLE,
    feature_snapshot=LONG,
    simulated=BOOL,
    made_at=TIME,
    drift_point=DOUBLE,
    scale=DOUBLE,
    rate_80=DOUBLE,
    rate_95=DOUBLE,
    chance_up=DOUBLE,
    chance_move=DOUBLE,
    move=DOUBLE,
)

QUOTES = TableDefinition(
    "raw.quotes",
    _QUOTES,
    key=("source", "symbol", "trade_date"),
    partition=_by(YearTransform(), _QUOTES, "trade_date"),
    date_column="trade_date",
)
SPLITS = TableDefinition(
    "raw.splits",
    _schema(
        {"source": TEXT, "symbol": TEXT, "ex_date": DATE},
        ratio_before=DOUBLE,
        ratio_after=DOUBLE,
        load_id=TEXT,
        ingested_at=TIME,
    ),
    key=("source", "symbol", "ex_date"),
)
DIVIDENDS = TableDefinition(
    "raw.dividends",
    _schema(
        {"source": TEXT, "symbol": TEXT, "record_date": DATE},
        amount=DOUBLE,
        currency=TEXT,
        load_id=TEXT,
        ingested_at=TIME,
    ),
    key=("source", "symbol", "record_date"),
)
CALENDAR = TableDefinition(
    "raw.calendar",
    _schema(
        {"source": TEXT, "trade_date": DATE},
        is_open=BOOL,
        reason=TEXT,
        load_id=TEXT,
        ingested_at=TIME,
    ),
    key=("source", "trade_date"),
)
SECURITIES = TableDefinition(
    "raw.securities",
    _schema(
        {"source": TEXT, "symbol": TEXT},
        name=TEXT,
        currency=TEXT,
        lot_size=LONG,
        listed_from=DATE,
        listed_till=DATE,
        load_id=TEXT,
        ingested_at=TIME,
    ),
    key=("source", "symbol"),
)
# Symbols whose exchange trades on other days than their source's own calendar; ``calendar`` is
# the value of ``raw.calendar.source`` for those days.
SYMBOL_CALENDARS = TableDefinition(
    "raw.symbol_calendars",
    _schema({"source": TEXT, "symbol": TEXT}, calendar=TEXT, load_id=TEXT, ingested_at=TIME),
    key=("source", "symbol"),
)
FINDINGS = TableDefinition(
    "raw.findings",
    _schema(
        {"source": TEXT, "symbol": TEXT, "rule": TEXT, "first_date": DATE},
        last_date=DATE,
        severity=TEXT,
        seen=TEXT,
        proposal=TEXT,
        state=TEXT,
        acknowledged_by=TEXT,
        acknowledged_why=TEXT,
        acknowledged_at=TIME,
        load_id=TEXT,
        found_at=TIME,
    ),
    key=("source", "symbol", "rule", "first_date"),
    audit=("load_id", "found_at"),
)
REJECTS = TableDefinition("raw.rejects", _REJECTS, audit=("load_id", "rejected_at"))
FORECASTS = TableDefinition(
    "ml.forecasts",
    _FORECASTS,
    key=("source", "symbol", "as_of_date", "horizon", "model_name", "model_version"),
    partition=_by(MonthTransform(), _FORECASTS, "as_of_date"),
    date_column="as_of_date",
    audit=("feature_snapshot", "made_at"),
)

GATE_DECISIONS = TableDefinition(
    "ml.gate_decisions",
    _schema(
        {},
        decided_at=TIME,
        model_name=TEXT,
        challenger_version=TEXT,
        challenger_kind=TEXT,
        champion_version=TEXT,
        serving_version=TEXT,
        promoted=BOOL,
        dry_run=BOOL,
        reason=TEXT,
        relative_mae_last_price=DOUBLE,
        relative_mae_drift=DOUBLE,
        relative_mae_champion=DOUBLE,
        p_value=DOUBLE,
        window_start=DATE,
        window_end=DATE,
        challenger_scale=TEXT,
        serving_kind=TEXT,
        serving_scale=TEXT,
        relative_pinball_reference=DOUBLE,
        relative_pinball_champion=DOUBLE,
        band_p_value=DOUBLE,
        criterion=TEXT,
    ),
    audit=(),
)
# The gate's criteria, stored before anything is evaluated; decisions refer to them by hash.
GATE_CRITERIA = TableDefinition(
    "ml.gate_criteria",
    _schema({"criterion": TEXT}, text=TEXT, written_at=TIME),
    key=("criterion",),
    audit=("written_at",),
)
FEATURE_DRIFT = TableDefinition(
    "ml.feature_drift",
    _schema(
        {},
        measured_at=TIME,
        model_name=TEXT,
        model_version=TEXT,
        feature=TEXT,
        statistic=DOUBLE,
        p_value=DOUBLE,
        drifted=BOOL,
        reference_rows=LONG,
        current_rows=LONG,
    ),
    audit=(),
)

TABLES: tuple[TableDefinition, ...] = (
    QUOTES,
    SPLITS,
    DIVIDENDS,
    CALENDAR,
    SECURITIES,
    SYMBOL_CALENDARS,
    FINDINGS,
    REJECTS,
    FORECASTS,
    GATE_DECISIONS,
    GATE_CRITERIA,
    FEATURE_DRIFT,
)
BY_NAME = {table.name: table for table in TABLES}
