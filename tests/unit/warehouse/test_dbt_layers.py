"""The dbt project's house: layers that never read upward, models that fit on two screens."""

from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT

PROJECT = PROJECT_ROOT / "dbt"
# A model reads its own floor and those below. What a build is made from and what it makes are one
# floor; what it remembers for the next one lies above everything.
FLOORS = {"staging": 0, "tracking": 1, "intermediate": 1, "marts": 2, "built": 3}
MOST_LINES = 120


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory):
    from dbt.cli.main import dbtRunner

    folder = str(tmp_path_factory.mktemp("dbt"))
    parsed = dbtRunner().invoke(
        [
            "parse", "--quiet", "--no-partial-parse",
            "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
            "--target-path", folder, "--log-path", folder,
        ]
    )  # fmt: skip
    assert parsed.success, parsed.exception
    return parsed.result


def test_nothing_reads_upward(manifest) -> None:
    models = {key: node for key, node in manifest.nodes.items() if node.resource_type == "model"}
    assert {node.fqn[1] for node in models.values()} == set(FLOORS)
    upward = [
        f"{node.name} ({node.fqn[1]}) reads {models[read].name} ({models[read].fqn[1]})"
        for node in models.values()
        for read in node.depends_on.nodes
        if read in models and FLOORS[models[read].fqn[1]] > FLOORS[node.fqn[1]]
    ]
    assert upward == []


def test_only_staging_reads_the_lake(manifest) -> None:
    readers = {
        node.fqn[1]
        for node in manifest.nodes.values()
        if node.resource_type == "model"
        and any(read.startswith("source.") for read in node.depends_on.nodes)
    }
    assert readers == {"staging"}


@pytest.mark.parametrize("path", sorted((PROJECT / "models").rglob("*.sql")), ids=lambda p: p.stem)
def test_a_model_fits_on_two_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
