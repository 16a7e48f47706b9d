"""``weekahead open``: a page of the local stack in the browser."""

import sys
import webbrowser

import click

from flows.cli import show

PAGES = {"dashboards": "superset", "runs": "prefect", "models": "mlflow", "schedules": "airflow"}
OPTIONAL = ("superset", "airflow")


@click.command("open")
@click.argument("page", type=click.Choice(tuple(PAGES)))
@click.option("--no-browser", is_flag=True, help="Only say where it is.")
def open_page(page: str, no_browser: bool) -> None:
    r"""Open a page of the local stack in the browser, and say how to log in.

    Dashboards are Superset's, runs Prefect's, models MLflow's, schedules Airflow's. In a terminal
    the password is shown, elsewhere the file that holds it.

    \b
      weekahead open dashboards
      weekahead open runs --no-browser
    """
    from deploy.local import status
    from lakehouse.errors import UsageError
    from lakehouse.home import Home, load_secrets
    from lakehouse.settings import load_settings

    name = PAGES[page]
    settings = load_settings()
    exists = (settings.home / "run" / "local.json").exists()
    found = next((one for one in status(settings) if one.name == name), None) if exists else None
    if found is None or found.state != "ready" or not found.page:
        part = f" --with {name}" if name in OPTIONAL else ""
        state = f" ({found.state})" if found and found.state != "missing" else ""
        raise UsageError(f"The {page} are not up{state}: run `weekahead up{part}` first.")
    show.line(found.page)
    if found.login:
        user, _, place = found.login.partition(", ")
        if sys.stdout.isatty():
            secret = place.rpartition(": ")[2]
            place = load_secrets(Home(settings.home.absolute())).get(secret, place)
        show.line(f"login: {user}, password: {place}")
    if not no_browser and not webbrowser.open(found.page):
        show.line("No browser starts here; open the address yourself.")


COMMANDS = (open_page,)
