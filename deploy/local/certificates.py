"""The certificate by which SeaweedFS's parts authenticate each other and refuse everyone else.

One process runs master, volume server, filer and their gRPC ports. Each requires a client
certificate, and there is only one: whoever cannot read its key gets no response. The authority's
key is discarded after signing, so that no other certificate can be issued.
"""

import json
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lakehouse.home import write_private

NAME = "weed"
AUTHORITY, CERTIFICATE, KEY = "weed-ca.pem", "weed.pem", "weed.key"
# The file name that SeaweedFS expects.
SECURITY = "security.toml"
VALID = timedelta(days=730)
# Leaves a store that runs for a year without a restart with a valid certificate.
RENEW = timedelta(days=365)
# Allows for clock differences between machines that share a folder.
SKEW = timedelta(days=1)
GRPC_PARTS = (
    *("master", "volume", "filer", "s3", "admin", "worker", "client"),
    *("mq", "msg_broker", "msg_agent"),
)
HTTP_PARTS = ("master", "volume", "filer", "admin")


def ensure(folder: Path, names: Iterable[str], *, used_in: Path | None = None) -> None:
    """Create the certificates if needed, and SeaweedFS's configuration for them.

    Args:
        folder: Directory for the files, each readable only by its owner.
        names: Host names and addresses under which the parts reach each other.
        used_in: Path of the directory as SeaweedFS sees it, if different.
    """
    names = sorted(names)
    if not _good(folder, names):
        make(folder, names)
    write_private(folder / SECURITY, _security(used_in or folder))


def make(folder: Path, names: Iterable[str]) -> None:
    """Create new certificates; a running SeaweedFS keeps its own until its next start.

    Args:
        folder: Directory for the files; created if missing.
        names: Host names and addresses for the certificate.
    """
    now = datetime.now(UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _subject(f"{NAME} authority")
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    ) | {"encipher_only": False, "decipher_only": False}

    def start(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + VALID)
        )

    authority = (
        start(authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=False, **usage),
            critical=True,
        )
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        start(_subject(NAME), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **usage),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / AUTHORITY, authority.public_bytes(encoding).decode())
    write_private(folder / CERTIFICATE, certificate.public_bytes(encoding).decode())
    write_private(folder / KEY, private.decode())


def expires(folder: Path) -> datetime | None:
    """When the certificate expires; None if there is no readable one."""
    try:
        return _read(folder / CERTIFICATE).not_valid_after_utc
    except (OSError, ValueError):
        return None


def client_context(folder: Path) -> ssl.SSLContext:
    """The TLS context for connections to SeaweedFS's internal ports.

    Raises:
        OSError: The certificates are missing or unusable.
    """
    context = ssl.create_default_context(cafile=str(folder / AUTHORITY))
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    return context


def _good(folder: Path, names: list[str]) -> bool:
    """Whether the files belong together, cover all hosts and do not expire soon."""
    try:
        authority, certificate = _read(folder / AUTHORITY), _read(folder / CERTIFICATE)
        certificate.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), password=None)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    now = datetime.now(UTC)
    return (
        key.public_key() == certificate.public_key()
        and set(alternatives.value) >= {_alternative(name) for name in names}
        and all(
            each.not_valid_before_utc <= now and each.not_valid_after_utc - now > RENEW
            for each in (authority, certificate)
        )
    )


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _security(folder: Path) -> str:
    """SeaweedFS's security.toml: mutual TLS on every internal port."""

    def text(value: Path | str) -> str:
        # TOML uses the same escapes as JSON.
        return json.dumps(str(value), ensure_ascii=False)

    pair = f"cert = {text(folder / CERTIFICATE)}\nkey = {text(folder / KEY)}\n"
    authority = f"ca = {text(folder / AUTHORITY)}\n"
    sections = [f"[grpc]\n{authority}"]
    sections += [
        f"[grpc.{part}]\n{pair}allowed_commonNames = {text(NAME)}\n" for part in GRPC_PARTS
    ]
    sections += [f"[https.client]\nenabled = true\n{pair}{authority}"]
    sections += [f"[https.{part}]\n{pair}{authority}" for part in HTTP_PARTS]
    return "\n".join(sections)
