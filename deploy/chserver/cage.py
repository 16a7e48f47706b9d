"""Confines this process with Landlock, a Linux security module that needs no privileges.

A list of forbidden statements is never complete: the engine acts like a local tool and opens any
path or address that SQL names. So the kernel enforces it: the process may read Python and the
system's libraries, write its own directories, and connect to given ports. Rules apply to the
calling thread and everything it starts, so they must be set before the engine and any thread start.
Source: kernel documentation, "Landlock: unprivileged access control" (userspace API).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVS: Final = 38
_PATH_RULE, _PORT_RULE = 1, 2

# Rights by the first ABI that supports them; file rights are separate from directory rights.
_READ_FILE, _WRITE_FILE, _READ_DIR = 1 << 2, 1 << 1, 1 << 3
_EXECUTE, _TRUNCATE, _IOCTL = 1 << 0, 1 << 14, 1 << 15
_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_RIGHTS: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: _IOCTL}
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_BIND, _CONNECT = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

# Libraries, time zones, certificates and name resolution; nothing secret.
_SYSTEM: Final = [
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *(
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/ssl/certs",
        "/etc/pki/tls/certs",
    ),
    *("/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/ca-trust"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
    *("/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf"),
    *("/dev/urandom", "/dev/random", "/sys/fs/cgroup", "/sys/devices/system/cpu"),
    *("/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys/vm/overcommit_memory"),
    *("/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage/enabled"),
    # The engine reads its stack bounds and program headers there and crashes without them; if it
    # cannot read its threads' times, each query takes a tenth longer. Allow nothing else in /proc,
    # which exposes the environment of all of this user's processes; ours contains no secret.
    *("/proc/self/maps", "/proc/self/auxv", "/proc/self/task"),
]
_PACKAGES: Final = ["chdb", "h11", "lz4", "zstandard"]


@dataclass(frozen=True)
class Cage:
    """What the kernel enforces.

    Attributes:
        files: Whether files are confined.
        network: Whether TCP connections are.
        missing: What the kernel lacks; empty when all is enforced.
    """

    files: bool
    network: bool
    missing: str = ""


def enter(writable: Iterable[Path], connect: Iterable[int]) -> Cage:
    """Confine this thread and everything it starts, irrevocably.

    Args:
        writable: Directories to read and write; they must exist.
        connect: TCP ports that may be connected to, on any host. Listening is forbidden.

    Returns:
        What is enforced. A kernel without Landlock enforces nothing.

    Raises:
        OSError: The kernel has Landlock but refuses to apply it.
    """
    abi = _abi()
    if abi < 1:
        reason = f"this kernel ({platform.system()} {platform.release()}) has no Landlock"
        return Cage(files=False, network=False, missing=reason)
    everything = sum(rights for first, rights in _RIGHTS.items() if first <= abi)
    network = _BIND | _CONNECT if abi >= 4 else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if abi >= 6 else 0
    # The structure grew with the ABI; older kernels reject one with unknown bits set.
    attributes = struct.pack("=QQQ", everything, network, scopes)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes) if abi >= 6 else 16, 0)
    try:
        for path in _readable():
            _allow(ruleset, path, _READ & everything)
        for path in (*writable, Path("/dev/null")):
            _allow(ruleset, path, everything & ~_EXECUTE)
        for port in set(connect) if network else ():
            _call(_ADD_RULE, ruleset, _PORT_RULE, struct.pack("=QQ", _CONNECT, port), 0)
        if _libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "cannot give up new privileges")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    missing = "" if network else "this kernel's Landlock (before Linux 6.7) does not confine TCP"
    return Cage(files=True, network=bool(network), missing=missing)


def _readable() -> Iterator[Path]:
    """The directories of the system's libraries and of this Python."""
    yield from map(Path, _SYSTEM)
    own = {Path(place) for place in (sys.prefix, sys.exec_prefix, sys.base_prefix)}
    own |= {
        Path(sys.base_exec_prefix),
        Path(sys.executable).resolve().parent,
        Path(os.__file__).parent,
    }
    # Packages may be elsewhere: among the user's files, on PYTHONPATH, or in a checkout. The server
    # must not read a checkout's surroundings, so allow only the package's own folder.
    own |= {place.parent for name in _PACKAGES for place in _folders(name)}
    own.add(Path(__file__).parent)
    # Shared libraries that the interpreter has loaded from unusual places.
    own |= {Path(name).parent for name in _mapped() if ".so" in Path(name).name}
    for place in own:
        resolved = place.resolve()
        if resolved not in (Path("/"), Path.home().resolve()):
            yield resolved


def _folders(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place).resolve()


def _mapped() -> Iterator[str]:
    for line in Path("/proc/self/maps").read_text("utf-8", "surrogateescape").splitlines():
        columns = line.split(maxsplit=5)
        if len(columns) == 6 and columns[5].startswith("/"):
            yield columns[5]


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Not on this system, so there is nothing to allow.
        return
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _FILE, opened)
        _call(_ADD_RULE, ruleset, _PATH_RULE, rule, 0)
    finally:
        os.close(opened)


def _abi() -> int:
    """The version of Landlock; 0 if it is missing or disabled."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def _call(number: int, *arguments: int | bytes) -> int:
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    result = int(_libc().syscall(ctypes.c_long(number), *wide))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock refuses call {number}: {os.strerror(code)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
