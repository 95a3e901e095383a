"""A host joins a server by a token, follows it over TLS, renews its certificate, and hears why when it may not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kaon import joining
from kaon.agent import enrol
from kaon.agent.servers import explain
from kaon.channel import Hello
from kaon.joining import JoinError, Token, parse_token, server_address
from kaon.server import authority, membership
from tests.agent.cloud import bridge, until
from tests.agent.remote_cloud import OWN, Remote, Site, refusal, remote, site


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "server") as made:
        yield made


@pytest.fixture
async def beta(server: Site, tmp_path: Path) -> AsyncIterator[Remote]:
    async with remote(server, tmp_path / "beta") as made:
        yield made


async def test_a_host_that_has_joined_follows_its_rows_and_reports_what_became_of_them(
    server: Site, beta: Remote
) -> None:
    await beta.join()
    assert server.members == {"beta"}
    assert {path.stat().st_mode & 0o777 for path in beta.certificates.iterdir()} == {0o600}
    assert beta.certificates.stat().st_mode & 0o777 == 0o700

    server.server.put(bridge("a"))
    await beta.start()
    await until(lambda: beta.bridges == {"a"})
    seq = server.server.put(bridge("b"))
    await until(lambda: beta.bridges == {"a", "b"})
    await until(lambda: ("beta", seq, ()) in server.server.reports)
    assert {host for host, _, _ in server.server.reports} == {"beta"}


async def test_an_agent_comes_back_by_its_certificate_alone_and_gets_differences_only(
    server: Site, beta: Remote
) -> None:
    await beta.join()
    server.server.put(bridge("a"))
    await beta.start()
    await until(lambda: beta.bridges == {"a"})

    await server.stop()
    await beta.away("cannot be reached")
    server.server.put(bridge("b"))
    server.server.backlog.snapshot = lambda: pytest.fail("a snapshot was taken")  # type: ignore[method-assign]
    await server.start()
    await until(lambda: beta.bridges == {"a", "b"})
    await beta.away("")

    await beta.stop()
    await beta.start()
    seq = server.server.put(bridge("c"))
    await until(lambda: beta.bridges == {"a", "b", "c"})
    await until(lambda: ("beta", seq, ()) in server.server.reports)


async def test_the_agent_tells_where_tunnels_to_it_end(server: Site, beta: Remote) -> None:
    await beta.join()
    await beta.start()
    assert server.server.channel is not None
    agents = server.server.channel.agents
    await until(lambda: "beta" in agents)
    # The loopback leads nowhere: a host is not reached by it, whatever the way to its server.
    assert not agents["beta"].local_ip.startswith("127.")


# ---------------------------------------------------------------- tokens that are not good


def spent(server: Site) -> Token:
    token = server.token()
    membership.redeem(server.folder, token.secret, "gamma", "its key")
    return token


def taken(server: Site) -> Token:
    membership.keep(server.folder, "beta", "another key", time.time() + 60)
    return server.token("beta")


REFUSED: dict[str, tuple[Callable[[Site], Token], str]] = {
    "unknown": (lambda server: Token(server.token().fingerprint, "x" * 32), "does not know this join token"),
    "expired": (lambda server: server.token("beta", -1), "expired at .* by the server's clock"),
    "for another host": (lambda server: server.token("gamma"), "is for host gamma, not for beta"),
    "used": (spent, "has been used, by host gamma"),
    "name taken": (taken, "the name beta is taken .* `kaon host remove beta`"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_that_is_not_good_lets_nobody_in_and_says_why(server: Site, beta: Remote, case: str) -> None:
    make, words = REFUSED[case]
    token = make(server)
    before = membership.members(server.folder)
    with pytest.raises(JoinError, match=words):
        await beta.join(token)
    assert membership.members(server.folder) == before
    with pytest.raises(JoinError, match="has no certificate"):
        enrol.remote_server(beta.certificates)


@pytest.mark.parametrize(("name", "words"), [(OWN, "server's own host"), ("../beta", "at most 64 letters")])
async def test_a_name_that_a_host_cannot_have_is_refused(server: Site, tmp_path: Path, name: str, words: str) -> None:
    async with remote(server, tmp_path / "host", name) as host:
        with pytest.raises(JoinError, match=words):
            await host.join(server.token())
    assert server.members == set()


async def test_a_host_that_did_not_hear_the_answer_may_ask_again_until_the_token_expires(
    server: Site, beta: Remote
) -> None:
    token = server.token("beta")
    await beta.join(token)
    (beta.certificates / "server.json").unlink()
    (beta.certificates / "certificate.pem").unlink()
    await beta.join(token)
    # A start with the same command line once more needs no server.
    await server.stop()
    await beta.join(token)


async def test_a_token_is_told_to_nobody_but_the_server_that_made_it(
    server: Site, beta: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.token("beta")
    heard: list[object] = []
    listen = joining.receive_first

    async def overhear(reader: asyncio.StreamReader) -> joining.First:
        heard.append(await listen(reader))
        return heard[-1]  # type: ignore[return-value]

    monkeypatch.setattr(joining, "receive_first", overhear)
    async with site(tmp_path / "impostor") as impostor:
        with pytest.raises(JoinError, match="is not the server that made this join token"):
            await enrol.join(beta.certificates, impostor.url, "beta", token)
    assert heard == [joining.AskAuthority()]
    await beta.join(token)


async def test_a_server_that_is_not_there_or_speaks_something_else_is_told(server: Site, beta: Remote) -> None:
    token = server.token("beta")
    await server.stop()
    with pytest.raises(JoinError, match="cannot be reached"):
        await beta.join(token)

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org\r\n")
        writer.close()

    other = await asyncio.start_server(greet, *server.address)
    async with other:
        with pytest.raises(JoinError, match="does not speak TLS as agents do"):
            await beta.join(token)


@pytest.mark.parametrize("text", ["", "kaon1", "kaon1.abc.def", "kaon2." + "a" * 43 + "." + "b" * 32])
def test_half_a_token_is_none(text: str) -> None:
    with pytest.raises(JoinError, match="copy the whole line"):
        parse_token(text)


def test_a_token_is_what_was_printed() -> None:
    token = Token("f" * 43, "s" * 32)
    assert parse_token(f"{token}\n") == token


def test_the_url_of_a_server() -> None:
    assert server_address("tls://controller") == ("controller", 9697)
    assert server_address("192.0.2.1:9") == ("192.0.2.1", 9)
    assert server_address("tls://[2001:db8::1]:9700") == ("2001:db8::1", 9700)
    for wrong in ("https://controller:9696", "tls://", "tls://a:b", "tls://a/v2.0"):
        with pytest.raises(JoinError, match="write tls://ADDRESS:PORT"):
            server_address(wrong)


# ---------------------------------------------------------------- the certificate's life


def certificate(host: Remote) -> x509.Certificate:
    return x509.load_pem_x509_certificate((host.certificates / "certificate.pem").read_bytes())


async def test_a_certificate_is_renewed_before_it_expires_and_the_agent_stays(server: Site, beta: Remote) -> None:
    await beta.join()
    await beta.start()
    await until(lambda: beta.agent is not None and server.server.reports)
    assert server.remote is not None
    # One that was given for an hour, a day ago: two thirds of its time are over.
    short = authority.host_certificate(
        authority.open_authority(server.folder),
        authority.Request("beta", certificate(beta).public_key()),  # type: ignore[arg-type]
        timedelta(hours=1),
    )
    (beta.certificates / "certificate.pem").write_text(authority.pem(short))
    renewing = asyncio.create_task(enrol.keep_renewed(beta.certificates))
    await until(lambda: certificate(beta).serial_number != short.serial_number)
    renewing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await renewing
    assert certificate(beta).not_valid_after_utc > short.not_valid_after_utc + timedelta(days=80)
    assert (await beta.status()).connected
    (await beta.connect())[1].close()


async def test_an_expired_certificate_is_refused_and_the_agent_says_what_to_do(server: Site, beta: Remote) -> None:
    await beta.join()
    old = authority.host_certificate(
        authority.open_authority(server.folder),
        authority.Request("beta", certificate(beta).public_key()),  # type: ignore[arg-type]
        timedelta(seconds=-1),
    )
    (beta.certificates / "certificate.pem").write_text(authority.pem(old))
    await beta.start()
    await beta.away("this host's certificate expired at")
    assert server.server.heard == []
    with pytest.raises(JoinError, match=r"`kaon host token` on the server, then `kaon agent --join TOKEN` here"):
        await enrol.renew(beta.certificates)

    await beta.stop()
    await beta.join()
    await beta.start()
    await until(lambda: server.server.heard)


async def test_clocks_that_differ_are_named(server: Site, beta: Remote) -> None:
    assert server.remote is not None
    server.remote._lifetime = timedelta(hours=-1)
    with pytest.raises(JoinError, match=r"by the clock of host beta: set the clocks of both right"):
        await beta.join()
    error = ssl.SSLCertVerificationError("certificate is not yet valid")
    error.verify_code = 9
    assert "not yet valid by this host's clock" in explain(server.url, error)


async def test_a_host_that_is_removed_is_hung_up_on_refused_and_told_how_to_come_back(
    server: Site, beta: Remote
) -> None:
    token = server.token("beta")
    await beta.join(token)
    await beta.start()
    await until(lambda: server.server.reports)
    assert server.remote is not None
    watching = asyncio.create_task(server.remote.watch())
    try:
        membership.remove(server.folder, "beta")
        await beta.away("host beta has been removed")
    finally:
        watching.cancel()
    seq = server.server.put(bridge("secret"))
    assert "`kaon host token beta`" in await refusal(await beta.connect(), Hello("beta", "fake", "1"))
    with pytest.raises(JoinError, match="host beta has been removed"):
        await enrol.renew(beta.certificates)
    assert beta.bridges == set()
    assert ("beta", seq, ()) not in server.server.reports

    await beta.stop()
    (beta.certificates / "server.json").unlink()
    with pytest.raises(JoinError, match="does not know this join token"):
        await beta.join(token)
    await beta.join(server.token("beta"))
    await beta.start()
    await until(lambda: beta.bridges == {"secret"})


async def test_what_is_removed_must_be_there(server: Site) -> None:
    with pytest.raises(JoinError, match="`kaon host list`"):
        membership.remove(server.folder, "beta")
    with pytest.raises(JoinError, match="at most 64 letters"):
        membership.remove(server.folder, "../tokens")
