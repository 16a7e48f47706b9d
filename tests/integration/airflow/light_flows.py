"""Light flows with the names and parameters of the platform's deployments."""

import time
from datetime import date

from prefect import flow


@flow(name="case")
def case(seconds: float = 0.0, fail: str = "") -> None:
    """Take some time, then fail with a message, if there is one."""
    time.sleep(seconds)
    if fail:
        raise ValueError(fail)


@flow(name="ingest")
def ingest(
    source: str | None = "sample",
    symbols: list[str] | None = None,
    start: date | None = None,
    end: date | None = None,
) -> None:
    """Nothing but parameters."""


@flow(name="transform")
def transform(full_refresh: bool = False) -> None:
    """Nothing but parameters."""


@flow(name="predict")
def predict(symbols: list[str] | None = None) -> None:
    """Nothing but parameters."""


@flow(name="score")
def score(strict: bool = False) -> None:
    """Nothing but parameters."""


if __name__ == "__main__":
    from pathlib import Path

    here = Path(__file__)
    for each, name in (
        (case, "case"),
        (ingest, "ingest"),
        (transform, "transform"),
        (predict, "predict"),
        (score, "score"),
    ):
        each.from_source(str(here.parent), f"{here.name}:{name}").deploy(
            name, work_pool_name="light", build=False, push=False, print_next_steps=False
        )
