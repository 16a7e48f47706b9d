"""The compose files and Dockerfiles keep the rules of docs/containers.md."""

import configparser
import io
import json
import re
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from lakehouse.settings import Settings

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = BASE["services"]
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
HIDDEN = {"postgres", "seaweedfs", "clickhouse"}
PUBLISHED = {"prefect", "mlflow", "superset", "airflow"}
CORE_BYTES = 6 * 2**30
ALL_BYTES = 16 * 2**30
# What may stand in the open although its name sounds like a secret: paths and addresses.
HARMLESS = {"POSTGRES_PASSWORD_FILE"}

every_service = pytest.mark.parametrize("name", SERVICES)
every_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 2**20, "g": 2**30}[unit]


def _volumes(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Source → (target, mode) of each mount."""
    mounts = (mount.split(":") for mount in service.get("volumes", []))
    return {source: (target, (*mode, "rw")[0]) for source, target, *mode in mounts}


def _lasting() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in SERVICES.items() if service["restart"] != "no"}


class ComposeLoader(yaml.SafeLoader):
    """Knows the tag with which an override replaces what would otherwise be merged."""


ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_mapping(node))


@every_service
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    _has_no_more_rights_than_it_needs(SERVICES[name])


def _has_no_more_rights_than_it_needs(service: dict[str, Any]) -> None:
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not service.keys() & {"privileged", "pid", "ipc", "devices", "userns_mode"}
    assert service.get("network_mode", "none") == "none"
    assert not any("docker.sock" in str(mount) for mount in service.get("volumes", []))


@every_service
def test_every_service_has_limits_and_rotated_logs(name: str) -> None:
    _has_limits_and_rotated_logs(SERVICES[name])


def _has_limits_and_rotated_logs(service: dict[str, Any]) -> None:
    assert _bytes(service["mem_limit"]) > 0
    assert service["cpus"] > 0
    assert 0 < service["pids_limit"] <= 1024
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert all("size=" in mount for mount in service.get("tmpfs", []))


def test_memory_limits_fit_the_machine() -> None:
    # The one-shots are over before the services that wait for them start.
    running = {
        name: service
        for name, service in SERVICES.items()
        if service["restart"] != "no" or service.get("profiles") == ["run"]
    }
    core = [s for s in running.values() if s.get("profiles", ["run"]) == ["run"]]
    assert sum(_bytes(service["mem_limit"]) for service in core) <= CORE_BYTES
    assert sum(_bytes(service["mem_limit"]) for service in running.values()) <= ALL_BYTES


@every_service
def test_only_loopback_is_published_and_data_services_not_at_all(name: str) -> None:
    service = SERVICES[name]
    ports = service.get("ports", [])
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{PORT_[A-Z]+:-\d+\}:\d+", port) for port in ports)
    assert bool(ports) == (name in PUBLISHED)
    if name in HIDDEN:
        assert service["networks"] == ["data"]


def test_profiles_start_what_they_are_called_after() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    for name, chosen in profiles.items():
        part = name.partition("-")[0]
        expected = [part, "all"] if part in {"superset", "airflow"} else None
        assert chosen == (["run"] if name == "pipeline" else expected), name
    # What always runs waits for nothing that may not.
    for name, service in SERVICES.items():
        if profiles[name] is None:
            assert all(profiles[needed] is None for needed in service.get("depends_on", {}))


def test_the_data_network_has_no_way_out() -> None:
    assert BASE["networks"]["data"] == {"internal": True}
    assert set(BASE["networks"]) == {"front", "data"}


@every_service
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        once = SERVICES[needed]["restart"] == "no"
        expected = "service_completed_successfully" if once else "service_healthy"
        assert how == {"condition": expected}, f"{name} waits for {needed}"


@pytest.mark.parametrize("name", _lasting())
def test_a_lasting_service_is_watched_and_stops_gracefully(name: str) -> None:
    service = SERVICES[name]
    ours = service["image"].startswith("weekahead/")
    # Our images have a check of their own, which asks the addresses given here.
    assert service["environment"]["HEALTH_URLS"] if ours else service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"\d+m", service["stop_grace_period"])


@every_service
def test_images_have_a_version(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.match(r"\d+\.\d+", tag), "latest is not a version"


@every_service
def test_no_secret_stands_in_the_open(name: str) -> None:
    service = SERVICES[name]
    open_secrets = {
        key
        for key in service.get("environment", {})
        if re.search("PASSWORD|SECRET|TOKEN|KEY|AUTH_STRING|JWT", key)
    }
    assert open_secrets <= HARMLESS
    assert "env_file" not in service
    words = " ".join(map(str, [*service.get("command", []), *service.get("entrypoint", [])]))
    assert not re.search(r"(?i)password\W*[=:]|://[^/ ]*:[^/ ]*@", words)


def test_each_service_sees_its_own_secrets_only() -> None:
    allowed = {
        "postgres": {"postgres", "databases"},
        "mlflow": {"mlflow", "mlflow-init"},
        "pipeline": {"pipeline", "init", "worker"},
        "superset": {"superset", "superset-init"},
        "airflow": {name for name in SERVICES if name.startswith("airflow")},
    }
    for name, service in SERVICES.items():
        if name == "secrets":
            continue
        for source, (target, mode) in _volumes(service).items():
            if source.startswith("secrets"):
                owner = source.removeprefix("secrets-")
                assert name in allowed.get(owner, {owner}), f"{name} reads secrets of {owner}"
                assert (target, mode) == ("/secrets", "ro")


def test_settings_named_in_the_compose_file_exist() -> None:
    for name, service in SERVICES.items():
        for key in service.get("environment", {}):
            # Airflow's bridge has settings of its own.
            if key.startswith("WEEKAHEAD_") and not name.startswith("airflow"):
                section, _, field = key.removeprefix("WEEKAHEAD_").lower().partition("__")
                model = Settings.model_fields[section].annotation
                assert field in model.model_fields, key  # type: ignore[union-attr]


def test_mounted_files_exist() -> None:
    sources = {source for service in SERVICES.values() for source in _volumes(service)}
    for source in sources:
        if source.startswith("."):
            assert (ROOT / source).is_file(), source
        else:
            assert source in BASE["volumes"]


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda path: path.name)
def test_an_override_takes_no_protection_away(path: Path) -> None:
    override = yaml.load(path.read_text(), Loader=ComposeLoader)
    protections = {
        *("user", "cap_drop", "cap_add", "security_opt", "read_only", "privileged", "ports"),
        *("network_mode", "networks", "mem_limit", "pids_limit", "logging"),
    }
    for name, service in override["services"].items():
        if name in SERVICES:
            assert not service.keys() & protections, name
        else:
            _has_no_more_rights_than_it_needs(service)
            _has_limits_and_rotated_logs(service)
            assert service["networks"] == ["data"]
            assert "ports" not in service
        if image := service.get("image"):
            assert re.match(r"(RELEASE\.)?\d", image.partition(":")[2])


@every_dockerfile
def test_images_are_small_and_unprivileged(path: Path) -> None:
    text = path.read_text()
    final = re.split(r"^FROM ", text, flags=re.MULTILINE)[-1]
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S*\d", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    assert re.findall(r"^USER (\S+)", final, re.MULTILINE)[-1] == "10001:10001"
    assert "\nHEALTHCHECK " in final
    assert "org.opencontainers.image.licenses" in final
    assert "# syntax=" not in text
    assert not re.search(r"\bADD\b|:latest|build-essential|\bgcc\b", text)


def test_secrets_reach_a_programs_environment_and_nothing_else(tmp_path: Path) -> None:
    script = (ROOT / "deploy" / "compose" / "with-secrets.sh").read_text()
    wrapper = tmp_path / "with-secrets.sh"
    wrapper.write_text(script.replace("/secrets/env", str(tmp_path / "env")))
    (tmp_path / "env").write_text("TOKEN='a b'\n")
    command = ["sh", str(wrapper), "sh", "-c", 'echo "$TOKEN $1"', "sh", "an argument"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "a b an argument\n"
    # Without secrets nothing starts.
    (tmp_path / "env").unlink()
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_worker_is_stopped_between_its_runs() -> None:
    script = ROOT / "deploy" / "compose" / "worker.py"
    # A "worker" that has a run for three seconds, and would then wait for another.
    worker = "sleep 3 & wait; echo done; exec sleep 60"
    with subprocess.Popen(
        [sys.executable, script, "sh", "-c", worker], stdout=subprocess.PIPE, text=True
    ) as process:
        time.sleep(1)
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == ("done\n", 0)


def _secrets_module(root: Path) -> Any:
    import importlib.util

    path = ROOT / "deploy" / "compose" / "make_secrets.py"
    spec = importlib.util.spec_from_file_location("make_secrets", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT = root
    for target, _ in _volumes(SERVICES["secrets"]).values():
        (root / Path(target).name).mkdir(exist_ok=True)
    return module


def test_secrets_are_made_once_private_and_consistent(tmp_path: Path) -> None:
    module = _secrets_module(tmp_path)
    module.main([])
    first = module.load()
    module.main([])
    assert module.load() == first
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert len(set(first.values())) == len(module.NAMES)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in first.values())
    # A service gets what it needs, and no more.
    assert first["clickhouse_admin"] in (tmp_path / "pipeline" / "env").read_text()
    for name in ("mlflow", "clickhouse"):
        text = "".join(p.read_text() for p in (tmp_path / name).iterdir())
        assert first["s3_secret_key"] not in text
        assert first["s3_reader_secret_key"] in text
        assert first["postgres"] not in text
    # Dashboards read and Airflow asks Prefect; neither can write to the lake or the warehouse.
    for name in ("superset", "airflow"):
        text = "".join(p.read_text() for p in (tmp_path / name).iterdir())
        known = {secret for secret, value in first.items() if value in text}
        assert (
            known
            == {
                "superset": {
                    *("superset_key", "superset_admin", "database_superset", "clickhouse_reader"),
                },
                "airflow": {"airflow_admin", "database_airflow", "prefect"},
            }[name]
        ), name


def test_rotation_changes_what_is_named_and_refuses_what_lives_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _secrets_module(tmp_path)
    before = module.load()
    module.main(["rotate", "clickhouse_reader"])
    after = module.load()
    assert {name for name in before if before[name] != after[name]} == {"clickhouse_reader"}
    assert after["clickhouse_reader"] in (tmp_path / "pipeline" / "env").read_text()
    monkeypatch.setattr(sys, "stdin", io.StringIO("0123456789abcdef\n"))
    module.main(["set", "postgres"])
    after = module.load()
    assert after["postgres"] == "0123456789abcdef"
    assert (tmp_path / "postgres" / "postgres").read_text() == "0123456789abcdef"
    monkeypatch.setattr(sys, "stdin", io.StringIO("key-of-prefect-cloud\n"))
    module.main(["set", "prefect_api_key"])
    after = module.load()
    pipeline = (tmp_path / "pipeline" / "env").read_text()
    assert "PREFECT_API_KEY='key-of-prefect-cloud'" in pipeline
    assert "AUTH_STRING" not in pipeline
    # It would end the quoted value in the file that a shell reads.
    monkeypatch.setattr(sys, "stdin", io.StringIO("0123456789abcdef' ; id"))
    with pytest.raises(SystemExit, match="Cannot set prefect"):
        module.main(["set", "prefect"])
    with pytest.raises(SystemExit, match="Cannot rotate postgres, nonsense"):
        module.main(["rotate", "postgres", "nonsense"])
    assert module.load() == after


HARD = "a b'; id >/dev/null; x='$HOME `id` \\ \"q\" %s\nNEXT='1"


def test_a_value_reaches_its_program_as_it_is_and_sets_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _secrets_module(tmp_path)
    monkeypatch.setenv("PREFECT_PAGES", HARD)
    module.main([])
    wrapper = (ROOT / "deploy" / "compose" / "with-secrets.sh").read_text()
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [
            *("sh", "-c", wrapper.replace("/secrets/env", str(tmp_path / "airflow" / "env"))),
            *("with-secrets.sh", sys.executable, "-c", program),
        ],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    connection = json.loads(seen["AIRFLOW_CONN_PREFECT_DEFAULT"])
    assert connection["extra"]["ui_url"] == HARD
    assert "NEXT" not in seen


def test_a_password_cannot_change_the_address_that_it_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _secrets_module(tmp_path)
    password = "elsewhere:5432/x+y=z.w"
    monkeypatch.setattr(sys, "stdin", io.StringIO(password))
    module.main(["set", "database_mlflow"])
    accounts = configparser.ConfigParser()
    accounts.read(tmp_path / "mlflow" / "accounts.ini")
    address = make_url(accounts["mlflow"]["database_uri"])
    assert (address.host, address.database) == ("postgres", "mlflow_accounts")
    assert address.password == password


def test_the_stores_certificates_are_rotated_by_name_and_live_with_the_store_only(
    tmp_path: Path,
) -> None:
    module = _secrets_module(tmp_path)
    module.main([])
    store = tmp_path / "seaweedfs"
    key = (store / "weed.key").read_text()
    module.main([])
    assert (store / "weed.key").read_text() == key
    module.main(["rotate", "weed_certificate"])
    assert (store / "weed.key").read_text() != key
    assert list(tmp_path.rglob("weed.key")) == [store / "weed.key"]
    assert stat.S_IMODE((store / "weed.key").stat().st_mode) == 0o600
    # The script copies what the configuration names.
    security = tomllib.loads((store / "security.toml").read_text())
    script = (ROOT / "deploy" / "compose" / "seaweedfs.sh").read_text()
    for part in ("master", "volume", "filer"):
        folder = Path(security["grpc"][part]["key"]).parent
        assert security["https"][part]["ca"] == str(folder / "weed-ca.pem")
        assert f"tls={folder}\n" in script


def test_secrets_are_not_printed_by_accident(tmp_path: Path) -> None:
    secrets = _secrets_module(tmp_path).load()
    assert not [value for value in secrets.values() if value in f"{secrets} {secrets!r}"]
    assert "weed_jwt" in repr(secrets)


def test_the_embedded_warehouse_answers_to_its_name_and_reaches_the_lake() -> None:
    """Its server refuses names that it does not know, and the kernel ports that are not listed."""
    files = {path.name: yaml.load(path.read_text(), Loader=ComposeLoader) for path in OVERRIDES}
    command = files["no-registry.yml"]["services"]["clickhouse"]["command"]
    addresses = BASE["x-client"]
    warehouse = make_url(addresses["WEEKAHEAD_CLICKHOUSE__URL"])
    assert f"--allow-host={warehouse.host}" in command
    lakes = [addresses["WEEKAHEAD_CATALOG__URI"], addresses["WEEKAHEAD_S3__ENDPOINT"]]
    lakes.append(files["minio.yml"]["x-client"]["environment"]["WEEKAHEAD_S3__ENDPOINT"])
    ports = {f"--connect-port={make_url(address).port}" for address in lakes}
    assert ports == {option for option in command if option.startswith("--connect-port=")}
