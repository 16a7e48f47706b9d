"""Environments of their own for programs whose libraries clash with ours, from lock files."""

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
# The locks hold for it; another one that is installed beside ours is found by uv.
PYTHON = "3.11"
MARK = ".built-from"


def directory(home: Home, name: str) -> Path:
    """Where the environment of that name is."""
    return home.path / "env" / name


def build(
    target: Path,
    requirements: Path,
    *,
    log_file: Path,
    packages: Sequence[Path] = (),
) -> Path:
    """Make an environment as its lock file says, unless that has been done.

    Args:
        target: The environment's directory.
        requirements: Lock file with hashes.
        log_file: Where uv's messages go.
        packages: Directories of our own packages to install, too, without their requirements.

    Returns:
        The directory with its programs.

    Raises:
        ServiceError: The packages cannot be had; the message holds the log's tail.
    """
    programs = target / "bin"
    mark = target / MARK
    wanted = _digest([requirements, *packages])
    if built_from(target) == wanted:
        return programs
    log.info("installing %s (once; a minute or so, plus the download)", target.name)
    uv = find_uv_bin()
    # Made in place, because scripts in it hold its path; half an environment has no mark.
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
    """A hash of what the environment was made of; empty if it is not complete."""
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
    # An environment that is active now must not be the one that uv works on.
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
                "Once the cause is mended, run the command again: it goes on from here."
            ) from error
