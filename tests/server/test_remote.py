"""What a peer from the network can do with and without a certificate: the certificate decides, not what it says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon import joining
from kaon.agent import enrol
from kaon.agent.servers import Streams, open_tls, server_context
from kaon.channel import Ack, Attach, Attachment, Heartbeat, Hello, Refusal, Snapshot, receive_from_server, send
from kaon.joining import Join
from kaon.server import authority
from tests.agent.cloud import until
from tests.agent.remote_cloud import Remote, Site, refusal, remote, said, site


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "server") as made:
        yield made


@pytest.fixture
async def beta(server: Site, tmp_path: Path) -> AsyncIterator[Remote]:
    async with remote(server, tmp_path / "beta") as made:
        await made.join()
        yield made


async def anonymous(server: Site) -> Streams:
    """A connection without a certificate."""
    return await open_tls(server.url, server_context(authority.open_authority(server.folder).pem))


def agents(server: Site) -> set[str]:
    assert server.server.channel is not None
    return set(server.server.channel.agents)


async def test_an_agent_speaks_for_the_host_of_its_certificate_and_for_no_other(server: Site, beta: Remote) -> None:
    reason = await refusal(await beta.connect(), Hello("alpha", "fake", "1"))
    assert "for host beta, so it cannot speak for alpha" in reason
    assert agents(server) == set()

    reader, writer = await beta.connect()
    await send(writer, Hello("beta", "fake", "1"))
    assert isinstance(await receive_from_server(reader), Snapshot)
    await send(writer, Ack(1))
    await until(lambda: server.server.reports == [("beta", 1, ())])
    writer.close()


async def test_an_agent_cannot_say_hello_again_as_another_host(server: Site, beta: Remote) -> None:
    reader, writer = await beta.connect()
    await send(writer, Hello("beta", "fake", "1"))
    assert isinstance(await receive_from_server(reader), Snapshot)
    await send(writer, Hello("alpha", "fake", "1"))
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert agents(server) == {"beta"}


@pytest.mark.parametrize("message", [Hello("beta", "fake", "1"), Hello("", "fake", "1")])
async def test_without_a_certificate_nobody_is_an_agent(server: Site, beta: Remote, message: Hello) -> None:
    assert "this takes a certificate" in await refusal(await anonymous(server), message)
    assert agents(server) == set()


@pytest.mark.parametrize("message", [Ack(1), Heartbeat(), Attach(1, Attachment(port_id="p", tap="t"))])
async def test_nothing_but_a_hello_begins_a_conversation(
    server: Site, beta: Remote, message: Ack | Heartbeat | Attach
) -> None:
    assert await said(await anonymous(server), message) is None
    assert await said(await beta.connect(), message) is None
    assert server.server.reports == []


async def test_without_a_token_there_is_no_certificate(server: Site, beta: Remote, tmp_path: Path) -> None:
    folder = tmp_path / "gamma"
    folder.mkdir()
    request = enrol._request(enrol._key(folder), "gamma")
    with pytest.raises(AssertionError, match="needs a join token"):
        answer = await joining.ask(*await anonymous(server), Join(request))
        assert not isinstance(answer, Refusal), answer.reason
    # One for another host is not to be had by a host's certificate, nor one for another key.
    for wanted in (request, enrol._request(enrol._key(folder), "beta")):
        answer = await joining.ask(*await beta.connect(), Join(wanted))
        assert isinstance(answer, Refusal)
    assert server.members == {"beta"}


async def test_a_signing_request_that_is_none_is_refused(server: Site) -> None:
    for text in ("", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"):
        answer = await joining.ask(*await anonymous(server), Join(text, server.token().secret))
        assert isinstance(answer, Refusal)
        assert "signing request cannot be read" in answer.reason
    assert server.members == set()


async def test_a_certificate_of_another_authority_is_worth_nothing(server: Site, tmp_path: Path) -> None:
    async with site(tmp_path / "other") as other, remote(other, tmp_path / "host") as host:
        await host.join()
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_tls(server.url, enrol._own_context(host.certificates))
        # Even by an agent that does not mind whom it speaks to.
        context = server_context(authority.open_authority(server.folder).pem)
        context.load_cert_chain(host.certificates / "certificate.pem", host.certificates / "key.pem")
        assert await said(await open_tls(server.url, context), Hello("beta", "fake", "1")) is None
    assert agents(server) == set()


async def test_a_host_cannot_be_taken_for_the_server(server: Site, beta: Remote) -> None:
    """Its certificate is from the same authority, even when its host is called like a server."""
    async with remote(server, beta.folder.parent / "mallory", joining.SERVER_NAME) as mallory:
        await mallory.join()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(mallory.certificates / "certificate.pem", mallory.certificates / "key.pem")
        trap = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with trap:
            host, port = trap.sockets[0].getsockname()
            with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
                await open_tls(f"tls://{host}:{port}", enrol._own_context(beta.certificates))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x02\x93\xc1", b"\x16\x03\x01" + b"\xff" * 500])
async def test_who_does_not_speak_tls_is_dropped_and_others_are_served(server: Site, beta: Remote, data: bytes) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(data)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()
    assert isinstance(await said(await beta.connect(), Hello("beta", "fake", "1")), Snapshot)


@pytest.mark.parametrize("data", [struct.pack("!I", 2**27), struct.pack("!I", 4) + b"\xc1\xc1\xc1\xc1"])
async def test_nonsense_inside_tls_is_dropped_before_it_takes_room(server: Site, beta: Remote, data: bytes) -> None:
    for streams in (await anonymous(server), await beta.connect()):
        streams[1].write(data)
        async with asyncio.timeout(5):
            assert await streams[0].read() == b""
        streams[1].close()
    assert isinstance(await said(await beta.connect(), Hello("beta", "fake", "1")), Snapshot)
