"""Separate environments, from lock files, for programs whose libraries conflict with ours."""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from uv import find_uv_bin

from deploy.local.service import tail
from lakehouse.errors import ServiceError
from lakehouse.home import Home

log = logging.getLogger("weekahead")
# The version that the lock files are made for; uv finds it if ours is another.
PYTHON = "3.11"
MARK = ".built-from"


def directory(home: Home, name: str) -> Path:
    """The path of an environment.

    Args:
        home: The home directory.
        name: Name of the environment, such as ``superset``.

    Returns:
        The path, whether or not the environment exists.
    """
    return home.path / "env" / name


def build(
    target: Path,
    requirements: Path,
    *,
    log_file: Path,
    packages: Sequence[Path] = (),
) -> Path:
    """Build an environment from its lock file, unless it is up to date.

    Args:
        target: The environment's directory.
        requirements: Lock file with hashes.
        log_file: File for uv's messages.
        packages: Directories of our own packages to install, without their dependencies.

    Returns:
        The directory of its programs.

    Raises:
        ServiceError: A package cannot be installed; the message contains the end of the log.
    """
    programs = target / "bin"
    mark = target / MARK
    wanted = _digest([requirements, *packages])
    if built_from(target) == wanted:
        return programs
    log.info("installing %s (once; a minute or so, plus the download)", target.name)
    uv = find_uv_bin()
    # Build in place, because scripts contain the path; an incomplete environment has no mark.
    mark.unlink(missing_ok=True)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run(
        [uv, "venv", "--quiet", "--allow-existing", f"--python={_python()}", str(target)], log_file
    )
    install = [uv, "pip", "install", "--quiet", f"--python={programs / 'python'}"]
    _run([*install, "--require-hashes", f"--requirement={requirements}"], log_file)
    for package in packages:
        _run([*install, "--no-deps", "--reinstall", str(package)], log_file)
    mark.write_text(wanted)
    return programs


def built_from(target: Path) -> str:
    """A hash of the environment's inputs; empty if it is incomplete."""
    mark = target / MARK
    return mark.read_text() if mark.is_file() else ""


def _python() -> str:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    return sys.executable if ours == PYTHON else PYTHON


def _digest(paths: Sequence[Path]) -> str:
    digest = sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and file.suffix in {".txt", ".toml", ".py"}:
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _run(command: list[str], log_file: Path) -> None:
    # Otherwise uv would modify the active environment.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        except subprocess.CalledProcessError as error:
            raise ServiceError(
                f"Installing {log_file.stem.removesuffix('-install')} failed.\n{tail(log_file)}\n"
                "Fix the cause and run the command again: it continues from here."
            ) from error
