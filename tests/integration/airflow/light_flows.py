"""A light flow for what happens between Airflow and Prefect, whatever the flow does."""

import time

from prefect import flow


@flow(name="case")
def case(seconds: float = 0.0, fail: str = "") -> None:
    """Take some time, then fail with a message, if there is one."""
    time.sleep(seconds)
    if fail:
        raise ValueError(fail)


if __name__ == "__main__":
    from pathlib import Path

    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    here = Path(__file__)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="light", type="process"))
    case.from_source(str(here.parent), f"{here.name}:case").deploy(
        "case", work_pool_name="light", build=False, push=False, print_next_steps=False
    )
