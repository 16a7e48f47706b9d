"""No one accesses the lake or the warehouse without a secret: no other account, no web page."""

import importlib.util
import json
import os
import ssl
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pyarrow as pa
import pytest
from pyarrow.fs import S3FileSystem

from catalog.connect import ensure_tables, open_catalog
from catalog.tables import CALENDAR
from deploy.local import LAKE, certificates, running, seaweedfs
from deploy.local.service import choose_ports
from deploy.local.state import load_state
from flows import doctor
from lakehouse.errors import HomeError
from lakehouse.home import Home, load_secrets, open_home, socket_folder
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from tests.homes import settings_of
from tests.stranger import EVIL, SIGNS_OF_LIFE, as_stranger, intrude, processes

WEED = Path(sys.executable).with_name("weed")
SHELL_SECONDS = 10
COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"


@pytest.fixture(scope="module")
def home(stack: Platform) -> Home:
    return open_home(stack.settings.home)


@pytest.fixture(scope="module")
def kept(stack: Platform) -> S3FileSystem:
    """The object store, with something in it that strangers must not read or delete."""
    objects = S3FileSystem(
        access_key=stack.settings.s3.access_key,
        secret_key=stack.settings.s3.secret_key.get_secret_value(),
        endpoint_override=stack.settings.s3.endpoint,
        region=stack.settings.s3.region,
    )
    with objects.open_output_stream(f"{stack.settings.s3.artifacts_bucket}/kept") as stream:
        stream.write(b"kept")
    return objects


def has_kept(stack: Platform, objects: S3FileSystem) -> bool:
    with objects.open_input_stream(f"{stack.settings.s3.artifacts_bucket}/kept") as stream:
        return bool(stream.read() == b"kept")


def test_a_stranger_gets_nothing_from_any_socket(
    stack: Platform, home: Home, kept: S3FileSystem
) -> None:
    assert intrude(home) == []
    assert has_kept(stack, kept)


def test_a_web_page_gets_nothing_from_any_socket(
    stack: Platform, home: Home, kept: S3FileSystem
) -> None:
    assert intrude(home, SIGNS_OF_LIFE, host=EVIL, origin=f"http://{EVIL}") == []
    assert has_kept(stack, kept)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("master", "/dir/assign"),
        ("master", "/dir/lookup?volumeId=1&fileId=1,01&read=yes"),
        ("master", "/col/delete?collection=lake"),
        ("master", "/dir/status"),
        ("filer", "/buckets/"),
        ("volume", "/status"),
    ],
)
def test_the_stores_inner_ports_ask_for_the_certificate(
    home: Home, kept: S3FileSystem, part: str, path: str
) -> None:
    port = load_state(home).ports["seaweedfs"][part]
    authority = (home.config / certificates.AUTHORITY).read_text()

    def ask() -> int:
        # Even one who knows the authority, which is no secret.
        context = ssl.create_default_context(cadata=authority)
        with urlopen(f"https://127.0.0.1:{port}{path}", timeout=5, context=context) as answer:
            return int(answer.status)

    with pytest.raises(OSError, match=r"(?i)certificate.required"):
        as_stranger(ask)


def test_the_owner_has_the_certificate(home: Home) -> None:
    port = load_state(home).ports["seaweedfs"]["master"]
    context = certificates.client_context(home.config)
    with urlopen(f"https://127.0.0.1:{port}/dir/status", timeout=5, context=context) as answer:
        assert json.load(answer)["Topology"]["DataCenters"]


def test_a_certificate_of_ones_own_making_is_refused(home: Home, tmp_path: Path) -> None:
    certificates.make(tmp_path, ["127.0.0.1"])
    port = load_state(home).ports["seaweedfs"]["master"]
    context = ssl.create_default_context(cafile=str(home.config / certificates.AUTHORITY))
    context.load_cert_chain(tmp_path / certificates.CERTIFICATE, tmp_path / certificates.KEY)
    with pytest.raises(OSError, match=r"(?i)unknown.ca|certificate"):
        urlopen(f"https://127.0.0.1:{port}/dir/status", timeout=5, context=context)


def shell(home: Home, *options: str) -> str:
    """Output of SeaweedFS's administration shell, as another account."""
    ports = load_state(home).ports["seaweedfs"]
    servers = [
        f"-{part}=127.0.0.1:{ports[part]}.{ports[f'{part}.grpc']}" for part in ("master", "filer")
    ]
    # A stranger may not pass the folders on the way to the program.
    program = os.open(WEED, os.O_RDONLY)
    os.set_inheritable(program, True)
    account = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        done = subprocess.run(
            ["weed", *options, "shell", *servers],
            executable=f"/proc/self/fd/{program}",
            pass_fds=[program],
            input="fs.ls /buckets\ns3.bucket.list\ncollection.list\nexit\n",
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            env={"HOME": "/", "PATH": "/usr/bin:/bin"},
            cwd="/",
            check=False,
            **({} if options else account),
        )
        return done.stdout + done.stderr
    except subprocess.TimeoutExpired as waiting:
        # It tries again and again.
        return f"{waiting.stdout!r} {waiting.stderr!r}"
    finally:
        os.close(program)


def test_the_administration_shell_needs_the_certificate(home: Home, kept: S3FileSystem) -> None:
    assert "artifacts" in shell(home, f"-config_dir={home.config}")
    assert "artifacts" not in shell(home)


def test_no_secret_is_in_arguments_logs_or_another_services_environment(home: Home) -> None:
    secrets = load_secrets(home)
    key = "".join((home.config / certificates.KEY).read_text().splitlines()[1:-1])
    values = {name: value for name, value in secrets.items() if name != "stack_mark"}
    values["weed_key"] = key
    needed = {"weed": {"weed_jwt", "weed_jwt_read", "weed_jwt_filer", "weed_jwt_filer_read"}}
    seen = 0
    for process in processes(home):
        words = " ".join(process.cmdline())
        assert [name for name, value in values.items() if value in words] == []
        variables = "\n".join(process.environ().values())
        found = {name for name, value in values.items() if value in variables}
        assert found <= needed.get(process.name(), set()), process
        seen += 1
    assert seen >= 3
    for path in (path for path in home.logs.rglob("*") if path.is_file()):
        text = path.read_text(errors="replace")
        assert [name for name, value in values.items() if value in text] == [], path


def test_others_read_nothing_of_the_home(home: Home) -> None:
    paths = [home.path, *home.path.rglob("*")]
    # SeaweedFS makes some of its files readable, but they are in private folders.
    ours = [path for path in paths if path.is_dir() or not path.is_relative_to(home.path / "data")]
    assert [path for path in ours if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert len(ours) > 30
    with pytest.raises(PermissionError):
        as_stranger(lambda: list(home.path.iterdir()))


def test_a_home_that_was_open_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "home"
    for folder in ("config", "dbt/target", "duckdb"):
        (path / folder).mkdir(parents=True)
        (path / folder / "file").touch()
    (path / "mlflow.db").touch()
    for each in (path, *path.rglob("*")):
        each.chmod(0o755)
    open_home(path)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path, *path.rglob("*"))} == {0o700}
    # Later, too, whatever the umask of the program that made it.
    (path / "mlflow.db").chmod(0o644)
    open_home(path)
    assert stat.S_IMODE((path / "mlflow.db").stat().st_mode) == 0o600


@pytest.mark.skipif("os.geteuid() != 0")
@pytest.mark.parametrize("theirs", ["home", "home/config", "home/mlflow.db", "link", "folder/home"])
def test_what_another_account_prepared_is_refused(tmp_path: Path, theirs: str) -> None:
    (tmp_path / "own").mkdir()
    wanted = tmp_path / "home"
    if theirs == "link":
        wanted = tmp_path / theirs
        wanted.symlink_to(tmp_path / "own")
    elif theirs == "folder/home":
        (tmp_path / "folder").symlink_to(tmp_path / "own")
        wanted, theirs = tmp_path / theirs, "folder"
    else:
        (tmp_path / "home" / "config").mkdir(parents=True)
        (tmp_path / "home" / "mlflow.db").touch()
    os.chown(tmp_path / theirs, 65534, 65534, follow_symlinks=False)
    with pytest.raises(HomeError, match=r"nobody.*WEEKAHEAD_HOME"):
        open_home(wanted)


def test_a_deep_home_has_private_sockets_that_go_with_it(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 40)
    with running(settings_of(deep), needs=frozenset({LAKE})):
        folder = socket_folder(Home(deep))
        assert len(os.fsencode(folder)) < 80
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (weed,) = (each for each in processes(Home(deep)) if each.name() == "weed")
        weed.kill()
    assert not folder.exists()
    ports = load_state(Home(deep)).ports["seaweedfs"].values()
    assert [p for port in ports for p in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")] == []


def test_certificates_are_private_and_renewed_before_they_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["127.0.0.1", "localhost"]
    certificates.ensure(tmp_path, names)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    first = (tmp_path / certificates.CERTIFICATE).read_text()
    certificates.ensure(tmp_path, names)
    assert (tmp_path / certificates.CERTIFICATE).read_text() == first
    certificates.ensure(tmp_path, [*names, "seaweedfs"])
    second = (tmp_path / certificates.CERTIFICATE).read_text()
    assert second != first
    # Halves of two pairs, as after a crash between two files.
    (tmp_path / certificates.CERTIFICATE).write_text(first)
    certificates.ensure(tmp_path, names)
    assert (tmp_path / certificates.CERTIFICATE).read_text() not in (first, second)
    for rest in (timedelta(days=30), timedelta(days=-1)):
        monkeypatch.setattr(certificates, "VALID", rest)
        certificates.make(tmp_path, names)
        monkeypatch.undo()
        certificates.ensure(tmp_path, names)
        left = certificates.expires(tmp_path)
        assert left is not None and left - datetime.now(UTC) > timedelta(days=700)


def test_a_home_whose_certificate_has_expired_starts_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "home")
    home = open_home(settings.home)
    with monkeypatch.context() as past:
        past.setattr(certificates, "VALID", timedelta(minutes=-1))
        certificates.make(home.config, ["127.0.0.1", "localhost"])
    with running(settings, needs=frozenset({LAKE})) as filled:
        assert filled.catalog.uri
    left = certificates.expires(home.config)
    assert left is not None and left > datetime.now(UTC)


def test_the_containers_store_runs_with_its_certificates(tmp_path: Path) -> None:
    """Its own script, with the folders and addresses of this machine."""
    spec = importlib.util.spec_from_file_location("make_secrets", COMPOSE / "make_secrets.py")
    assert spec and spec.loader
    make_secrets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_secrets)
    services = ("all", "postgres", "seaweedfs", "clickhouse", "prefect", "mlflow", "pipeline")
    for name in (*services, "superset", "airflow"):
        (tmp_path / name).mkdir()
    make_secrets.ROOT, make_secrets.CERTIFICATES_IN_USE = tmp_path, tmp_path / "tls"
    make_secrets.main([])
    given = tmp_path / "seaweedfs"
    script = (COMPOSE / "seaweedfs.sh").read_text()
    for theirs, ours in (
        ("/var/lib/seaweedfs", tmp_path / "data"),
        ("/secrets/", f"{given}/"),
        ("/tmp/weed", tmp_path / "tls"),
        ("-ip=seaweedfs -ip.bind=0.0.0.0", "-ip=127.0.0.1 -ip.bind=127.0.0.1"),
        ("-s3.port=8333 ", ""),
    ):
        assert theirs in script
        script = script.replace(theirs, str(ours))
    (tmp_path / "data").mkdir()
    names = ("master", "volume", "filer", "admin", "s3")
    wanted = dict.fromkeys((*names, *(f"{name}.grpc" for name in names), "catalog"), 0)
    numbers = choose_ports({"weed": wanted}, {})["weed"]
    options = [f"-{name}.port={numbers[name]}" for name in names]
    options += [f"-{name}.port.grpc={numbers[f'{name}.grpc']}" for name in names]
    options += [f"-s3.port.iceberg={numbers['catalog']}", "-tableBucket=lake", "-bucket=artifacts"]
    environment = dict(
        line.replace("'", "").split("=", 1) for line in (given / "env").read_text().splitlines()
    )
    weed = subprocess.Popen(
        ["sh", "-c", script, "seaweedfs.sh", *options],
        env=os.environ | environment | {"PATH": f"{WEED.parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        secrets = make_secrets.load()
        deadline = time.monotonic() + 30
        while not seaweedfs.answers(numbers, secrets, tmp_path / "tls"):
            assert weed.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        before = (tmp_path / "tls" / certificates.KEY).read_text()
        make_secrets.main(["rotate", "weed_certificate"])
        assert (given / certificates.KEY).read_text() != before
        # The running one keeps what it has, all of one kind, until it is started again.
        assert seaweedfs.answers(numbers, secrets, tmp_path / "tls")
        with pytest.raises(OSError, match=r"(?i)certificate"):
            urlopen(
                f"https://127.0.0.1:{numbers['master']}/dir/status",
                context=certificates.client_context(given),
            )
    finally:
        weed.terminate()
        weed.wait(30)
        seaweedfs.remove_sockets(numbers)


def test_doctor_tells_missing_data_from_a_store_that_does_not_answer(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home")
    with running(settings, needs=frozenset({LAKE})) as filled:
        catalog = open_catalog(filled.catalog, filled.s3)
        ensure_tables(catalog)
        table = catalog.load_table(CALENDAR.name)
        now = datetime.now(UTC)
        day = {"source": "test", "trade_date": now.date(), "is_open": True, "reason": ""}
        row = day | {"load_id": "1", "ingested_at": now}
        table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
        assert found(settings, "catalog").startswith("The catalog answers")
        silent = settings_of(
            tmp_path / "other",
            catalog=filled.catalog.model_dump() | {"uri": filled.catalog.uri},
            s3=filled.s3.model_dump() | {"endpoint": "http://127.0.0.1:9"},
        )
        assert "does not answer" in found(silent, "lake")
        # What any account could do once: now it takes the certificate.
        port = load_state(Home(settings.home)).ports["seaweedfs"]["master"]
        context = certificates.client_context(settings.home / "config")
        urlopen(f"https://127.0.0.1:{port}/col/delete?collection=lake", context=context).close()
        assert found(settings, "lake").startswith("Data is missing")


def found(settings: Settings, area: str) -> str:
    """What ``weekahead doctor`` says about the lake or its catalog."""
    return next(finding.what for finding in doctor.examine(settings) if finding.area == area)
