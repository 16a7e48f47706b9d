"""deploy/: deployments match the flows, and the job templates are well-formed."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values

DEPLOY = Path(__file__).parents[2] / "deploy"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())[
    "deployments"
]
WRITERS = {"weekahead", "ingest", "transform", "train", "predict", "score", "maintain"}


def flow_of(deployment: dict[str, Any]) -> Flow[Any, Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(import_module(module), name)
    assert isinstance(found, Flow)
    return found


def test_every_stage_has_a_deployment() -> None:
    assert {deployment["name"] for deployment in DEPLOYMENTS} == WRITERS | {"alert"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployment_has_the_name_of_its_flow_and_parameters_that_explain_themselves(
    deployment: dict[str, Any],
) -> None:
    flow = flow_of(deployment)
    assert flow.name == deployment["name"]
    for name, parameter in parameter_schema(flow).properties.items():
        assert parameter.get("description"), name
    scheduled = [
        given for s in deployment.get("schedules", []) for given in s.get("parameters", {})
    ]
    assert set(scheduled) <= set(parameter_schema(flow).properties)


def test_writers_run_one_at_a_time() -> None:
    for deployment in DEPLOYMENTS:
        if deployment["name"] in WRITERS:
            limit = {"limit": 1, "collision_strategy": "ENQUEUE"}
            assert deployment["concurrency_limit"] == limit


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_job_templates_use_only_variables_that_they_declare(kind: str) -> None:
    template = json.loads((DEPLOY / "work-pools" / f"{kind}.json").read_text())
    WorkPoolCreate(name=f"weekahead-{kind}", type=kind, base_job_template=template)
    used = set(re.findall(r"{{ *(\w+) *}}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_kubernetes_accepts_the_job_that_its_template_makes() -> None:
    """By the published schema, after what the worker puts in: defaults, and a run's own values."""
    template = json.loads((DEPLOY / "work-pools" / "kubernetes.json").read_text())
    properties = template["variables"]["properties"]
    values = {name: found["default"] for name, found in properties.items() if "default" in found}
    values |= {"name": "run", "labels": {"run": "one"}, "command": "prefect flow-run execute"}
    job = apply_values(template["job_configuration"]["job_manifest"], values)
    # The worker turns both into what Kubernetes has: pairs, and a list of words.
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": name, "value": text} for name, text in container["env"].items()]
    container["args"] = container["args"].split()
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    container["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
