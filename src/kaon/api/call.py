"""Requests on what is no collection of records, from their declarations."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from kaon.api import body as bodies
from kaon.api.http import Answer, Handler, read_body
from kaon.api.policy import Policy, credentials
from kaon.api.present import Presenter
from kaon.caller import Caller
from kaon.resources.declare import Ask, Call, named
from kaon.resources.live import Live
from kaon.store.engine import Store
from kaon.store.transaction import Transaction

_encode = msgspec.json.Encoder().encode


def handler(call: Call, store: Store, policy: Policy, live: Live) -> Handler:
    """Serve one declared call."""
    presenter = Presenter(named(call.lists), policy, live) if call.lists else None

    def run(tx: Transaction, ask: Ask) -> bytes:
        answer = call.run(tx, ask)
        if presenter is not None:
            heads = [[record[name] for name in presenter.head] for record in answer]
            rows = presenter.many(tx.conn, heads, tx.caller)
            return b'{"%s":[%s]}' % (named(call.lists).many.encode(), b",".join(rows))
        return b"" if call.status == 204 else _encode(answer)

    async def handle(request: Request, caller: Caller) -> Answer:
        raw = await read_body(request) if call.method in ("POST", "PUT") else b""
        ask = Ask(request.path_params, request.query_params.multi_items(), bodies.decode(raw) if raw else {})
        _demand_allowed(call, policy, ask, caller)
        if call.method == "GET" and not call.writes:
            answer = await store.read(lambda conn: run(Transaction(conn, caller), ask))
        else:
            answer = await store.write(lambda tx: run(tx, ask), caller)
        return Answer(call.status, answer)

    return handle


def _demand_allowed(call: Call, policy: Policy, ask: Ask, caller: Caller) -> None:
    project = ask.params.get("project_id", caller.project_id)
    if call.rule and not (call.own_free and project == caller.project_id):
        target: dict[str, Any] = {"project_id": project, "tenant_id": project}
        policy.demand(call.rule, target, credentials(caller))
