from types import SimpleNamespace
from uuid import uuid4

import pytest
from weekahead_airflow.hook import PrefectHook
from weekahead_airflow.operator import PrefectDeploymentOperator


def attempt(**given):
    """What the operator asks of a task instance."""
    first = {
        **{"dag_id": "d", "run_id": str(uuid4()), "task_id": "t", "map_index": -1},
        **{"try_number": 1, "max_tries": 2},
    }
    return SimpleNamespace(**(first | given))


def start(ti, **options):
    operator = PrefectDeploymentOperator(task_id="t", deployment="free/free", retries=2, **options)
    return operator._start(PrefectHook(), ti)["id"]


def later(ti, **given):
    return SimpleNamespace(**(vars(ti) | given))


def test_the_same_try_finds_its_run(prefect):
    ti = attempt()
    assert start(ti) == start(ti)


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED"])
def test_retry_rejoins_a_run_that_works_or_is_done(prefect, state):
    ti = attempt()
    run = start(ti)
    prefect.report(run, state)
    assert start(later(ti, try_number=2)) == run


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED", "CANCELLING"])
def test_retry_replaces_a_run_that_is_lost(prefect, state):
    ti = attempt()
    first = start(ti)
    prefect.report(first, state)
    second = start(later(ti, try_number=2))
    assert second != first
    # The third try finds the second run, however the first one ended.
    assert start(later(ti, try_number=3)) == second


def test_a_try_never_starts_two_runs(prefect):
    ti = attempt()
    run = start(ti)
    prefect.report(run, "FAILED")
    assert start(ti) == run


def test_restart_policy_starts_a_run_for_each_try(prefect):
    ti = attempt()
    first = start(ti, try_policy="restart")
    second = start(later(ti, try_number=2), try_policy="restart")
    assert first != second
    assert start(later(ti, try_number=2), try_policy="restart") == second


def test_clearing_starts_anew(prefect):
    ti = attempt()
    run = start(ti)
    prefect.report(run, "COMPLETED")
    # Airflow adds the retries to the tries that were made.
    assert start(later(ti, try_number=2, max_tries=3)) != run


def test_each_mapped_task_has_its_own_run(prefect):
    ti = attempt(map_index=0)
    assert start(ti) != start(later(ti, map_index=1))
