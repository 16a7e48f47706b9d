"""What a process that works with one home, and then with another, sends to the object store."""

from pathlib import Path

import boto3

from lakehouse.forecasting import tracking
from lakehouse.settings import Settings


def test_the_keys_are_those_of_the_settings_and_not_of_the_first_home(tmp_path: Path) -> None:
    for name in ("first", "second"):
        tracking.connect(
            Settings(
                home=tmp_path / name,
                s3={"access_key": name, "secret_key": "secret", "endpoint": "http://127.0.0.1:9"},
            )
        )
        client = boto3.client("s3")
        assert client._request_signer._credentials.access_key == name
