"""A dataset in the object store, for workers on machines without a shared disk."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from catalog.objects import object_store
from catalog.settings import S3Settings
from lakehouse.errors import SettingsError
from lakehouse.panel.dataset import Dataset, split_arrow
from lakehouse.panel.handover import PREFIX, Share, write
from lakehouse.settings import load_settings

FOLDER = "forecasting"


@dataclass(frozen=True)
class StoredDataset:
    """An object named by its content, so that a worker need not read it twice.

    Tasks carry no credentials: each worker has its own, in its environment.
    """

    key: str

    def load(self) -> Dataset:
        """Fetch it with the worker's own settings.

        Raises:
            SettingsError: The worker has no address or keys of the store.
        """
        settings = load_settings().s3
        if not settings.endpoint or not settings.access_key:
            raise SettingsError(
                "This Dask worker does not know the object store: start it with "
                "WEEKAHEAD_S3__ENDPOINT, WEEKAHEAD_S3__ACCESS_KEY and WEEKAHEAD_S3__SECRET_KEY."
            )
        answer = object_store(settings).get_object(Bucket=settings.artifacts_bucket, Key=self.key)
        with pa.ipc.open_file(pa.py_buffer(answer["Body"].read())) as source:
            return split_arrow(source.read_all())


def stored(settings: S3Settings) -> Share:
    """A way to share datasets through an object store."""

    @contextmanager
    def share(dataset: Dataset, workspace: Path) -> Iterator[StoredDataset]:
        path = workspace / f"{PREFIX}to-be-stored.arrow"
        client = object_store(settings)
        try:
            write(dataset, path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            key = f"{FOLDER}/{digest}.arrow"
            client.upload_file(str(path), settings.artifacts_bucket, key)
        finally:
            path.unlink(missing_ok=True)
        try:
            yield StoredDataset(key)
        finally:
            client.delete_object(Bucket=settings.artifacts_bucket, Key=key)

    return share
