"""A Dask cluster for tests, whose workers have the object store and nothing else of ours."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.service import HOST, is_free
from flows.fan_out import executor
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from tests.homes import eventually

# Empty folders in place of those that another machine would not have.
HIDE = (
    'for folder in "$1" "$2"; do mount -t tmpfs none "$folder" || exit 1; done; shift 2; exec "$@"'
)
APART = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", HIDE, "sh"]


@contextmanager
def process(*command: str | Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with an environment that knows no home."""
    # Which kernels BLAS takes is a matter of the processor; all have to take the same.
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PATH", "OPENBLAS"))}
    environment = kept | variables
    running = subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


class Cluster:
    """A scheduler, and workers that come and go."""

    def __init__(self, workspace: Path, settings: Settings, scope: ExitStack) -> None:
        self._hidden, self._scope = (settings.home.resolve(), workspace), scope
        reader = settings.s3.reader_secret_key.get_secret_value()
        self._store = {
            "WEEKAHEAD_S3__ENDPOINT": str(settings.s3.endpoint),
            "WEEKAHEAD_S3__ACCESS_KEY": settings.s3.reader_access_key,
            "WEEKAHEAD_S3__SECRET_KEY": reader,
        }
        port = next(port for port in range(8786, 9786) if is_free(port))
        self.address = f"tcp://{HOST}:{port}"
        self.start("dask_scheduler", f"--host={HOST}", f"--port={port}", "--no-dashboard")
        eventually(lambda: not is_free(port), within=60)

    def start(self, program: str, *options: str) -> "subprocess.Popen[bytes]":
        """Start one process that sees neither the home nor the folder of the run."""
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        started = process(*APART, *self._hidden, *command, **self._store)
        return self._scope.enter_context(started)

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start a worker of one thread; it has joined when it takes its first task."""
        options = (f"--host={HOST}", "--nthreads=1", "--no-nanny", "--no-dashboard")
        return self.start("dask_worker", self.address, *options)


@contextmanager
def cluster_of(lake: Platform, workspace: Path) -> Iterator[Cluster]:
    """A scheduler without workers, all of them gone at the end."""
    tried = subprocess.run([*APART, lake.settings.home.resolve(), workspace, "true"], check=False)
    if tried.returncode:
        pytest.skip("this kernel lets nobody hide folders from a process")
    with ExitStack() as scope:
        yield Cluster(workspace, lake.settings, scope)


def on(cluster: Cluster, lake: Platform) -> Callable[..., list[Any]]:
    """How the product runs work on the cluster."""
    forecast = lake.settings.forecast.model_copy(
        update={"runner": "dask", "dask_address": cluster.address}
    )
    return executor(lake.settings.model_copy(update={"forecast": forecast}))
