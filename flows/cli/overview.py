"""``weekahead`` without arguments: the state of this home, and what to do next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.cli import show
from lakehouse import __version__

if TYPE_CHECKING:
    from lakehouse.models.serving import Serving
    from lakehouse.settings import Settings

Step = tuple[str, str]
RUN: Step = ("weekahead run", "the whole pipeline, on sample quotes if nothing else is set")
INIT: Step = (
    "weekahead init --source yahoo --symbols AAPL,MSFT",
    "settings for symbols of your own",
)
UP: Step = ("weekahead up --with superset", "everything in the background, with its pages")
PAGES: Step = ("weekahead open dashboards", "or: runs, models")
REPORT: Step = ("weekahead report", "one HTML file with charts")
SCORE: Step = ("weekahead score", "past forecasts against what happened")
DOCTOR: Step = ("weekahead doctor", "says what is wrong")


@dataclass(frozen=True)
class Overview:
    """The state of a home.

    Attributes:
        state: ``fresh``, ``started``, ``sample`` or ``live``.
        home: Its path.
        serves: The serving model, in words.
        up: The running services, in words.
        settings: Where the settings come from.
        next: Useful next commands, each with its purpose.
    """

    state: str
    home: str
    serves: str
    up: str
    settings: str
    next: tuple[Step, ...]


def overview(settings: "Settings") -> Overview:
    """Inspect the home without starting or creating anything."""
    from lakehouse.models.serving import serving
    from lakehouse.settings import SETTINGS_FILE

    path = settings.home.absolute()
    found = serving(settings)
    running, broken = _running(settings) if (path / "run" / "local.json").exists() else ([], [])
    if broken:
        up = f"{', '.join(running) or 'nothing'}; not ready: {', '.join(broken)}"
    else:
        up = ", ".join(running) or "nothing"
    return Overview(
        _state(found, (path / "config").exists()),
        str(path),
        _serves(settings, found),
        up,
        str(SETTINGS_FILE.absolute()) if SETTINGS_FILE.exists() else "defaults, environment, .env",
        _next(found, running, broken),
    )


def show_overview() -> None:
    """Print the overview."""
    from lakehouse.settings import load_settings

    found = overview(load_settings())
    show.line(f"weekahead {__version__}: {STATES[found.state]}")
    show.line()
    for name in ("home", "serves", "up", "settings"):
        show.line(f"  {name:<9} {getattr(found, name)}")
    show.line()
    show.line("Next")
    width = max(len(command) for command, _ in found.next) + 2
    for command, does in found.next:
        show.line(f"  {command:<{width}} {does}")
    show.line()
    show.line("`weekahead --help` lists all commands.")


STATES = {
    "fresh": "nothing has run in this home yet",
    "started": "this home has data, but no model serves yet",
    "sample": "forecasts from sample quotes",
    "live": "forecasts from quotes of your own",
}


def _state(found: "Serving | None", exists: bool) -> str:
    if found:
        return "sample" if found.sources == ("sample",) else "live"
    return "started" if exists else "fresh"


def _serves(settings: "Settings", found: "Serving | None") -> str:
    if found:
        names = ", ".join(found.sources) or "?"
        return f"version {found.version} ({found.kind}) on {names}, until {found.trained_until}"
    if settings.mlflow.tracking_uri:
        return f"see MLflow at {settings.mlflow.tracking_uri}"
    return "nothing"


def _running(settings: "Settings") -> tuple[list[str], list[str]]:
    """Names of the services that are ready, and of those that should be but are not."""
    from deploy.local import is_up, status

    found = status(settings)
    ready = [service.name for service in found if service.state == "ready"]
    broken = [service.name for service in found if service.state != "ready"]
    return ready, broken if is_up(settings) else []


def _next(found: "Serving | None", running: list[str], broken: list[str]) -> tuple[Step, ...]:
    if broken:
        return (DOCTOR, UP)
    if not found:
        return (RUN, INIT)
    if "superset" in running:
        return (PAGES, SCORE, INIT)
    return (REPORT, UP, INIT)
