"""Where the Iceberg catalog and its object store are, and how to log in to them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Section(BaseModel):
    """One section of the settings; a name that it does not know is an error, not ignored."""

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
        description="How a REST catalog knows its clients: by an OAuth2 client credential, or by "
        "requests signed with the S3 key pair (AWS Glue).",
    )
    credential: SecretStr | None = Field(
        None, description="OAuth2 client credential 'id:secret'; default: the S3 key pair."
    )
    reader_credential: SecretStr | None = Field(
        None, description="The same for readers; default: the read-only S3 key pair."
    )
    oauth2_server_uri: str | None = Field(
        None, description="Address that gives OAuth2 tokens; default: the catalog's own."
    )
    scope: str = Field(
        "catalog", description="Scope to ask a token for, such as PRINCIPAL_ROLE:ALL."
    )
    signing_name: str = Field(
        "glue", description="AWS service that signed requests name; the region is that of S3."
    )

    @property
    def engines_can_log_in(self) -> bool:
        """Whether ClickHouse and DuckDB speak to this catalog themselves.

        Where they cannot, they are shown each table by its metadata file.
        """
        return self.type == "rest" and self.auth == "oauth2"

    @property
    def token_uri(self) -> str:
        """Where OAuth2 tokens are had."""
        return self.oauth2_server_uri or f"{(self.uri or '').rstrip('/')}/v1/oauth/tokens"


def client_credential(catalog: CatalogSettings, s3: S3Settings, *, read_only: bool) -> str:
    """The OAuth2 credential ``id:secret`` of a client: the configured one, or its S3 key pair."""
    configured = catalog.reader_credential if read_only else catalog.credential
    if configured:
        return configured.get_secret_value()
    access, secret = (
        (s3.reader_access_key, s3.reader_secret_key)
        if read_only
        else (s3.access_key, s3.secret_key)
    )
    return f"{access}:{secret.get_secret_value()}"
