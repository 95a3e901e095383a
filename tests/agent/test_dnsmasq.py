"""DHCP and DNS by dnsmasq, asked by real clients; the daemon is restarted and reloaded only when it must be."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaon import privileges
from kaon.agent.composed import ComposedEngine
from kaon.converge.loop import Converger
from kaon.engines.base import Operation, Scope
from kaon.engines.fake.engine import FakeEngine
from kaon.engines.linux.dnsmasq import DnsmasqManager
from kaon.rows import DhcpHost, DhcpServer, Row, RowId, row
from tests import dhcp, sandbox
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVER, CLIENT = "kaon-net-t", "vm-t"
MAC, OTHER_MAC = "fa:16:3e:00:00:05", "fa:16:3e:00:00:06"
OPTIONS = (
    "interface=dhcp",
    "except-interface=lo",
    "bind-dynamic",
    "domain=cloud.test",
    "local=/cloud.test/",
    "dhcp-range=set:subnet-a,10.0.0.0,static,255.255.255.0,86400s",
    "dhcp-option=tag:subnet-a,option:router,10.0.0.1",
    "dhcp-option=tag:subnet-a,option:mtu,1450",
    "dhcp-range=set:subnet-b,fd00::,static,64,86400s",
    "dhcp-option=tag:subnet-b,option6:dns-server,[fd00::2]",
)


def server(*more: str) -> Row:
    return row(DhcpServer((*OPTIONS, *more)), SERVER, origin="network/t")


def host(port: str, mac: str, *addresses: str, name: str = "", options: tuple[str, ...] = ()) -> Row:
    names = (name, f"{name}.cloud.test") if name else ()
    return row(DhcpHost(mac, addresses, names, options), SERVER, port, origin=f"port/{port}")


def put(*rows: Row) -> list[Operation]:
    return [Operation(item.id, None, item) for item in rows]


def gone(*rows: Row) -> list[Operation]:
    return [Operation(item.id, item, None) for item in rows]


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dnsmasq"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[[], DnsmasqManager]]:
    """Managers as an agent makes one at each of its starts, on a link between a server's namespace and a client's."""
    made: list[DnsmasqManager] = []

    def start() -> DnsmasqManager:
        while made:
            made.pop().close()
        made.append(DnsmasqManager(folder))
        return made[0]

    with sandbox.namespace(SERVER, CLIENT):
        _ip(f"-n {SERVER} link add dhcp type veth peer name eth0 netns {CLIENT}")
        _ip(f"-n {SERVER} addr add 10.0.0.2/24 dev dhcp")
        _ip(f"-n {SERVER} addr add fd00::2/64 dev dhcp nodad")
        _ip(f"-n {SERVER} link set dhcp up")
        _ip(f"-n {CLIENT} link set eth0 address {MAC} up")
        try:
            yield start
        finally:
            for manager in made:
                manager.close()
            for pid in ours(folder):
                os.kill(pid, signal.SIGKILL)


def ours(folder: Path) -> list[int]:
    return [pid for pid, argument in dhcp.command_lines().items() if str(folder) in argument]


def use_mac(mac: str) -> None:
    _ip(f"-n {CLIENT} link set eth0 down")
    _ip(f"-n {CLIENT} link set eth0 address {mac}")
    _ip(f"-n {CLIENT} link set eth0 up")


def test_a_port_gets_its_address_and_options_and_an_unknown_one_nothing(
    make: Callable[[], DnsmasqManager], tmp_path: Path
) -> None:
    manager = make()
    known = host("p1", MAC, "10.0.0.5", name="web", options=("option:mtu,1300",))
    assert manager.apply(put(server(), known)) == []
    lease = dhcp.udhcpc(CLIENT, "eth0", tmp_path)
    assert lease is not None
    # The port's own option wins over the network's.
    told = [lease[name] for name in ("ip", "router", "mtu", "domain", "hostname")]
    assert told == ["10.0.0.5", "10.0.0.1", "1300", "cloud.test", "web"]

    use_mac(OTHER_MAC)
    assert dhcp.udhcpc(CLIENT, "eth0", tmp_path) is None


def test_a_port_gets_its_ipv6_address_from_the_same_daemon(make: Callable[[], DnsmasqManager], tmp_path: Path) -> None:
    manager = make()
    assert manager.apply(put(server(), host("p1", MAC, "10.0.0.5", "fd00::5", name="web"))) == []
    lease = dhcp.dhclient6(CLIENT, "eth0", tmp_path)
    assert lease is not None
    assert (lease["new_ip6_address"], lease["new_dhcp6_name_servers"]) == ("fd00::5", "fd00::2")


def test_names_resolve_as_soon_as_a_port_is_known_and_no_longer(make: Callable[[], DnsmasqManager]) -> None:
    manager = make()
    web = host("p1", MAC, "10.0.0.5", "fd00::5", name="web")
    manager.apply(put(server(), web))
    _ip(f"-n {CLIENT} addr add 10.0.0.9/24 dev eth0")
    assert dhcp.resolve(CLIENT, "10.0.0.2", "web.cloud.test") == "10.0.0.5"
    assert dhcp.resolve(CLIENT, "10.0.0.2", "web.cloud.test", 28) == "fd00::5"
    assert dhcp.resolve(CLIENT, "10.0.0.2", "db.cloud.test") is None

    manager.apply(put(host("p2", OTHER_MAC, "10.0.0.6", name="db")) + gone(web))
    until(lambda: dhcp.resolve(CLIENT, "10.0.0.2", "db.cloud.test") == "10.0.0.6")
    assert dhcp.resolve(CLIENT, "10.0.0.2", "web.cloud.test") is None


def test_hosts_reload_the_daemon_once_a_pass_and_options_restart_it(
    make: Callable[[], DnsmasqManager], folder: Path
) -> None:
    manager = make()
    manager.apply(put(server()))
    (pid,) = ours(folder)
    manager.apply(put(*(host(f"p{n}", f"fa:16:3e:00:01:{n:02x}", f"10.0.0.{n}") for n in range(10, 60))))
    assert (manager.restarts, manager.reloads, ours(folder)) == (1, 1, [pid])

    manager.apply(put(server("dhcp-option=option:ntp-server,10.0.0.3")))
    assert (manager.restarts, manager.reloads) == (2, 1)
    assert ours(folder) != [pid]


def test_a_daemon_that_served_a_port_survives_news_of_others(
    make: Callable[[], DnsmasqManager], folder: Path, tmp_path: Path
) -> None:
    manager = make()
    manager.apply(put(server(), host("p1", MAC, "10.0.0.5", "fd00::5", options=("option:mtu,1300",))))
    (pid,) = ours(folder)
    assert dhcp.udhcpc(CLIENT, "eth0", tmp_path) is not None
    assert dhcp.dhclient6(CLIENT, "eth0", tmp_path) is not None
    manager.apply(put(host("p2", OTHER_MAC, "10.0.0.6", name="db")))
    _ip(f"-n {CLIENT} addr add 10.0.0.9/24 dev eth0")
    until(lambda: dhcp.resolve(CLIENT, "10.0.0.2", "db.cloud.test") == "10.0.0.6")
    assert ours(folder) == [pid]
    assert manager.changes() == ([], set())


def test_an_address_that_passes_to_another_port_is_not_refused_for_an_old_lease(
    make: Callable[[], DnsmasqManager], tmp_path: Path
) -> None:
    manager = make()
    first = host("p1", MAC, "10.0.0.5", "fd00::5")
    manager.apply(put(server(), first))
    assert dhcp.udhcpc(CLIENT, "eth0", tmp_path) is not None
    assert dhcp.dhclient6(CLIENT, "eth0", tmp_path) is not None

    manager.apply(gone(first))
    assert (manager.restarts, manager.reloads) == (1, 1)
    manager.apply(put(host("p2", OTHER_MAC, "10.0.0.5", "fd00::5")))
    use_mac(OTHER_MAC)
    (tmp_path / "leases6").unlink(missing_ok=True)
    lease, lease6 = dhcp.udhcpc(CLIENT, "eth0", tmp_path), dhcp.dhclient6(CLIENT, "eth0", tmp_path)
    assert lease is not None
    assert lease["ip"] == "10.0.0.5"
    assert lease6 is not None
    assert lease6["new_ip6_address"] == "fd00::5"


def test_a_client_that_comes_back_as_someone_else_keeps_its_address(
    make: Callable[[], DnsmasqManager], tmp_path: Path
) -> None:
    make().apply(put(server(), host("p1", MAC, "10.0.0.5")))
    for client_id in ("0x3d:01aabbccddeeff", "0x3d:0102030405"):
        lease = dhcp.udhcpc(CLIENT, "eth0", tmp_path, "-C", "-x", client_id)
        assert lease is not None
        assert lease["ip"] == "10.0.0.5"


LEASELESS = ("interface=dhcp", "bind-dynamic", "dhcp-range=set:subnet-c,fd00::,static,64,86400s")


def test_another_system_on_the_same_instance_gets_the_same_ipv6_address(
    make: Callable[[], DnsmasqManager], folder: Path, tmp_path: Path
) -> None:
    manager = make()
    both = row(DhcpServer(OPTIONS[:-2], LEASELESS), SERVER, origin="network/t")
    manager.apply(put(both, host("p1", MAC, "10.0.0.5", "fd00::5")))
    assert len(ours(folder)) == 2
    for kind in ("LL", "LLT", "LL"):
        (tmp_path / "leases6").unlink(missing_ok=True)
        lease = dhcp.dhclient6(CLIENT, "eth0", tmp_path, duid=kind)
        assert lease is not None, kind
        assert lease["new_ip6_address"] == "fd00::5"
    manager.apply(gone(both, host("p1", MAC, "10.0.0.5", "fd00::5")))
    assert ours(folder) == []


def test_either_of_two_daemons_that_ends_is_started_again(make: Callable[[], DnsmasqManager], folder: Path) -> None:
    both = row(DhcpServer(OPTIONS[:-2], LEASELESS), SERVER, origin="network/t")
    for victim in (0, 1):
        manager = make()
        manager.apply(put(both))
        assert list(manager.read()) == [both]
        pids = sorted(ours(folder))
        os.kill(pids[victim], signal.SIGKILL)
        until(lambda manager=manager: manager.changes()[0])  # type: ignore[misc]
        assert list(manager.read()) == []
        manager.apply(put(both))
        assert len(ours(folder)) == 2
        assert list(manager.read()) == [both]


def test_a_daemon_survives_the_manager_and_is_adopted_without_a_change(
    make: Callable[[], DnsmasqManager], folder: Path, tmp_path: Path
) -> None:
    rows = [server(), host("p1", MAC, "10.0.0.5", name="web")]
    make().apply(put(*rows))
    pids = ours(folder)
    again = make()
    assert sorted(again.read()) == sorted(rows)
    assert (again.writes, again.restarts, again.reloads, ours(folder)) == (0, 0, 0, pids)
    again.apply(put(host("p2", OTHER_MAC, "10.0.0.6")))
    assert (again.restarts, again.reloads, ours(folder)) == (0, 1, pids)
    assert dhcp.udhcpc(CLIENT, "eth0", tmp_path) is not None


def test_a_daemon_that_is_killed_is_started_again_at_once(
    make: Callable[[], DnsmasqManager], folder: Path, tmp_path: Path
) -> None:
    engine = ComposedEngine(FakeEngine(tables=()), [make()])
    converger = Converger(engine)
    converger.take_snapshot(1, [server(), host("p1", MAC, "10.0.0.5")])
    assert converger.converge().applied == 2
    (pid,) = ours(folder)
    os.kill(pid, signal.SIGKILL)
    until(lambda: converger.converge().repaired == 1, 2)
    assert ours(folder) not in ([], [pid])
    assert dhcp.udhcpc(CLIENT, "eth0", tmp_path) is not None


def test_files_changed_by_hand_are_damage(make: Callable[[], DnsmasqManager], folder: Path) -> None:
    manager = make()
    rows = [server(), host("p1", MAC, "10.0.0.5")]
    manager.apply(put(*rows))
    (folder / SERVER / "hosts").write_text("")
    assert list(manager.read()) == [rows[0]]
    manager.apply(put(rows[1]))
    assert sorted(manager.read()) == sorted(rows)

    shutil.rmtree(folder / SERVER)
    assert list(manager.read()) == []
    manager.apply(put(*rows))
    assert sorted(manager.read()) == sorted(rows)
    assert len(ours(folder)) == 1


def test_a_namespace_made_anew_gets_a_daemon_of_its_own(make: Callable[[], DnsmasqManager], folder: Path) -> None:
    manager = make()
    manager.apply(put(server()))
    sandbox.remove_namespace(SERVER)
    assert list(manager.read([Scope(DhcpServer.table, SERVER)])) == []
    (failed,) = manager.apply(put(server()))
    assert f"there is no network namespace {SERVER}" in failed.reason
    assert failed.origin == "network/t"

    sandbox.make_namespace(SERVER)
    _ip(f"-n {SERVER} link add dhcp type veth peer name eth1 netns {CLIENT}")
    assert manager.apply(put(server())) == []
    assert list(manager.read()) == [server()]
    assert len(ours(folder)) == 1


def test_removed_rows_leave_nothing_behind(make: Callable[[], DnsmasqManager], folder: Path) -> None:
    manager = make()
    rows = [server(), host("p1", MAC, "10.0.0.5")]
    manager.apply(put(*rows))
    manager.apply(gone(*rows))
    assert ours(folder) == []
    assert list(folder.iterdir()) == []
    assert list(manager.read()) == []


@pytest.mark.parametrize(
    "bad",
    [
        host("p1", MAC, "10.0.0.5", options=("option:mtu,1300\ndhcp-script=/bin/sh",)),
        host("p1", f"{MAC},set:other", "10.0.0.5"),
        row(DhcpHost(MAC, ("10.0.0.5",), ("web\n10.0.0.1 evil",)), SERVER, "p1"),
    ],
)
def test_nothing_can_be_smuggled_into_the_configuration(make: Callable[[], DnsmasqManager], bad: Row) -> None:
    manager = make()
    good = host("p2", OTHER_MAC, "10.0.0.6")
    (failed,) = manager.apply(put(server(), good, bad))
    assert failed.id == RowId(DhcpHost.table, (SERVER, "p1"))
    assert sorted(manager.read()) == sorted([server(), good])


@pytest.mark.parametrize("line", ["dhcp-script=/bin/sh", "conf-file=/etc/shadow", "no-such-option=1"])
def test_a_server_cannot_be_told_to_run_or_read_anything(make: Callable[[], DnsmasqManager], line: str) -> None:
    manager = make()
    (failed,) = manager.apply(put(server(line)))
    assert line in failed.reason
    assert manager.apply(put(server())) == []


def test_an_option_that_dnsmasq_does_not_understand_is_told_in_its_words(
    make: Callable[[], DnsmasqManager],
) -> None:
    manager = make()
    (failed,) = manager.apply(put(server("dhcp-range=nonsense")))
    assert "bad dhcp-range" in failed.reason
    assert manager.apply(put(server())) == []


def test_what_hears_from_tenants_is_not_root(make: Callable[[], DnsmasqManager], tmp_path: Path) -> None:
    user = privileges.service_user(privileges.DHCP_USERS)
    with tempfile.TemporaryDirectory(prefix="kaon-dnsmasq-") as place:
        # The daemon's user must be able to enter, which it may not at pytest's own folders.
        Path(place).chmod(0o755)
        folder = Path(place) / "dnsmasq"
        manager = DnsmasqManager(folder, user)
        try:
            assert manager.apply(put(server(), host("p1", MAC, "10.0.0.5"))) == []
            assert manager.apply(put(host("p2", OTHER_MAC, "10.0.0.6"))) == []
            for mac, address in ((MAC, "10.0.0.5"), (OTHER_MAC, "10.0.0.6")):
                use_mac(mac)
                lease = dhcp.udhcpc(CLIENT, "eth0", tmp_path)
                assert lease is not None
                assert lease["ip"] == address
            (state,) = {Path(f"/proc/{pid}/status").read_text() for pid in ours(folder)}
            if user:
                assert "0" not in re.search(r"Uid:\t(.*)", state).group(1).split()
                assert not any(entry.stat().st_mode & 0o007 for entry in folder.iterdir())
                assert {entry.stat().st_uid for entry in folder.iterdir()} == {os.geteuid()}
        finally:
            manager.apply(gone(server(), host("p1", MAC, "10.0.0.5"), host("p2", OTHER_MAC, "10.0.0.6")))
            manager.close()


def test_a_daemon_that_ended_unseen_does_not_come_back_when_its_ports_go(
    make: Callable[[], DnsmasqManager], folder: Path
) -> None:
    manager = make()
    known = host("p1", MAC, "10.0.0.5")
    assert manager.apply(put(server(), known)) == []
    manager.close()
    for pid in ours(folder):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not ours(folder), what="the daemon has ended")
    later = make()
    assert [item.id for item in later.read()] == [known.id]
    assert later.apply(gone(known)) == []
    assert ours(folder) == []
    assert list(folder.iterdir()) == []


def test_a_data_folder_that_was_moved_leaves_no_daemon_behind(
    make: Callable[[], DnsmasqManager], folder: Path, tmp_path: Path
) -> None:
    manager = make()
    known = host("p1", MAC, "10.0.0.5")
    assert manager.apply(put(server(), known)) == []
    (old,) = ours(folder)
    elsewhere = tmp_path / "restored" / "dnsmasq"
    shutil.copytree(folder, elsewhere)
    restored = DnsmasqManager(elsewhere)
    try:
        assert not Path(f"/proc/{old}/cmdline").exists() or not Path(f"/proc/{old}/cmdline").read_bytes()
        assert server().id not in {item.id for item in restored.read()}
        assert restored.apply(put(server(), known)) == []
        assert len(ours(elsewhere)) == 1
    finally:
        restored.apply(gone(server(), known))
        restored.close()
