"""``weekahead env``: what other programs need to read the lake and the marts."""

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from flows.cli import show

if TYPE_CHECKING:
    from lakehouse.settings import Settings

CATALOG = "PYICEBERG_CATALOG__WEEKAHEAD__"


@click.command("env")
def environment() -> None:
    r"""Print the reader's addresses and passwords as variables, while the services are up.

    pyiceberg and what is built on it read the lake as the catalog `weekahead`; the variables of
    ClickHouse are those of its own clients and of mcp-clickhouse. Nothing can be changed with them.

    \b
      weekahead up
      eval "$(weekahead env)"
      python examples/lake.py
    """
    from deploy.local import DATA, is_up, running
    from lakehouse.errors import UsageError
    from lakehouse.settings import load_settings

    settings = load_settings()
    elsewhere = bool(settings.catalog.uri and settings.clickhouse.url)
    if not elsewhere and not is_up(settings):
        raise UsageError("The services are not up: run `weekahead up` first.")
    with running(settings, needs=DATA) as filled:
        variables = reader_variables(filled)
    for name, value in variables.items():
        show.line(f"export {name}={shlex.quote(value)}")


def reader_variables(settings: "Settings") -> dict[str, str]:
    """The environment variables for readers.

    Args:
        settings: Addresses of the running services, and the reader's credentials.

    Returns:
        Values by name, including passwords.
    """
    from catalog.connect import catalog_properties

    found = {
        CATALOG + name.replace(".", "__").replace("-", "_").upper(): value
        for name, value in catalog_properties(settings.catalog, settings.s3, read_only=True).items()
    }
    url = urlsplit(settings.clickhouse.url or "")
    secure = url.scheme == "https"
    return found | {
        "CLICKHOUSE_HOST": url.hostname or "",
        "CLICKHOUSE_PORT": str(url.port or (8443 if secure else 8123)),
        "CLICKHOUSE_SECURE": str(secure).lower(),
        "CLICKHOUSE_DATABASE": "marts",
        "CLICKHOUSE_USER": settings.clickhouse.reader_user,
        "CLICKHOUSE_PASSWORD": settings.clickhouse.reader_password.get_secret_value(),
    }


COMMANDS = (environment,)
