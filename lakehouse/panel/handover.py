"""Hands a dataset to the tasks that fit on it, in threads or in other processes."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pyarrow as pa
import pyarrow.ipc

from lakehouse.panel.dataset import Dataset, split_arrow, to_arrow

PREFIX = "dataset-"


class Place(Hashable, Protocol):
    """The location of a dataset; small, and the same for all tasks of a run."""

    def load(self) -> Dataset:
        """Read the dataset; called wherever a task runs."""


Share = Callable[[Dataset, Path], AbstractContextManager[Place]]
"""Puts a dataset where tasks find it, for as long as they run; the folder is for its own use."""


@dataclass(frozen=True)
class LocalFile:
    """A file that all processes of this machine can read."""

    path: str

    def load(self) -> Dataset:
        """Memory-map the file; unused rows are not read."""
        with pa.memory_map(self.path) as source:
            return split_arrow(pa.ipc.open_file(source).read_all())


@contextmanager
def as_local_file(dataset: Dataset, workspace: Path) -> Iterator[LocalFile]:
    """Write a dataset to a temporary file for as long as the context lasts.

    Args:
        dataset: The dataset.
        workspace: A directory that no other run uses meanwhile; leftovers are removed.

    Yields:
        The location for the tasks.
    """
    for left in workspace.glob(f"{PREFIX}*"):
        left.unlink()
    # Use a new name each time, because long-lived workers cache the last file by its name.
    path = workspace.resolve() / f"{PREFIX}{uuid4().hex}.arrow"
    write(dataset, path)
    try:
        yield LocalFile(str(path))
    finally:
        path.unlink()


def write(dataset: Dataset, path: Path) -> None:
    """Write a dataset as one Arrow IPC file.

    Args:
        dataset: The dataset.
        path: The file to write.

    Raises:
        OSError: The file cannot be written.
    """
    table = to_arrow(dataset)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
