"""Who may read and change the files of a home: its owner, and nobody else."""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lakehouse.errors import HomeError

OTHERS = 0o077


def require_owner(home: Path) -> None:
    """Refuse a home of another account; root is no exception.

    Files that root makes in somebody's home could not be read by their owner any more. Files that
    another account prepared would let it choose what our services read and write.

    Raises:
        HomeError: The home, a file that matters in it, or a link on the way to it is another's.
    """
    us = os.geteuid()
    for path in home.parents:
        if path.is_symlink() and path.lstat().st_uid not in (us, 0):
            raise HomeError(
                f"{path}, on the way to the home directory, is a link that {_owner(path)} made. "
                "Choose another place with WEEKAHEAD_HOME."
            )
    for path in (home, *_entries(home)):
        # A service may delete its file meanwhile; a link may lead nowhere.
        with suppress(FileNotFoundError):
            link = path.is_symlink() and path.lstat().st_uid not in (us, 0)
            if link or path.stat().st_uid != us:
                raise HomeError(
                    f"{path} belongs to {_owner(path)}, but this command runs as {_account(us)}. "
                    "Run it as the owner, give the whole directory to this account with chown, or "
                    "choose another with WEEKAHEAD_HOME."
                )


def make_private(home: Path) -> None:
    """Take all rights of others away.

    Nobody else gets into a closed home, so most files in it need no look. One that was open is
    closed down to the last file.
    """
    was_open = stat.S_IMODE(home.stat().st_mode) & OTHERS
    _close(home)
    for path in home.rglob("*") if was_open else _entries(home):
        # Services that run meanwhile delete files of theirs.
        with suppress(FileNotFoundError):
            _close(path)


def private_folder(path: Path) -> Path:
    """Make a folder for us alone in a place where others may make folders, too.

    Raises:
        HomeError: Another account was there first.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise HomeError(
            f"{path} was made by {_owner(path)}; sockets of this home belong there. Remove it, or "
            "choose a shorter path for the home directory with WEEKAHEAD_HOME."
        )
    _close(path)
    return path


def _entries(home: Path) -> Iterator[Path]:
    """The files of a home that decide what runs: not the data of the services."""
    yield from home.glob("*")
    for name in ("config", "run", "logs", "data"):
        yield from (home / name).glob("*")


def _close(path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & OTHERS:
        path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def _owner(path: Path) -> str:
    return _account(path.lstat().st_uid)


def _account(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return f"account {number}"
