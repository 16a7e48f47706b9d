"""File ownership of a home: only its owner may read and change it."""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lakehouse.errors import HomeError

OTHERS = 0o077


def require_owner(home: Path) -> None:
    """Refuse a home that belongs to another account, even for root.

    Files created by root in a user's home would be unreadable for that user. Files prepared by
    another account would let it choose what our services read and write.

    Raises:
        HomeError: The home, an important file in it, or a link on the path to it belongs to another
            account.
    """
    us = os.geteuid()
    for path in home.parents:
        if path.is_symlink() and path.lstat().st_uid not in (us, 0):
            raise HomeError(
                f"{path}, on the path to the home directory, is a link that {_owner(path)} made. "
                "Choose another place with WEEKAHEAD_HOME."
            )
    for path in (home, *_entries(home)):
        # A running service may delete the file now, and a link may be broken.
        with suppress(FileNotFoundError):
            link = path.is_symlink() and path.lstat().st_uid not in (us, 0)
            if link or path.stat().st_uid != us:
                raise HomeError(
                    f"{path} belongs to {_owner(path)}, but this command runs as {_account(us)}. "
                    "Run it as the owner, give the whole directory to this account with chown, or "
                    "choose another with WEEKAHEAD_HOME."
                )


def make_private(home: Path) -> None:
    """Remove all permissions of group and others.

    If the home itself was closed, its files were unreachable, so only the most important ones are
    checked. If it was open, every file is.
    """
    was_open = stat.S_IMODE(home.stat().st_mode) & OTHERS
    _close(home)
    for path in home.rglob("*") if was_open else _entries(home):
        # Running services may delete files meanwhile.
        with suppress(FileNotFoundError):
            _close(path)


def private_folder(path: Path) -> Path:
    """Create a private folder in a shared place such as ``/tmp``.

    Raises:
        HomeError: Another account has already created it.
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
    """The files of a home that determine what runs; excludes the services' data."""
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
