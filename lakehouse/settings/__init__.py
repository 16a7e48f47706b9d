"""Settings: defaults < weekahead.toml < .env < environment < command line.

Environment variables are named ``WEEKAHEAD_<SECTION>__<KEY>``, such as
``WEEKAHEAD_MOEX__BASE_URL``; ``WEEKAHEAD_HOME`` names the directory for state and secrets.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.sources.utils import parse_env_vars

from catalog.settings import CatalogSettings, S3Settings
from lakehouse.errors import SettingsError
from lakehouse.settings.clickhouse import ClickHouseSettings
from lakehouse.settings.forecast import ForecastSettings
from lakehouse.settings.maintenance import MaintenanceSettings
from lakehouse.settings.mlflow import MlflowSettings
from lakehouse.settings.services import PrefectSettings, ServicesSettings
from lakehouse.settings.sources import HttpSettings, IngestSettings, MoexSettings, YahooSettings
from lakehouse.settings.superset import SupersetSettings

SETTINGS_FILE = Path("weekahead.toml")
ENV_FILE = Path(".env")
# Settings that were removed, and what to do about them.
REMOVED = {
    "forecast.horizons": "forecasts are always for 1 to 5 trading days ahead; remove this setting",
}
ENV_FILE = Path(".env")
PROJECT_ROOT = Path(__file__).resolve().parents[2]


class _DotEnv(DotEnvSettingsSource):
    """A ``.env`` file without interpolation, because a password may contain ``${``."""

    @staticmethod
    def _static_read_env_file(
        file_path: Path,
        *,
        encoding: str | None = None,
        case_sensitive: bool = False,
        ignore_empty: bool = False,
        parse_none_str: str | None = None,
    ) -> Mapping[str, str | None]:
        values = dotenv_values(file_path, encoding=encoding or "utf-8", interpolate=False)
        return parse_env_vars(values, case_sensitive, ignore_empty, parse_none_str)


class Settings(BaseSettings):
    """Everything that can be configured; sections are attributes."""

    model_config = SettingsConfigDict(
        env_prefix="WEEKAHEAD_",
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        # A .env file often contains variables of other programs too.
        dotenv_filtering="match_prefix",
        toml_file=SETTINGS_FILE,
        extra="forbid",
        validate_default=True,
    )

    home: Path = Field(Path(".weekahead"), description="State, data and secrets live here.")
    catalog: CatalogSettings = Field(default_factory=CatalogSettings)
    s3: S3Settings = Field(default_factory=S3Settings)
    clickhouse: ClickHouseSettings = Field(default_factory=ClickHouseSettings)
    mlflow: MlflowSettings = Field(default_factory=MlflowSettings)
    prefect: PrefectSettings = Field(default_factory=PrefectSettings)
    services: ServicesSettings = Field(default_factory=ServicesSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    moex: MoexSettings = Field(default_factory=MoexSettings)
    yahoo: YahooSettings = Field(default_factory=YahooSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    maintenance: MaintenanceSettings = Field(default_factory=MaintenanceSettings)
    forecast: ForecastSettings = Field(default_factory=ForecastSettings)
    superset: SupersetSettings = Field(default_factory=SupersetSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources of settings, strongest first; pydantic calls this.

        Args:
            settings_cls: The settings class.
            init_settings: Values from the command line.
            env_settings: Environment variables.
            dotenv_settings: Names the ``.env`` file.
            file_secret_settings: Not used.

        Returns:
            Command line, environment, ``.env``, ``weekahead.toml``.
        """
        toml = TomlConfigSettingsSource(settings_cls)
        file = getattr(dotenv_settings, "env_file", None)
        return init_settings, env_settings, _DotEnv(settings_cls, env_file=file), toml

    @property
    def dbt_dir(self) -> Path:
        """The dbt project: next to the packages in a checkout, inside them in a wheel."""
        checkout = PROJECT_ROOT / "dbt"
        # Next to an installed wheel, the folder of this name is the dbt package itself.
        found = (checkout / "dbt_project.yml").is_file()
        return checkout if found else PROJECT_ROOT / "lakehouse" / "_dbt"

    @property
    def elsewhere(self) -> list[str]:
        """Those of lake, warehouse and models that are not started here, each with its address."""
        addresses = {
            "lake": self.s3.endpoint,
            "warehouse": self.clickhouse.url,
            "models": self.mlflow.tracking_uri,
        }
        return [f"{name} {address}" for name, address in addresses.items() if address]

    @property
    def mlflow_uri(self) -> str:
        """MLflow's address: its server, else its database, which is a file under the home."""
        if self.mlflow.tracking_uri:
            return self.mlflow.tracking_uri
        if self.mlflow.database_url:
            return self.mlflow.database_url.get_secret_value()
        return f"sqlite:///{self.home.resolve() / 'mlflow.db'}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from all sources.

    Args:
        **overrides: Values from the command line; sections are dictionaries.

    Returns:
        Validated settings.

    Raises:
        SettingsError: A value, a name or the settings file is wrong; the message names it.
    """
    for path in (SETTINGS_FILE, ENV_FILE):
        _require_ours(path)
    try:
        return Settings(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{SETTINGS_FILE} is not valid TOML: {error}. Correct the file, or move it away."
        ) from error
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"The settings cannot be read: {error}.") from error


def _require_ours(path: Path) -> None:
    """Refuse a file that another account can write; it could redirect our passwords."""
    try:
        found = path.stat()
    except OSError:
        return  # A missing file is fine; an unreadable one fails when it is read.
    if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & stat.S_IWOTH:
        raise SettingsError(
            f"{path.absolute()} can be written by another account, so it is refused. Run the "
            "command in another folder, or correct the file's owner and permissions."
        )


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in item["loc"]]
        name = "WEEKAHEAD_" + "__".join(part.upper() for part in path)
        hint = item["msg"]
        if item["type"] == "extra_forbidden":
            hint = REMOVED.get(".".join(path), "there is no such setting")
        lines.append(f"  {'.'.join(path)}: {hint} (environment: {name})")
    where = f"{SETTINGS_FILE}, .env, environment or command line"
    return f"Wrong settings in {where}:\n" + "\n".join(lines)
