"""What an attacker who can write to the registry or the object store may put in a model's place."""

import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
import skops.io

from lakehouse.connections.tracking import Models, connect
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.models import registry
from lakehouse.platform import Platform

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

OURS = b"flavors:\n  sklearn:\n    serialization_format: skops\n"
Publish = Callable[[dict[str, bytes]], "ModelVersion"]


class Intruder:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def stored(value: object) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".skops") as file:
        skops.io.dump(value, file.name)
        return Path(file.name).read_bytes()


def archive(schema: object = None, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        if schema is not None:
            file.writestr("schema.json", json.dumps(schema))
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def node(module: str, name: str, loader: str, **content: object) -> dict[str, object]:
    return {"__module__": module, "__class__": name, "__loader__": loader, "__id__": 1} | content


def disguised() -> bytes:
    """A pickle inside of what says that it is an array."""
    array = node("numpy", "ndarray", "NdArrayNode", type="numpy", file="a.npy")
    return archive(array, **{"a.npy": pickle.dumps(Intruder())})


def nested() -> bytes:
    text = '{"__loader__": "ListNode", "content": [' * 5000 + "]}" * 5000
    return archive(**{"schema.json": text.encode()})


def zip_slip() -> bytes:
    members = {"../../../escaped": b"x", "/tmp/escaped-weekahead": b"x"}
    return archive(node("os", "system", "FunctionNode", content={}), **members)


def bomb() -> bytes:
    """A few megabytes that unpack to two gigabytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("schema.json", "w", force_zip64=True) as member,
    ):
        for _ in range(68):
            member.write(bytes(2**24))
    return buffer.getvalue()


MODELS = {
    "pickle": lambda: pickle.dumps(Intruder()),
    "pickle in an archive": disguised,
    "cut off": lambda: stored(Forecaster())[:-40],
    "empty": lambda: b"",
    "no schema": lambda: archive(other=b"nothing"),
    "schema is a list": lambda: archive([]),
    "schema is too deep": nested,
    "function": lambda: archive(node("os", "system", "FunctionNode", content={})),
    "call": lambda: archive(
        node("builtins", "eval", "ReduceNode", content={}, args=["__import__('os').mkdir('x')"])
    ),
    "names that leave the folder": zip_slip,
    "unpacks to gigabytes": bomb,
    "another type": lambda: stored({"kind": "drift"}),
    "a path": lambda: stored(Path("/etc")),
}
DESCRIPTIONS = {
    "pickle": b"flavors: {sklearn: {serialization_format: cloudpickle, pickled_model: model.pkl}}",
    "object": b"flavors: !!python/object/apply:os.mkdir [executed]",
    "list": b"[1, 2]",
    "not YAML": b"{{{",
    "binary": b"\xff\xfe\0\0",
    "large": b"a: 1\n" * 400_000,
    "python function": b"flavors: {python_function: {loader_module: os, code: code}}",
}


@pytest.fixture(scope="module")
def own(stack: Platform) -> Models:
    """A registered model of its own, so that others do not see what is published here."""
    settings = stack.settings.model_copy(deep=True)
    settings.mlflow.model_name = "hostile"
    return connect(settings)


@pytest.fixture(scope="module")
def publish(own: Models) -> Iterator[Publish]:
    """Registers any files as a version, as its owner could."""
    client = own.client

    def register(files: dict[str, bytes]) -> "ModelVersion":
        run = client.create_run(own.experiment)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            client.log_artifacts(run.info.run_id, folder, "model")
        source = f"{run.info.artifact_uri}/model"
        return registry.register(
            own, source=source, run_id=run.info.run_id, tags={}, description=""
        )

    yield register
    client.delete_registered_model(own.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_our_own_model_is_loaded(own: Models, publish: Publish) -> None:
    client = own.client
    run = client.create_run(own.experiment)
    with mlflow.start_run(run_id=run.info.run_id):
        info = mlflow.sklearn.log_model(
            Forecaster(kind="ridge", seed=7),
            name=registry.MODEL,
            serialization_format="skops",
            skops_trusted_types=list(registry.TRUSTED),
            pip_requirements=["scikit-learn"],
        )
    logged = registry.register(
        own, source=info.model_uri, run_id=run.info.run_id, tags={}, description=""
    )
    assert registry.load(logged).get_params()["seed"] == 7
    copied = publish({"MLmodel": OURS, "model.skops": stored(Forecaster(seed=8))})
    assert registry.load(copied).get_params()["seed"] == 8


@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model_is_refused(publish: Publish, folder: Path, name: str) -> None:
    version = publish({"MLmodel": OURS, "model.skops": MODELS[name](), "extra.pkl": b"x"})
    with pytest.raises(registry.UntrustedModel, match=r"is refused: .*rain again or roll back"):
        registry.load(version)
    assert list(folder.iterdir()) == []
    assert not Path("/tmp/escaped-weekahead").exists()


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_hostile_description_is_refused(publish: Publish, folder: Path, name: str) -> None:
    version = publish({"MLmodel": DESCRIPTIONS[name], "model.skops": stored(Forecaster())})
    with pytest.raises(registry.UntrustedModel, match=r"is refused: .*rain again or roll back"):
        registry.load(version)
    assert list(folder.iterdir()) == []


def test_a_model_without_its_files_is_refused(publish: Publish) -> None:
    for files in ({"MLmodel": OURS}, {"model.skops": stored(Forecaster())}):
        with pytest.raises(registry.UntrustedModel, match="only skops is loaded"):
            registry.load(publish(files))


def test_a_model_that_is_too_large_is_not_even_fetched(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish({"MLmodel": OURS, "model.skops": stored(Forecaster())})
    monkeypatch.setattr(registry, "MAX_BYTES", 10)
    with pytest.raises(registry.UntrustedModel, match=r"model\.skops of .* is refused: .* MiB"):
        registry.load(version)
