"""Addresses and credentials of the Iceberg catalog and its object store."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Section(BaseModel):
    """One section of the settings; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid")


class S3Settings(Section):
    """The object store that holds the data files and the model artifacts."""

    endpoint: str | None = Field(
        None, description="S3 endpoint as scheme, host and port; unset starts the embedded store."
    )
    access_key: str = Field("", description="Access key of the writing account.")
    secret_key: SecretStr = Field(SecretStr(""), description="Secret key of the writing account.")
    reader_access_key: str = Field("", description="Access key of the read-only account.")
    reader_secret_key: SecretStr = Field(
        SecretStr(""), description="Secret key of the read-only account."
    )
    region: str = Field("us-east-1", description="Region name sent with requests.")
    artifacts_bucket: str = Field("artifacts", description="Bucket of MLflow's artifacts.")


class CatalogSettings(Section):
    """The Iceberg catalog: a REST catalog, or a Hive metastore."""

    type: Literal["rest", "hive"] = Field("rest", description="Kind of catalog: rest or hive.")
    uri: str | None = Field(
        None,
        description="Catalog address (http://… or thrift://…); unset starts the embedded catalog.",
    )
    warehouse: str = Field(
        "lake", description="Warehouse name (REST) or location such as s3://lake (Hive)."
    )
    auth: Literal["oauth2", "sigv4"] = Field(
        "oauth2",
        description="How clients log in to a REST catalog: with an OAuth2 client credential, or "
        "with requests signed by the S3 key pair (AWS Glue).",
    )
    credential: SecretStr | None = Field(
        None, description="OAuth2 client credential 'id:secret'; default: the S3 key pair."
    )
    reader_credential: SecretStr | None = Field(
        None, description="The same for readers; default: the read-only S3 key pair."
    )
    oauth2_server_uri: str | None = Field(
        None, description="Address that issues OAuth2 tokens; default: the catalog's own."
    )
    scope: str = Field(
        "catalog", description="Scope to request a token for, such as PRINCIPAL_ROLE:ALL."
    )
    signing_name: str = Field(
        "glue", description="AWS service that signed requests name; the region is that of S3."
    )

    @property
    def engines_can_log_in(self) -> bool:
        """Whether ClickHouse and DuckDB can log in to this catalog themselves.

        Otherwise they are given each table's metadata file.
        """
        return self.type == "rest" and self.auth == "oauth2"

    @property
    def token_uri(self) -> str:
        """Address that issues OAuth2 tokens."""
        return self.oauth2_server_uri or f"{(self.uri or '').rstrip('/')}/v1/oauth/tokens"


def client_credential(catalog: CatalogSettings, s3: S3Settings, *, read_only: bool) -> str:
    """The OAuth2 client credential: the configured one, or else the S3 key pair.

    Args:
        catalog: Settings that may name a credential.
        s3: Key pairs of the writing and of the read-only account.
        read_only: Return the reader's credential.

    Returns:
        ``id:secret`` in clear text.
    """
    configured = catalog.reader_credential if read_only else catalog.credential
    if configured:
        return configured.get_secret_value()
    access, secret = (
        (s3.reader_access_key, s3.reader_secret_key)
        if read_only
        else (s3.access_key, s3.secret_key)
    )
    return f"{access}:{secret.get_secret_value()}"
