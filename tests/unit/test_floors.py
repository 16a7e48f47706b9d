"""Architecture: imports only go down, without cycles."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("catalog", "lakehouse", "deploy", "flows")
# Scripts for images, started by themselves; Superset's and Airflow's run in other environments.
SCRIPTS = ("deploy/airflow", "deploy/compose", "deploy/docker", "deploy/superset")


def modules() -> dict[str, Path]:
    found = {}
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if not str(relative).startswith(SCRIPTS):
                parts = relative.with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Our modules that a module imports, wherever in it: at the top, in a function, for types."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for imported in names:
            while imported and imported not in MODULES:
                imported = imported.rpartition(".")[0]
            if imported and imported != name:
                yield imported


GRAPH = {name: set(imports(name)) for name in MODULES}


def sorts(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round in a circle: {' → '.join(error.args[1])}")


def package(name: str) -> str:
    """The folder that a module lives in; a module directly on a floor is one of its own."""
    path = MODULES[name]
    folder = path.parent.relative_to(ROOT)
    return name if len(folder.parts) == 1 else ".".join(folder.parts)


def test_imports_only_go_down() -> None:
    upward = [
        f"{name} → {imported}"
        for name, found in GRAPH.items()
        for imported in found
        if FLOORS.index(imported.split(".")[0]) > FLOORS.index(name.split(".")[0])
    ]
    assert not upward


def test_chserver_stands_alone() -> None:
    outside = {
        imported
        for name, found in GRAPH.items()
        if name.startswith("deploy.chserver")
        for imported in found
        if not imported.startswith("deploy.chserver")
    }
    assert not outside


def test_no_module_imports_itself_round_a_circle() -> None:
    sorts(GRAPH)


def test_no_package_imports_itself_round_a_circle() -> None:
    packages: dict[str, set[str]] = {}
    for name, found in GRAPH.items():
        # A package's own front door is part of it.
        names = {package(imported) for imported in found} - {package(name)}
        packages.setdefault(package(name), set()).update(names)
    sorts(packages)


def test_each_floor_knows_only_its_trade() -> None:
    """The library knows no orchestrator, the floor of services no models."""
    for name, path in MODULES.items():
        text = path.read_text()
        floor = name.split(".")[0]
        if floor in ("catalog", "lakehouse"):
            assert "import prefect" not in text and "from prefect" not in text, name
            assert "import supervisor" not in text and "import airflow" not in text, name
        if floor == "deploy":
            assert "lakehouse.forecasting" not in text and "lakehouse.landing" not in text, name


def test_a_name_says_one_thing() -> None:
    """Within a floor no two modules share a name, so that a name leads to one file."""
    for floor in FLOORS:
        seen: dict[str, str] = {}
        for name in MODULES:
            last = name.rpartition(".")[2]
            if name.split(".")[0] != floor or MODULES[name].name.startswith("__"):
                continue
            assert last not in seen, f"{name} and {seen.get(last)}"
            seen[last] = name
