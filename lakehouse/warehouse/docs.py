"""The dbt project's documentation: every model, column and test, with lineage."""

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lakehouse.errors import ServiceError, TransformError
from lakehouse.settings import Settings
from lakehouse.warehouse.runner import common_arguments, dbt_environment, dbt_state, log_path

HOST = "127.0.0.1"


def generate(settings: Settings) -> Path:
    """Write the documentation as one self-contained HTML file.

    Returns:
        The file's path, under the home directory.

    Raises:
        TransformError: dbt failed.
        ServiceError: ClickHouse does not answer.
    """
    from dbt.cli.main import dbtRunner

    folder = dbt_state(settings.home) / "docs"
    arguments = ["docs", "generate", "--static", *common_arguments(settings)]
    arguments += ["--target-path", str(folder / "target")]
    with dbt_environment(settings, {}):
        result = dbtRunner().invoke(arguments)
    made = folder / "target" / "static_index.html"
    if not result.success or not made.exists():
        raise TransformError(
            f"dbt could not generate the documentation: {result.exception or 'no reason given'}. "
            f"Run 'weekahead transform' first; details are in {log_path(settings.home)}."
        )
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    return made.replace(site / "index.html")


def serve(page: Path, *, port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve the documentation on this machine until interrupted.

    Args:
        page: The path that ``generate`` returned.
        port: Port on the loopback interface; 0 takes a free one.
        ready: Called with the address once the server listens.

    Raises:
        ServiceError: The port is taken.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(page.parent)))
    except OSError as error:
        raise ServiceError(
            f"Port {port} cannot be used for the documentation ({error.strerror}). "
            "Choose another, or 0 for a free one."
        ) from error
    with server:
        if ready:
            ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever()


class _Quiet(SimpleHTTPRequestHandler):
    """Serves one directory without logging each request."""

    def log_message(self, *arguments: Any) -> None:
        """Suppress the log line of each request."""
