"""``make release``: build the distributions, try each in a bare environment, write checksums.

Nothing is published: CONTRIBUTING.md describes that step.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
# Older versions of packaging do not know the metadata version that hatchling writes.
TWINE = ("--from", "twine>=7,<8", "--with", "packaging>=26")


@dataclass(frozen=True)
class Distribution:
    """A package that is published.

    Attributes:
        folder: Where its ``pyproject.toml`` is, relative to the checkout.
        check: Python code that fails unless the installed package works; ``VERSION`` is defined.
        constraints: A lock file whose versions are installed, relative to the checkout; without
            one, the versions of ``uv.lock``.
    """

    folder: str
    check: str
    constraints: str | None = None

    @property
    def project(self) -> dict[str, str]:
        """The table ``[project]`` of its ``pyproject.toml``."""
        text = (ROOT / self.folder / "pyproject.toml").read_text()
        project: dict[str, str] = tomllib.loads(text)["project"]
        return project


DISTRIBUTIONS = (
    Distribution(
        ".",
        """
import pathlib, subprocess, sys
program = pathlib.Path(sys.executable).with_name("weekahead")
shown = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
assert shown.split()[-1] == VERSION, shown
subprocess.run([program, "init"], check=True)
from lakehouse.settings import load_settings
assert (load_settings().dbt_dir / "dbt_project.yml").is_file()
from deploy.local.airflow import BRIDGE
assert (BRIDGE / "pyproject.toml").is_file()
""",
    ),
    Distribution(
        "airflow_bridge",
        """
from weekahead_airflow import __version__, operator, trigger, hook
from weekahead_airflow.provider import get_provider_info
assert __version__ == VERSION and get_provider_info()["versions"] == [VERSION]
from airflow.providers_manager import ProvidersManager
assert ProvidersManager().providers["weekahead-airflow-bridge"].version == VERSION
""",
        constraints="deploy/requirements/airflow.txt",
    ),
    Distribution(
        "deploy/chserver",
        """
import json, os, pathlib, subprocess, sys, urllib.request
from deploy.chserver.auth import hash_password
users = pathlib.Path("users.json")
users.touch(mode=0o600)
users.write_text(json.dumps({"me": {"password_hash": hash_password("secret"), "role": "admin"}}))
options = ["--data", "data", "--users", users, "--port", "0"]
command = [sys.executable, "-m", "deploy.chserver", *options]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    try:
        address = server.stdout.readline().split()[2].rstrip(",")
        request = urllib.request.Request(address, b"SELECT 6 * 7", {
            "X-ClickHouse-User": "me", "X-ClickHouse-Key": "secret"})
        assert urllib.request.urlopen(request).read() == b"42\\n"
    finally:
        server.terminate()
assert server.returncode == 0, server.returncode
""",
    ),
)


def stated_versions() -> dict[str, str]:
    """The version in every place that states it, by file."""
    places = {
        "lakehouse/__init__.py": r'__version__ = "(.+)"',
        "airflow_bridge/src/weekahead_airflow/__init__.py": r'__version__ = "(.+)"',
        "CHANGELOG.md": r"^## \[(\d.+?)\]",
        "docker-compose.yml": r"image: weekahead/platform:(.+)",
        "deploy/compose/no-registry.yml": r"image: weekahead/platform:(.+)",
        "deploy/work-pools/docker.json": r'"weekahead/platform:(.+)"',
        "uv.lock": r'name = "weekahead"\nversion = "(.+)"',
    }
    found = {f"{each.folder}/pyproject.toml": each.project["version"] for each in DISTRIBUTIONS}
    for place, pattern in places.items():
        match = re.search(pattern, (ROOT / place).read_text(), re.MULTILINE)
        found[place] = match[1] if match else "none"
    return found


def main() -> None:
    """Build and check everything; a failure ends with exit code 1 and says what failed."""
    versions = stated_versions()
    if len(set(versions.values())) > 1:
        lines = "\n".join(f"  {version:<10}{place}" for place, version in versions.items())
        sys.exit(f"These files state different versions; make them agree first:\n{lines}")
    shutil.rmtree(DIST, ignore_errors=True)
    for each in DISTRIBUTIONS:
        _say(f"Building {each.project['name']} {each.project['version']}")
        _uv("build", "--quiet", "--out-dir", DIST, ROOT / each.folder)
    (DIST / ".gitignore").unlink(missing_ok=True)
    built = sorted(DIST.iterdir())
    _say("Checking metadata and descriptions")
    _uv("tool", "run", "--quiet", *TWINE, "twine", "check", "--strict", *built)
    for each in DISTRIBUTIONS:
        _try(each)
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in built)
    (DIST / "SHA256SUMS").write_text("".join(sums))
    for path in built:
        _say(f"  {path.stat().st_size:>10,}  dist/{path.name}")
    _say("All checks passed. CONTRIBUTING.md says how to publish.")


def _try(distribution: Distribution) -> None:
    """Install the wheel into an environment of its own, outside the checkout, and use it."""
    name, version = distribution.project["name"], distribution.project["version"]
    _say(f"Installing {name} in a bare environment")
    (wheel,) = DIST.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    with tempfile.TemporaryDirectory(prefix="weekahead-release-") as folder:
        environment = Path(folder) / "env"
        locked = Path(folder) / "locked.txt"
        if distribution.constraints:
            pinned = (ROOT / distribution.constraints).read_text()
            locked.write_text(re.sub(r"^\s+--hash=.*$|\\$", "", pinned, flags=re.MULTILINE))
        else:
            export = ("--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--quiet")
            _uv("export", *export, f"--project={ROOT}", f"--output-file={locked}")
        _uv("venv", "--quiet", f"--python={sys.executable}", environment)
        install = ("pip", "install", "--quiet", f"--python={environment}")
        _uv(*install, f"--constraint={locked}", wheel)
        home = Path(folder) / "home"
        home.mkdir()
        subprocess.run(
            [environment / "bin" / "python", "-c", f"VERSION = {version!r}{distribution.check}"],
            check=True,
            cwd=home,
            # Nothing of the developer's: neither the checkout nor settings.
            env={"PATH": os.defpath, "HOME": str(home), "AIRFLOW_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        )


def _uv(*arguments: str | Path) -> None:
    subprocess.run([find_uv_bin(), *arguments], check=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"The release failed: {failed.cmd[:4]} ended with code {failed.returncode}.")
