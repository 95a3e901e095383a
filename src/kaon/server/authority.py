"""The certificate authority of a server's own, by which servers and agents on other hosts know each other.

It lies in the server's folder beside what it protects, so it vouches for agents only, and for nothing else:

```
FOLDER/authority.pem     certificate of the authority
FOLDER/authority.key     its private key
FOLDER/server.pem        the server's key and certificate, made anew at every start
```
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaon.joining import SERVER_NAME, JoinError

LIFETIME = timedelta(days=20 * 365)
"""Of the authority and of the server's certificate: both keys lie in one folder, so a shorter one gains nothing."""
HOST_LIFETIME = timedelta(days=90)
"""Of a host's certificate, which its agent renews when two thirds of it are over."""
SKEW = timedelta(days=1)
"""By how much a host's clock may be behind the server's."""


class CertificateAuthority(NamedTuple):
    """The authority's certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate as text."""
        return pem(self.certificate)


def pem(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only the owner of its folder reads, whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        _give_to_owner_of(path.parent, file.fileno())
    Path(temporary).rename(path)


def make_folder(path: Path) -> None:
    """Make a folder for the owner of the one that it is in, and for nobody else, where there is none."""
    if not path.is_dir():
        path.mkdir(mode=0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _give_to_owner_of(path.parent, descriptor)
        finally:
            os.close(descriptor)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    """What root makes by a command belongs to the server, which has given root up."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def open_authority(folder: Path) -> CertificateAuthority:
    """The authority in `folder`, made where there is none. Raises JoinError when it cannot be read."""
    make_folder(folder)
    key_path, certificate_path = folder / "authority.key", folder / "authority.pem"
    if not certificate_path.exists():
        _create(key_path, certificate_path)
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise JoinError(
            f"the authority in {folder} cannot be read ({error}): restore its files from a backup, or remove the "
            "folder, after which every host has to join anew"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise JoinError(f"{key_path} is not the key of {certificate_path}: restore both from one backup")
    return CertificateAuthority(certificate, key)


def _create(key_path: Path, certificate_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Kaon agents")
    certificate = (
        _certificate(name, name, key.public_key(), LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(key_path, _private(key))
    write_private(certificate_path, pem(certificate).encode())


def server_certificate(authority: CertificateAuthority, folder: Path) -> Path:
    """A new key and certificate for the server, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(authority, key.public_key(), SERVER_NAME, LIFETIME, ExtendedKeyUsageOID.SERVER_AUTH)
    path = folder / "server.pem"
    write_private(path, _private(key) + pem(certificate).encode())
    return path


class Request(NamedTuple):
    """What a signing request asks for: a certificate for this host with this key."""

    host: str
    key: ec.EllipticCurvePublicKey


def read_request(text: str) -> Request:
    """A signing request (PEM) that proves to come from who has its key; raises JoinError for any other one."""
    try:
        csr = x509.load_pem_x509_csr(text.encode())
        key, names = csr.public_key(), csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        genuine = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise JoinError(
            f"the signing request cannot be read ({error}): use the `kaon agent` of this version"
        ) from error
    if not genuine or len(names) != 1 or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size != 256:
        raise JoinError("the signing request is not one of Kaon's: use the `kaon agent` of this version")
    return Request(str(names[0].value), key)


def host_certificate(authority: CertificateAuthority, request: Request, lifetime: timedelta) -> x509.Certificate:
    """A certificate for an agent: good for being a client, so that no host can be taken for a server."""
    return _sign(authority, request.key, request.host, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """A name for a public key: the SHA-256 of it."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def owner(certificate: bytes) -> tuple[str, str]:
    """The host that a certificate of this authority (DER) names, and the id of its key."""
    found = x509.load_der_x509_certificate(certificate)
    key = found.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise JoinError("this is not a certificate that Kaon gives")
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value), key_id(key)


def _sign(
    authority: CertificateAuthority,
    key: ec.EllipticCurvePublicKey,
    name: str,
    lifetime: timedelta,
    purpose: x509.ObjectIdentifier,
) -> x509.Certificate:
    return (
        _certificate(_name(name), authority.certificate.subject, key, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
