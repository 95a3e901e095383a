"""How an agent on another host than the server's gets its certificate: it joins once by a token, and renews in time.

```
FOLDER/server.json        URL of the server, name of the host, hash of the token that it joined by
FOLDER/authority.pem      whom to believe that it is the server
FOLDER/certificate.pem    this host's certificate
FOLDER/key.pem            its private key, which never leaves this folder
```
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kaon import joining
from kaon.agent.servers import Server, explain, open_tls, server_context
from kaon.channel import Refusal
from kaon.joining import AskAuthority, Authority, Issued, Join, JoinError, Token

log = logging.getLogger("kaon.agent.enrol")

PATIENCE = 10.0
"""Seconds that a server may take for an answer."""
LONGEST_SLEEP = 3600.0
"""Seconds between looks at whether the certificate is due: clocks are set, and machines sleep."""
AGAIN = 60.0
"""Seconds between one renewal and the next attempt."""


class Joined(msgspec.Struct, frozen=True):
    """What a host that has joined knows: its own name, its server, and by which token (hash) it came."""

    host: str
    url: str
    token: str


def enrolment_folder(agent: Path) -> Path:
    """Where an agent, whose own files are in `agent`, keeps its certificate."""
    return agent / "tls"


def joined(folder: Path) -> Joined | None:
    """What is known of an earlier join; None where there was none. Raises JoinError for files that are damaged."""
    path = folder / "server.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Joined)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise JoinError(f"{path} cannot be read ({error}): remove {folder}, and join anew by --join TOKEN") from error


def follow(folder: Path, url: str) -> None:
    """Note that the server is found under another URL now."""
    held = joined(folder)
    if held is not None and held.url != url:
        _write(folder / "server.json", msgspec.json.encode(msgspec.structs.replace(held, url=url)))


async def join(folder: Path, url: str, host: str, token: Token) -> None:
    """Get a certificate for this host by a token, and keep it in `folder`. A token that was used here is no matter.

    Raises JoinError with the reason and the way out; what was there before is kept then.
    """
    spent = hashlib.sha256(token.secret.encode()).hexdigest()
    held = joined(folder)
    if held is not None and held.token == spent and held.host == host:
        follow(folder, url)
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    trusted = await _authority(url, token)
    key = _key(folder)
    with _explained(url):
        async with _conversation(url, server_context(trusted)) as (reader, writer):
            answer = await joining.ask(reader, writer, Join(_request(key, host), token.secret))
    certificate = _certificate(answer, host)
    _write(folder / "authority.pem", trusted.encode())
    _write(folder / "certificate.pem", certificate.encode())
    _write(folder / "server.json", msgspec.json.encode(Joined(host, url, spent)))
    log.info("joined", extra={"host": host, "server": url})


async def renew(folder: Path) -> None:
    """Get a new certificate with the one that is there; raises JoinError."""
    held = joined(folder)
    if held is None:
        raise JoinError(f"{folder} has no certificate to renew: join by --join TOKEN")
    with _explained(held.url):
        async with _conversation(held.url, _own_context(folder)) as (reader, writer):
            answer = await joining.ask(reader, writer, Join(_request(_key(folder), held.host)))
    _write(folder / "certificate.pem", _certificate(answer, held.host).encode())
    log.info("certificate renewed", extra={"host": held.host, "due": due(folder).isoformat()})


async def keep_renewed(folder: Path) -> None:
    """Renew the certificate whenever it is due, for as long as the agent runs."""
    while True:
        seconds = AGAIN
        try:
            left = (due(folder) - datetime.now(UTC)).total_seconds()
            if left > 0:
                seconds = min(left, LONGEST_SLEEP)
            else:
                await renew(folder)
        except JoinError as error:
            log.warning("certificate not renewed", extra={"reason": str(error)})
        await asyncio.sleep(seconds)


def due(folder: Path) -> datetime:
    """When the certificate is to be renewed: after two thirds of its time."""
    held = _loaded(folder)
    return held.not_valid_after_utc - (held.not_valid_after_utc - held.not_valid_before_utc) / 3


def _loaded(folder: Path) -> x509.Certificate:
    path = folder / "certificate.pem"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise JoinError(f"{path} cannot be read ({error}): join anew by --join TOKEN") from error


def remote_server(folder: Path) -> Server:
    """The server that this host has joined, as something to connect to. Raises JoinError where it has joined none."""
    held = joined(folder)
    if held is None:
        raise JoinError(f"{folder} has no certificate: join by `kaon agent --server URL --host NAME --join TOKEN`")
    url = held.url

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Read anew each time: it may have been renewed.
        return await open_tls(url, _own_context(folder))

    return Server(url, connect)


def _own_context(folder: Path) -> ssl.SSLContext:
    """What shows this host's certificate; raises JoinError when there is no use in that."""
    until, now = _loaded(folder).not_valid_after_utc, datetime.now(UTC)
    if until < now:
        # A server would end the connection without a word that reaches us.
        raise JoinError(
            f"this host's certificate expired at {until:%Y-%m-%d %H:%M:%S} UTC, and it is {now:%Y-%m-%d %H:%M:%S} by "
            "its clock: if that is right, run `kaon host token` on the server, then `kaon agent --join TOKEN` here"
        )
    context = server_context((folder / "authority.pem").read_text())
    try:
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    except (OSError, ssl.SSLError) as error:
        raise JoinError(f"the certificate in {folder} cannot be used ({error}): join anew by --join TOKEN") from error
    return context


async def _authority(url: str, token: Token) -> str:
    """The certificate of the server's authority, which nobody can forge who does not have the token's fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _explained(url):
        async with _conversation(url, context) as (reader, writer):
            answer = await joining.ask(reader, writer, AskAuthority())
    if not isinstance(answer, Authority):
        raise JoinError(f"{url} does not answer as a server of Kaon's would: see --server")
    try:
        found = joining.fingerprint(answer.certificate)
    except ValueError:
        found = ""
    if found != token.fingerprint:
        raise JoinError(
            f"{url} is not the server that made this join token: see --server, or make a token there by "
            "`kaon host token`; if the address is right, somebody else answers there. Nothing was told to it"
        )
    return answer.certificate


@contextlib.asynccontextmanager
async def _conversation(
    url: str, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await open_tls(url, context)
        try:
            yield reader, writer
        finally:
            writer.close()


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except asyncio.IncompleteReadError as error:
        raise JoinError(f"{url} hung up before it answered: its log tells why") from error
    except TimeoutError as error:
        raise JoinError(
            f"{url} does not answer within {PATIENCE:g} seconds: is the address right, and nothing between?"
        ) from error
    except OSError as error:
        raise JoinError(explain(url, error)) from error
    except msgspec.MsgspecError as error:
        raise JoinError(f"{url} does not answer as a server of this version would ({error})") from error


def _certificate(answer: Authority | Issued | Refusal, host: str) -> str:
    match answer:
        case Issued(certificate):
            now, held = datetime.now(UTC), x509.load_pem_x509_certificate(certificate.encode())
            if not held.not_valid_before_utc <= now <= held.not_valid_after_utc:
                raise JoinError(
                    f"the certificate is good from {held.not_valid_before_utc} to {held.not_valid_after_utc}, but it "
                    f"is {now:%Y-%m-%d %H:%M:%S} UTC by the clock of host {host}: set the clocks of both right"
                )
            return certificate
        case Refusal(reason):
            raise JoinError(reason)
    raise JoinError("the server does not answer as one of this version would: use the same version of Kaon on both")


def _key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The host's private key, made where there is none."""
    path = folder / "key.pem"
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        _write(path, made.private_bytes(encoding, form, serialization.NoEncryption()))
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise JoinError(f"{path} cannot be read ({error}): remove {folder}, and join anew by --join TOKEN") from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _request(key: ec.EllipticCurvePrivateKey, host: str) -> str:
    """A signing request for this host."""
    if not joining.HOST.fullmatch(host):
        raise JoinError(
            f"host {host!r}: a name has at most 64 letters, digits, dots, hyphens and underscores, and begins and "
            "ends with a letter or digit; name the host so by --host"
        )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def _write(path: Path, data: bytes) -> None:
    """Write a file that only this user reads, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
