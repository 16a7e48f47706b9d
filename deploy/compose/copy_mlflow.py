"""Copies the records of an embedded MLflow into the containers' PostgreSQL.

Usage: ``backup.sh move`` calls it, with the SQLite file on standard input. Ids stay the same, so
    that
models, runs and their artifacts in the lake still belong together.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from sqlalchemy import (
    Connection,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    inspect,
    select,
    text,
)

SECRET = Path("/secrets/mlflow")
REVISION = "alembic_version"


def main() -> None:
    """Copy all tables in one transaction."""
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        source = create_engine(f"sqlite:///{file.name}")
        target = create_engine(
            f"postgresql+psycopg2://mlflow:{SECRET.read_text()}@postgres:5432/mlflow"
        )
        metadata = MetaData()
        metadata.reflect(bind=target)
        tables = [table for table in metadata.sorted_tables if table.name != REVISION]
        with source.connect() as old, target.begin() as new:
            _check(old, new, metadata)
            # The target's default experiment would collide with the copied one.
            for table in reversed(tables):
                new.execute(table.delete())
            rows = sum(_copy(old, new, table) for table in tables)
    print(f"mlflow: {rows} rows of {len(tables)} tables")


def _check(old: Connection, new: Connection, metadata: MetaData) -> None:
    if not inspect(old).has_table(REVISION):
        sys.exit("This is not MLflow's database.")
    revision = select(metadata.tables[REVISION])
    here, there = old.scalar(revision), new.scalar(revision)
    if here != there:
        sys.exit(
            f"The schemas differ ({here} and {there}): start the embedded MLflow once with the "
            "version of the containers."
        )
    if new.scalar(select(func.count()).select_from(metadata.tables["runs"])):
        sys.exit("The containers' MLflow has runs already: nothing was copied.")


def _copy(old: Connection, new: Connection, table: Table) -> int:
    rows = [dict(row) for row in old.execute(select(table)).mappings()]
    if rows:
        new.execute(table.insert(), rows)
    for column in table.primary_key:
        # Sequences must continue after the highest copied id.
        if isinstance(column.type, Integer) and rows:
            names = {"table": f'"{table.name}"', "column": column.name}
            sequence = new.scalar(text("select pg_get_serial_sequence(:table, :column)"), names)
            if sequence:
                highest = max(row[column.name] for row in rows)
                following = {"sequence": sequence, "next": highest + 1}
                new.execute(text("select setval(:sequence, :next, false)"), following)
    return len(rows)


if __name__ == "__main__":
    main()
