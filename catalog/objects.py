"""The object store's own interface, for what is not a table."""

from typing import Any

from catalog.settings import S3Settings


def object_store(settings: S3Settings) -> Any:
    """Open the object store.

    Args:
        settings: Endpoint and keys.

    Returns:
        A boto3 client of the writing account.
    """
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key.get_secret_value(),
    )
