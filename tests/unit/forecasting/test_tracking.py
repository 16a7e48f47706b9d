"""What a process that works with one home, and then with another, sends to its services."""

import os
from pathlib import Path

import boto3

from lakehouse.connections import tracking
from lakehouse.settings import Settings

LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def test_each_home_is_reached_by_its_own_login_and_not_by_the_first_ones(tmp_path: Path) -> None:
    for name, login in (("first", {"username": "ann", "password": "pw"}), ("second", {})):
        tracking.connect(
            Settings(
                home=tmp_path / name,
                s3={"access_key": name, "secret_key": "secret", "endpoint": f"http://{name}:9"},
                mlflow=login,
            )
        )
        client = boto3.client("s3")
        assert client._request_signer._credentials.access_key == name
        assert os.environ["MLFLOW_S3_ENDPOINT_URL"] == f"http://{name}:9"
        assert [os.environ.get(variable) for variable in LOGIN] == (
            ["ann", "pw"] if login else [None, None]
        )
        assert "secret" not in os.environ.values()
