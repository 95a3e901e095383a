"""Rows of table rate_limit: a token bucket on a link, or on a device through which all that comes in by it goes.

What leaves by a link waits in its own queue. What comes in by it has none: a filter sends it through an intermediate
device (ifb), whose queue it waits in, and which gives it back as though nothing had been. The device's alias names
the link that it belongs to, so that one is found again without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kaon.engines.base import Failed, Operation
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl
from kaon.engines.linux import traffic_control as tc
from kaon.engines.linux.link import Link
from kaon.engines.linux.namespaces import MissingNamespaceError, Namespace, Namespaces
from kaon.engines.linux.traffic_control import Bucket
from kaon.rows import RateLimit, Row, row

KIND = "ifb"
_NOTHING = Bucket(0, 0, 0)
"""What stands for a limit of which a part is missing: no desired row is equal to it."""
_GONE = (2, 19, 22)


class RateLimitManager:
    """Rows of table rate_limit."""

    tables = frozenset({RateLimit.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._limited: set[tuple[str, str]] = set()
        self.writes = 0

    def canonical(self, item: Row) -> Row:
        """The row with the burst that the kernel will tell back."""
        value = item.value
        assert isinstance(value, RateLimit)
        burst = tc.whole_burst(value.rate, value.burst)
        if burst == value.burst:
            return item
        return Row(item.id, RateLimit(value.rate, burst, value.queue, value.via), item.origin)

    def concerns(self, netns: str, name: str) -> bool:
        """Whether a link of that name is known to have a limit, which one made anew under the name has not."""
        return (netns, name) in self._limited

    # ------------------------------------------------------------ reading

    def read(self) -> list[Row]:
        """The limits in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """The limits in one namespace; none when it does not exist."""
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            return []
        buckets = dict(tc.dump_buckets(namespace))
        links = ln.dump(namespace)
        rows = []
        for link in links.values():
            if link.kind == KIND and link.ours:
                rows.append(self._ingress(namespace, link, links, buckets))
            elif link.number in buckets:
                value = RateLimit(*buckets[link.number])
                rows.append(row(value, netns, link.name, "egress", origin=link.words[0] if link.ours else ""))
        self._limited = {known for known in self._limited if known[0] != netns}
        self._limited |= {(netns, item.id.key[1]) for item in rows}
        return rows

    def _ingress(self, namespace: Namespace, ifb: Link, links: dict[str, Link], buckets: dict[int, Bucket]) -> Row:
        origin, dev = (*ifb.words, "")[:2]
        link = links.get(dev)
        whole = link is not None and ifb.up and tc.detour(namespace, link.number) == ifb.number
        value = RateLimit(*(buckets.get(ifb.number, _NOTHING) if whole else _NOTHING), via=ifb.name)
        return row(value, namespace.name, dev, "ingress", origin=origin)

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then make and change."""
        failed = []
        for operation in sorted(operations, key=lambda operation: operation.new is not None):
            try:
                self._apply(operation)
            except OSError as error:
                known = operation.new or operation.old
                _, dev, direction = operation.id.key
                reason = f"rate limit of {dev}, {direction}: {error.strerror or error}{_advice(error)}"
                failed.append(Failed(operation.id, known.origin if known else "", reason))
        return failed

    def _apply(self, operation: Operation) -> None:
        netns, dev, direction = operation.id.key
        old = None if operation.old is None else operation.old.value
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            if operation.new is None:
                return
            raise
        if operation.new is None:
            self._limited.discard((netns, dev))
            self._remove(namespace, dev, direction, old.via if isinstance(old, RateLimit) else "")
            return
        value = operation.new.value
        assert isinstance(value, RateLimit)
        self._limited.add((netns, dev))
        if isinstance(old, RateLimit) and old.via != value.via:
            self._remove(namespace, dev, direction, old.via)
        index = ln.index_of(namespace, dev)
        bucket = Bucket(value.rate, tc.whole_burst(value.rate, value.burst), value.queue)
        if direction == "egress":
            self._send(namespace, tc.put_bucket(index, bucket))
            return
        ifb = self._ifb(namespace, value.via, f"{ln.MARK}{operation.new.origin.replace(' ', '_')} {dev}")
        self._send(namespace, tc.put_bucket(ifb, bucket), tc.put_hooks(index))
        if tc.detour(namespace, index) != ifb:
            self._send(namespace, tc.put_detour(index, ifb))

    def _ifb(self, namespace: Namespace, name: str, alias: str) -> int:
        found = ln.find(namespace, name)
        if found is not None and not (found.ours and found.kind == KIND):
            raise OSError(17, f"there is an interface {name} that is not Kaon's: rename or remove it")
        if found is None:
            self._send(namespace, tc.create_ifb(name))
        self._send(namespace, ln.settle(name, alias), ln.bring_up(name))
        return ln.index_of(namespace, name)

    def _remove(self, namespace: Namespace, dev: str, direction: str, via: str) -> None:
        link = ln.find(namespace, dev)
        if link is not None and direction == "egress":
            self._send(namespace, tc.delete_bucket(link.number), missing_is_fine=True)
        elif link is not None:
            self._send(namespace, tc.delete_detour(link.number), missing_is_fine=True)
            if not tc.filtered(namespace, link.number):
                self._send(namespace, tc.delete_hooks(link.number), missing_is_fine=True)
        ifb = ln.find(namespace, via) if via else None
        if ifb is not None and ifb.ours:
            self._send(namespace, ln.delete(via), missing_is_fine=True)

    def _send(self, namespace: Namespace, *requests: ln.Request, missing_is_fine: bool = False) -> None:
        self.writes += 1
        for error in namespace.route.requests(requests):
            if error is not None and not (missing_is_fine and error.errno in _GONE):
                raise error


def _advice(error: OSError) -> str:
    """What an administrator can do where the kernel does not know what was asked for."""
    if isinstance(error, nl.NetlinkError) and error.errno in (2, 95):
        return "; the kernel needs sch_tbf, sch_ingress, cls_bpf, act_mirred and ifb"
    return ""
