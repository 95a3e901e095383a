"""How fast the linux engine builds, reads and changes a host of many ports, in a network namespace of its own.

    python bench/engine_scale.py [ports]

Each port is a veth into a tenant's namespace and eight set elements. Prints milliseconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import sandbox

from kaon.converge.loop import Converger
from kaon.engines.linux.engine import LinuxEngine
from kaon.rows import Bridge, Chain, Element, Row, Rule, Set, Veth, row

SG = ("", "inet", "kaon")
TENANTS = 10


def port(number: int) -> list[Row]:
    """The rows of one port."""
    name, mac = f"kp{number}", f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    origin = f"port/{number:036d}"
    host = f"10.{number >> 8}.{number & 255}"
    tenant = f"t{number % TENANTS}"
    link = Veth(tenant, f"e{number}", mac, 1450, master=f"kb{number % TENANTS}", peer_owned=False)
    elements = [row(Element(), *SG, "allowed", f'"{name}" . {mac} . {host}.{n}', origin=origin) for n in range(6)]
    elements.append(row(Element(data=str(number)), *SG, "marks", f'"{name}"', origin=origin))
    elements.append(row(Element(), *SG, "members", f"{host}.1", origin=origin))
    return [row(link, "", name, origin=origin), *elements]


def rows(ports: int) -> list[Row]:
    """The rows of a host."""
    shared = [
        row(Set("ifname . ether_addr . ipv4_addr"), *SG, "allowed"),
        row(Set("ifname", "mark"), *SG, "marks"),
        row(Set("ipv4_addr"), *SG, "members"),
        row(Set("ipv4_addr", flags=("interval",)), *SG, "prefixes"),
        row(Chain("type filter hook forward priority 0;", (Rule("ip saddr @members accept"),)), *SG, "forward"),
        *(row(Bridge(1450), "", f"kb{n}") for n in range(TENANTS)),
    ]
    return shared + [item for number in range(ports) for item in port(number)]


def timed(what: str, started: float, note: str = "") -> float:
    """Print a line and return the time."""
    print(f"{what:44} {1000 * (time.perf_counter() - started):10.2f} ms  {note}")
    return time.perf_counter()


def main() -> None:
    """Build, read, restart, change and remove."""
    ports = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sandbox.enter()
    for number in range(TENANTS):
        sandbox.make_namespace(f"t{number}")
    desired = rows(ports)
    engine = LinuxEngine()
    converger = Converger(engine, audit_seconds=3600)
    now = time.perf_counter()
    converger.take_snapshot(1, desired)
    report = converger.converge()
    assert not report.failed, report.failed[:3]
    now = timed(f"build {ports} ports, {len(desired)} rows", now, f"{engine.writes} writes")
    converger.converge()
    now = timed("pass that takes in the build's own notices", now)
    engine.read()
    now = timed("read everything", now)
    fresh = LinuxEngine()
    restarted = Converger(fresh, audit_seconds=3600)
    restarted.take_snapshot(1, desired)
    restarted.converge()
    timed("restart: read and compare", now, f"{fresh.writes} writes")
    fresh.close()
    for what, changed in (
        ("add one set element", [row(Element(), *SG, "allowed", '"kp1" . 02:00:00:00:00:01 . 10.200.0.1')]),
        ("add one prefix to an interval set", [row(Element(), *SG, "prefixes", "10.200.0.0/16")]),
        ("add one port", port(ports)),
        ("change a chain", [row(Chain("type filter hook forward priority 0;", (Rule("accept"),)), *SG, "forward")]),
    ):
        now = time.perf_counter()
        converger.take_delta(2, changed)
        report = converger.converge()
        assert not report.failed, report.failed
        now = timed(what, now)
        converger.converge()
        timed("  and the pass after it", now)
    now = time.perf_counter()
    converger.take_delta(3, delete=[item.id for item in port(1)])
    assert not converger.converge().failed
    now = timed("remove one port", now)
    converger.take_snapshot(4, [])
    converger.converge()
    timed("remove everything", now)
    engine.close()


if __name__ == "__main__":
    main()
