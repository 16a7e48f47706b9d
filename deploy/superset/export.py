"""Bring what was changed in Superset back into the repository.

Runs in Superset's environment and reads its state, so that no server and no login is needed::

    make superset-export                 the dashboards that the repository knows
    make superset-export ADD=my-slug     and one more, with its charts and datasets

The files are normalised (``assets.normalise``): an import followed by an export changes nothing,
and an edit changes the lines that it is about.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import yaml
from assets import ASSETS, normalise, read_assets
from translate import ENGLISH, to_english


def main() -> None:
    """Write the assets, delete those that are no more, and say what changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("add", nargs="*", metavar="SLUG", help="further dashboards to take over")
    parser.add_argument("--to", type=Path, default=ASSETS, help="default: %(default)s")
    options = parser.parse_args()

    from superset.app import create_app

    with create_app().app_context():
        # In whichever language they are shown: the files are in English.
        language = os.environ.get("SUPERSET_LANGUAGE") or ENGLISH
        exported = normalise(to_english(_export(options.add), language))
    for line in write(exported, options.to):
        print(line)


def write(assets: dict[str, str], root: Path) -> list[str]:
    """Make the folder hold these files and no others of their kind; tell the differences."""
    before = read_assets(root)
    for name in before.keys() - assets.keys():
        (root / name).unlink()
    for name, text in assets.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if before.get(name) != text:
            path.write_text(text)
    changed = {name for name in assets.keys() & before.keys() if assets[name] != before[name]}
    return sorted(
        [f"new      {name}" for name in assets.keys() - before.keys()]
        + [f"changed  {name}" for name in changed]
        + [f"deleted  {name}" for name in before.keys() - assets.keys()]
    ) or ["nothing has changed"]


def _export(slugs: Iterable[str]) -> dict[str, str]:
    """Superset's own export of our dashboards, and of those named."""
    from superset import security_manager
    from superset.commands.dashboard.export import ExportDashboardsCommand
    from superset.extensions import db
    from superset.models.dashboard import Dashboard
    from superset.utils.core import override_user

    known = {
        yaml.safe_load(text)["uuid"]
        for name, text in read_assets().items()
        if name.startswith("dashboards/")
    }
    wanted = set(slugs)
    dashboards = db.session.query(Dashboard).all()
    if missing := wanted - {dashboard.slug for dashboard in dashboards}:
        raise SystemExit(
            f"No dashboard has the slug {', '.join(sorted(missing))}: "
            "give it one in its properties."
        )
    chosen = [d.id for d in dashboards if str(d.uuid) in known or d.slug in wanted]
    if not chosen:
        raise SystemExit("Superset knows none of the dashboards: start it once to import them.")
    admin = security_manager.find_user(os.environ.get("SUPERSET_ADMIN_USER", "admin"))
    with override_user(admin):
        return {name: text() for name, text in ExportDashboardsCommand(chosen).run()}


if __name__ == "__main__":
    main()
