"""Which changes of policy have connections judged again: those that can have taken something away."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from kaon.engines.base import Operation
from kaon.engines.linux import acl
from kaon.engines.linux.acl import AclManager, arrives
from kaon.engines.linux.conntrack import Connection
from kaon.engines.linux.namespaces import Namespaces
from kaon.rows import AclGroup, AclPort, AclRule, Row, Value, row

WEB = AclRule("web", "ingress", 4, 6, 80, 80)
FROM_FRIENDS = AclRule("friends", "ingress", 4, remote_group="friends")
SERVER = AclPort(7, ("10.0.0.5/32",), ("servers",))
FRIEND = AclPort(8, ("10.1.0.9/32",), ("friends",), local=False)


class Judge:
    """An AclManager whose connection table is empty; `looked` holds the zones of each look at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked: list[Collection[int]] = []
        self.namespaces = Namespaces()
        self.manager = AclManager(self.namespaces)
        self._rows: dict[str, Row] = {}
        monkeypatch.setattr(acl, "connections", self._connections)

    def _connections(self, _: object, zones: Collection[int]) -> Iterator[Connection]:
        self.looked.append(set(zones))
        return iter(())

    def change(self, **values: Value | None) -> list[Collection[int]]:
        """Change rows together; the looks that it took."""
        self.looked.clear()
        assert self.manager.apply([self.operation(name, value) for name, value in values.items()]) == []
        return list(self.looked)

    def operation(self, name: str, value: Value | None) -> Operation:
        """From what the row is to `value`, which it is from now on."""
        old = self._rows.pop(name, None)
        new = None if value is None else row(value, name)
        if new is not None:
            self._rows[name] = new
        known = new or old
        assert known is not None
        return Operation(known.id, old, new)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A server whose group admits web and friends, a friend elsewhere; all of it judged already."""
    made = Judge(monkeypatch)
    groups = {"servers": AclGroup((WEB, FROM_FRIENDS)), "friends": AclGroup(())}
    assert made.change(**groups, server=SERVER, friend=FRIEND) == [{7}], "what a new process finds, it judges once"
    yield made
    made.namespaces.close()


def test_what_widens_policy_takes_no_look(judge: Judge) -> None:
    assert judge.change(servers=AclGroup((WEB, FROM_FRIENDS, AclRule("ssh", "ingress", 4, 6, 22, 22)))) == []
    assert judge.change(other=AclPort(8, ("10.1.0.10/32",), ("friends",), local=False)) == [], "a friend more"
    assert judge.change(friend=AclPort(8, ("10.1.0.9/32", "10.1.0.11/32"), ("friends",), local=False)) == []
    assert judge.change(server=AclPort(7, ("10.0.0.5/32",), ("servers", "friends"))) == [], "a group more"


def test_what_narrows_it_takes_one_look_at_the_zones_concerned(judge: Judge) -> None:
    assert judge.change(friend=AclPort(8, ("10.1.0.10/32",), ("friends",), local=False)) == [{7}], "another address"
    assert judge.change(friend=None) == [{7}]
    assert judge.change(servers=AclGroup((WEB,))) == [{7}]
    assert judge.change(server=AclPort(7, ("10.0.0.5/32",), ("friends",))) == [{7}], "other groups"
    assert judge.change(second=AclPort(9, ("10.2.0.1/32",), ("friends",)), friends=None) == [{7, 9}], "one look for all"


def test_a_member_that_is_attached_here_stays_a_member_but_is_judged_itself(judge: Judge) -> None:
    attached = AclPort(8, ("10.1.0.9/32", "fe80::9/128"), ("friends",))
    operation = judge.operation("friend", attached)
    assert arrives(operation)
    judge.looked.clear()
    assert judge.manager.apply([operation]) == []
    assert judge.looked == [{8}], "its own zone only: nobody has lost a friend"
    assert not arrives(judge.operation("friend", AclPort(8, ("10.1.0.9/32",), ())))


def test_a_look_that_failed_is_owed(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Iterator[Connection]:
        raise OSError(1, "Operation not permitted")

    narrower = judge.operation("servers", AclGroup((WEB,)))
    with monkeypatch.context() as patch:
        patch.setattr(acl, "connections", refused)
        (failure,) = judge.manager.apply([narrower])
    assert "cannot be judged" in failure.reason
    judge.looked.clear()
    assert judge.manager.apply([narrower]) == []
    assert judge.looked == [{7}], "the converger tries again, and then it is looked at"
