"""The bridge's own tests, in environments with the oldest and the newest Airflow."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from deploy.local import PREFECT, airflow, environments, running
from lakehouse.home import Home
from lakehouse.settings import Settings

OLDEST = airflow.BRIDGE / "tests" / "oldest.txt"


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without a worker: the tests report what a worker would."""
    settings = Settings(home=tmp_path_factory.mktemp("prefect"), _env_file=None)  # type: ignore[call-arg]
    with running(settings, needs=frozenset({PREFECT})) as filled:
        assert filled.prefect.auth_string
        os.environ["BRIDGE_PREFECT_AUTH"] = filled.prefect.auth_string.get_secret_value()
        yield str(filled.prefect.api_url)


def test_newest_airflow(airflow_home: Home, prefect_url: str, tmp_path: Path) -> None:
    programs = environments.directory(airflow_home, airflow.NAME) / "bin"
    _run_tests(programs, prefect_url, tmp_path)


def test_oldest_airflow(prefect_url: str, tmp_path: Path) -> None:
    programs = tmp_path / "env" / "bin"
    uv = find_uv_bin()
    subprocess.run(
        [uv, "venv", "--quiet", f"--python={sys.executable}", programs.parent], check=True
    )
    install = [uv, "pip", "install", "--quiet", f"--python={programs / 'python'}"]
    subprocess.run([*install, f"--requirement={OLDEST}"], check=True)
    subprocess.run([*install, "--no-deps", airflow.BRIDGE], check=True)
    # dag.test() of that version takes half a minute a run: two of them.
    few = "not completed_alone or COMPLETED-True or FAILED-True"
    _run_tests(programs, prefect_url, tmp_path, "-k", few)


def _run_tests(programs: Path, prefect_url: str, tmp_path: Path, *options: str) -> None:
    home = tmp_path / "airflow"
    home.mkdir()
    pytest_of_env = [programs / "python", "-m", "pytest"]
    if subprocess.run([*pytest_of_env, "--version"], capture_output=True).returncode:
        uv = find_uv_bin()
        subprocess.run(
            [uv, "pip", "install", "--quiet", f"--python={programs / 'python'}", "pytest>=8,<10"],
            check=True,
        )
    subprocess.run(
        [*pytest_of_env, "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.", *options],
        check=True,
        cwd=airflow.BRIDGE / "tests",
        env=os.environ
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "BRIDGE_PREFECT_URL": prefect_url,
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "PYTHONPATH": "",
        },
        timeout=540,
    )
