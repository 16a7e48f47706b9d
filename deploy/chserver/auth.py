"""Users of the embedded server: salted password hashes and one role each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.chserver.errors import ClickHouseError

ROLES: Final = ("admin", "writer", "reader")

# OWASP's minimum for scrypt (N=2^15, r=8, p=3 takes 32 MiB); about 0.1 s for a guess.
_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 3
_MAX_MEMORY = 128 * 1024 * 1024
_SALT_BYTES = 16
_KEY_BYTES = 32


class UsersFileError(Exception):
    """The file of users cannot be used; the message says why and what to do."""


def hash_password(password: str) -> str:
    """Return a salted scrypt hash (RFC 7914) as ``scrypt$N$r$p$salt$key``, base64 inside."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    encoded = (base64.b64encode(part).decode() for part in (salt, key))
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), *encoded))


def verify_password(password: str, password_hash: str) -> bool:
    """Check a password against its hash, in the time of one hash.

    Args:
        password: The password in clear text.
        password_hash: The result of ``hash_password``; a malformed hash matches nothing.

    Returns:
        Whether they match.

    Source: RFC 7914 (scrypt).
    """
    try:
        scheme, cost, block, parallel, salt, key = password_hash.split("$")
        if scheme != "scrypt":
            return False
        expected = base64.b64decode(key, validate=True)
        found = _scrypt(
            password,
            base64.b64decode(salt, validate=True),
            int(cost),
            int(block),
            int(parallel),
            len(expected),
        )
    except ValueError:
        return False
    return hmac.compare_digest(found, expected)


def _scrypt(
    password: str, salt: bytes, cost: int, block: int, parallel: int, size: int = _KEY_BYTES
) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=_MAX_MEMORY,
        dklen=size,
    )


@dataclass(frozen=True)
class User:
    """An account: its name, its role and the hash of its password."""

    name: str
    role: str
    password_hash: str = field(repr=False)


class Users:
    """The accounts of the server; verifies passwords and caches successes.

    A verified password is cached as an HMAC under a key of this process, so that only a client's
    first request pays for scrypt.
    """

    def __init__(self, users: dict[str, User]) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        # Verify one password at a time: a flood of wrong ones must not take all memory and cores.
        self._lock = threading.Lock()
        self._decoy = ""

    @classmethod
    def load(cls, path: Path) -> Users:
        """Read ``{"name": {"password_hash": "...", "role": "admin|writer|reader"}}``.

        Raises:
            UsersFileError: The file is missing, readable by others, or not of that form.
        """
        try:
            mode = path.stat().st_mode
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UsersFileError(f"cannot read the users file {path}: {error}") from error
        if os.name == "posix" and mode & 0o077:
            raise UsersFileError(f"the users file {path} is open to others: chmod 600 {path}")
        if not isinstance(content, dict) or not content:
            raise UsersFileError(f"the users file {path} must be an object of at least one user")
        return cls({name: _user(path, name, entry) for name, entry in content.items()})

    def authenticate(self, name: str, password: str) -> User:
        """Check an account's password.

        Args:
            name: User name.
            password: The password in clear text.

        Returns:
            The account.

        Raises:
            ClickHouseError: AUTHENTICATION_FAILED; the same for an unknown name.
        """
        user = self._users.get(name)
        proof = hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")
        if user and self._remembers(name, proof):
            return user
        with self._lock:
            if user and self._remembers(name, proof):
                # A concurrent request has verified it meanwhile.
                return user
            self._decoy = self._decoy or hash_password(secrets.token_hex(16))
            # Unknown names take as long as known ones, so that names cannot be probed.
            right = verify_password(password, user.password_hash if user else self._decoy)
            if not user or not right:
                raise ClickHouseError(
                    516,
                    f"{name}: Authentication failed: password is incorrect, "
                    "or there is no user with such name",
                )
            self._verified[name] = proof
        return user

    def _remembers(self, name: str, proof: bytes) -> bool:
        return hmac.compare_digest(self._verified.get(name, b""), proof)


def _user(path: Path, name: str, entry: object) -> User:
    if not isinstance(entry, dict) or not isinstance(entry.get("password_hash"), str):
        raise UsersFileError(f"user {name!r} in {path} has no password_hash")
    if not entry["password_hash"].startswith("scrypt$"):
        raise UsersFileError(
            f"user {name!r} in {path}: password_hash is not from hash_password(): make a new one"
        )
    role = entry.get("role")
    if role not in ROLES:
        raise UsersFileError(f"user {name!r} in {path}: role must be one of {', '.join(ROLES)}")
    return User(name, role, entry["password_hash"])
