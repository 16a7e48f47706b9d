import os
import pickle
import zipfile
from pathlib import Path

import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from lakehouse.models import registry


class Intruder:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_pickle_is_refused_and_not_executed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Intruder()))
    with pytest.raises(registry.UntrustedModel, match="refused"):
        registry.load_file(path)
    assert not (tmp_path / "executed").exists()


def test_types_that_are_not_on_the_list_are_refused(tmp_path: Path) -> None:
    skops.io.dump(Path("/tmp"), tmp_path / "model.skops")
    with pytest.raises(registry.UntrustedModel, match="refused"):
        registry.load_file(tmp_path / "model.skops")


def test_another_estimator_is_refused(tmp_path: Path) -> None:
    skops.io.dump(LinearRegression(), tmp_path / "model.skops")
    with pytest.raises(registry.UntrustedModel, match="LinearRegression"):
        registry.load_file(tmp_path / "model.skops")


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("other.txt", "nothing")
    with pytest.raises(registry.UntrustedModel):
        registry.load_file(tmp_path / "model.skops")
