"""What deployments need on the server: the work pool and the limit on writers.

``python -m flows.register`` may be repeated; it changes nothing that is right already.
"""

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from flows.writers import LIMIT
from lakehouse.settings import load_settings


def work_pool(client: SyncPrefectClient, name: str) -> None:
    """Create the process pool, unless there is a pool of this name."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def writers_limit(client: SyncPrefectClient) -> None:
    """Let one step at a time write to the lake and the warehouse."""
    try:
        client.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1))


def main() -> None:
    """Create what is missing on the server that PREFECT_API_URL names."""
    with get_client(sync_client=True) as client:
        work_pool(client, load_settings().prefect.work_pool)
        writers_limit(client)


if __name__ == "__main__":
    main()
