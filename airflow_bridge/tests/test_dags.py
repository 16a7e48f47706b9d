from datetime import UTC, datetime
from pathlib import Path

import pytest
import weekahead_airflow.dags
from airflow.sdk import DAG
from weekahead_airflow.operator import PrefectDeploymentOperator

FOLDER = Path(weekahead_airflow.dags.__file__).parent


def bag_of(folder, dag=None):
    """The DAGs of a folder, or one made here, known to the database as dag.test() wants it."""
    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag, sync_bag_to_db
    try:
        bag = DagBag(folder, bundle_name="dags-folder")
    except TypeError:  # Airflow 3.1
        bag = DagBag(folder)
    if dag is not None:
        bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)
    return bag


@pytest.fixture(scope="module")
def dags():
    bag = bag_of(str(FOLDER))
    assert bag.import_errors == {}
    return bag.dags


def states(run):
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_both_dags_are_well_formed(dags):
    assert set(dags) == {"weekahead_daily", "weekahead_weekly_training"}
    order = [task.task_id for task in dags["weekahead_daily"].topological_sort()]
    assert order == ["ingest", "transform", "predict", "score"]
    order = [task.task_id for task in dags["weekahead_weekly_training"].topological_sort()]
    assert order == ["transform", "train"]
    for dag in dags.values():
        assert dag.max_active_runs == 1
        assert not dag.catchup
        for task in dag.tasks:
            assert task.retries > 0
            assert task.execution_timeout is not None
            assert len(task.outlets) == 1


def test_daily_dag_passes_its_parameters_on(prefect, hands, dags):
    before = {run["id"] for run in prefect.runs("ingest")}
    conf = {"symbols": ["AAPL", "IBM"], "start": "2013-01-02"}
    dag = dags["weekahead_daily"]
    # dag.test() of Airflow 3.3 stumbles over alerts, which it would not raise anyway.
    dag.deadline = None
    run = bag_of("/dev/null", dag).dags[dag.dag_id].test(run_conf=conf)
    assert set(states(run).values()) == {"success"}
    made = [run for run in prefect.runs("ingest") if run["id"] not in before]
    assert [run["parameters"] for run in made] == [
        {"symbols": ["AAPL", "IBM"], "start": "2013-01-02"}
    ]


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    "ending", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING CRASHED"]
)
def test_completed_alone_is_success(hands, ending, deferrable, caplog, capfd):
    hands.ending = ending
    name = f"ends_{ending.replace(' ', '_')}_{deferrable}"
    with DAG(
        name,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        params={"count": 3},
        render_template_as_native_obj=True,
    ) as dag:
        task = PrefectDeploymentOperator(
            task_id="run",
            deployment="{{ 'free' }}/free",
            parameters={"count": "{{ params.count }}", "none": None},
            deferrable=deferrable,
            poll_interval=0.2,
        )
    bag_of("/dev/null", dag)
    run = dag.test()
    assert states(run) == {"run": "success" if ending == "COMPLETED" else "failed"}
    told = caplog.text + "".join(capfd.readouterr())
    assert f"the end: {ending}" in told
    # One that Prefect cancels may crash on the way; either way it is not retried.
    assert ("The Prefect run is CANCELLED" in told) == ending.startswith("CANC")
    assert "/runs/flow-run/" in told
    assert task.template_fields == ("deployment", "parameters", "tags")


def test_connection_type_is_known_to_airflow():
    from airflow.providers_manager import ProvidersManager

    providers = ProvidersManager()
    assert "weekahead-airflow-bridge" in providers.providers
    assert providers.hooks["prefect"].hook_class_name == "weekahead_airflow.hook.PrefectHook"
    assert "weekahead_airflow.operator.PrefectRunLink" in providers.extra_links_class_names
