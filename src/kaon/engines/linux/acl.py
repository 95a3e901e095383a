"""Rows of tables acl_group and acl_port: no kernel object of their own, but what established connections must obey.

The packet filter judges the first packet of a connection; when policy changes, the connections of the ports concerned
are judged again here, after the new filter is in place, and what is no longer admitted is deleted. The setting
nf_conntrack_tcp_loose must be 0, or the middle of a cut stream would count as a new connection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kaon.engines.base import Failed, Operation
from kaon.engines.linux.admission import Policy
from kaon.engines.linux.connections import connections
from kaon.engines.linux.conntrack import delete
from kaon.engines.linux.namespaces import Namespaces
from kaon.rows import AclGroup, AclPort, Row, RowId

log = logging.getLogger("kaon.engines.linux")


class AclManager:
    """Rows of the acl tables. What is in force is known only to this process: a new one judges everything once."""

    tables = frozenset({AclGroup.table, AclPort.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._rows: dict[RowId, Row] = {}
        self._policy = Policy.of({}, {})
        self.writes = 0

    def read(self) -> list[Row]:
        """The policy in force."""
        return list(self._rows.values())

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Take the new policy and judge the connections that it may concern; what only widens it costs nothing."""
        ports: set[str] = set()
        groups: set[str] = set()
        members: set[str] = set()
        for operation in operations:
            (name,) = operation.id.key
            before = None if operation.old is None else operation.old.value
            after = None if operation.new is None else operation.new.value
            if operation.id.table == AclPort.table:
                assert after is None or isinstance(after, AclPort)
                self._policy.put_port(name, after)
                if isinstance(before, AclPort):
                    members |= _left(before, after)
                if after is not None and _may_lose(before, after):
                    ports.add(name)
                continue
            if not _widened(before, after):
                groups.add(name)
            self._policy.groups.pop(name, None)
            if isinstance(after, AclGroup):
                self._policy.groups[name] = after
        try:
            self._judge(self._policy.affected(ports, groups, members))
        except OSError as error:
            reason = f"connections cannot be judged again: {error.strerror or error}"
            known = [(operation.id, operation.new or operation.old) for operation in operations]
            return [Failed(row_id, item.origin if item else "", reason) for row_id, item in known]
        for operation in operations:
            if operation.new is None:
                self._rows.pop(operation.id, None)
            else:
                self._rows[operation.id] = operation.new
        return []

    def _judge(self, affected: set[str]) -> None:
        if not affected:
            return
        policy = self._policy
        here = self._namespaces.get("")
        gone = [
            item
            for item in connections(here, {policy.ports[port_id].zone for port_id in affected})
            if any(
                not affected.isdisjoint(policy.local_ports(item.family, item.zone, address))
                for address in (item.source, item.destination)
            )
            if not policy.admits(item)
        ]
        if gone:
            self.writes += delete(here, gone)
            log.info("connections cut", extra={"connections": len(gone), "zones": sorted({it.zone for it in gone})})


def arrives(operation: Operation) -> bool:
    """Whether a port comes to be judged on this host.

    It may have connections from before, in another life or without a filter; they are judged after the port is wired,
    so that its first packet need not wait for that.
    """
    if operation.id.table != AclPort.table or operation.new is None:
        return False
    before = None if operation.old is None else operation.old.value
    return _is_local(operation.new.value) and not _is_local(before)


def _is_local(value: object) -> bool:
    return isinstance(value, AclPort) and value.local


def _left(before: AclPort, after: AclPort | None) -> set[str]:
    """The groups that a port is no longer a member of, under one of its addresses at least.

    Who joins a group only widens what others admit; who leaves it or changes address narrows it.
    """
    if after is None or not set(before.addresses) <= set(after.addresses):
        return set(before.groups)
    return set(before.groups) - set(after.groups)


def _may_lose(before: object, after: AclPort) -> bool:
    """Whether connections of the port itself may have lost their ground."""
    if not isinstance(before, AclPort) or not before.local:
        return after.local
    return before.zone != after.zone or not set(before.groups) <= set(after.groups)


def _widened(before: object, after: object) -> bool:
    """Whether a group only gained rules, so that nothing that was admitted can have lost its ground."""
    return isinstance(before, AclGroup) and isinstance(after, AclGroup) and set(before.rules) <= set(after.rules)
