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
from kaon.engines.linux.conntrack import connections, delete
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
        """Take the new policy and judge the connections that it may concern."""
        ports: set[str] = set()
        groups: set[str] = set()
        members: set[str] = set()
        for operation in operations:
            (name,) = operation.id.key
            before = self._rows.pop(operation.id, None)
            if operation.new is not None:
                self._rows[operation.id] = operation.new
            value = None if operation.new is None else operation.new.value
            if operation.id.table == AclPort.table:
                assert value is None or isinstance(value, AclPort)
                self._policy.put_port(name, value)
                ports.add(name)
                if before is not None and isinstance(before.value, AclPort):
                    # Who joins a group only widens what others admit; who leaves it or changes address narrows it.
                    members.update(before.value.groups)
                continue
            if not _widened(before, operation.new):
                groups.add(name)
            self._policy.groups.pop(name, None)
            if isinstance(value, AclGroup):
                self._policy.groups[name] = value
        try:
            self._judge(self._policy.affected(ports, groups, members))
        except OSError as error:
            reason = f"connections cannot be judged again: {error.strerror or error}"
            known = [(operation.id, operation.new or operation.old) for operation in operations]
            return [Failed(row_id, item.origin if item else "", reason) for row_id, item in known]
        return []

    def _judge(self, affected: set[str]) -> None:
        policy = self._policy
        here = self._namespaces.get("")
        for zone in {policy.ports[port_id].zone for port_id in affected}:
            gone = [
                item
                for item in connections(here, zone)
                if any(
                    not affected.isdisjoint(policy.local_ports(item.family, zone, address))
                    for address in (item.source, item.destination)
                )
                if not policy.admits(item)
            ]
            if gone:
                self.writes += delete(here, gone)
                log.info("connections cut", extra={"zone": zone, "connections": len(gone)})


def _widened(before: Row | None, after: Row | None) -> bool:
    """Whether a group only gained rules, so that nothing that was admitted can have lost its ground."""
    if before is None or after is None:
        return False
    old, new = before.value, after.value
    return isinstance(old, AclGroup) and isinstance(new, AclGroup) and set(old.rules) <= set(new.rules)
