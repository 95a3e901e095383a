"""`kaon policy`: the rules in force, and why they allow or deny."""

from __future__ import annotations

import argparse
import json
from typing import Any

from kaon.cli.client import Client, ClientError, connected
from kaon.cli.options import add_settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "every rule in force: its name, its check and where it comes from"
    listing = actions.add_parser("list", help=summary, description=summary)
    add_settings(listing, ("data",))
    listing.add_argument("words", metavar="WORD", nargs="*", help="only rules whose names hold one of these")
    listing.add_argument("--json", action="store_true", help="print one JSON object a line")
    summary = "what somebody may do: which rule decides, where it comes from, and why"
    why = actions.add_parser("explain", help=summary, description=summary)
    add_settings(why, ("data",))
    why.add_argument("--as", dest="user", metavar="USER", required=True, help="id or name of the user")
    where = why.add_mutually_exclusive_group(required=True)
    where.add_argument("--project", metavar="PROJECT", help="id or name of the project of the user's token")
    where.add_argument("--system", action="store_true", help="the user has a token of the system")
    why.add_argument(
        "--target",
        metavar="ID|NAME=VALUE",
        action="append",
        default=[],
        help="on what: the id of what is there, or an attribute of what is to be made: network_id=…",
    )
    why.add_argument("--json", action="store_true", help="print one JSON object a rule")
    why.add_argument("rules", metavar="RULE", nargs="+", help="rules such as create_port:fixed_ips")


def run(arguments: argparse.Namespace) -> int:
    """Print rules, or explanations: exit status 0 if all of these are allowed, 2 if one is not."""
    with connected(arguments) as client:
        return listed(client, arguments) if arguments.action == "list" else explained(client, arguments)


def listed(client: Client, arguments: argparse.Namespace) -> int:
    """Print the rules in force."""
    for rule in client.get(f"{client.url}/kaon/v1/policy")["rules"]:
        if arguments.words and not any(word in rule["name"] for word in arguments.words):
            continue
        origin = "" if rule["origin"] == "built in" else f"   # {rule['origin']}"
        print(json.dumps(rule) if arguments.json else f'"{rule["name"]}": "{rule["check"]}"{origin}')
    return 0


def explained(client: Client, arguments: argparse.Namespace) -> int:
    """Print what the rules say of a user."""
    ids = [item for item in arguments.target if "=" not in item]
    if len(ids) > 1:
        raise ClientError(f"--target {ids[1]}: {ids[0]} is the target already; attributes are written NAME=VALUE")
    caller = who(client, arguments)
    body = {
        "caller": caller,
        "rules": arguments.rules,
        "resource": "".join(ids),
        "target": dict(item.split("=", 1) for item in arguments.target if item not in ids),
    }
    answer = client.post(f"{client.url}/kaon/v1/policy/explain", body)
    for item, target in zip(answer["explanations"], answer["targets"], strict=True):
        whole = {**item, "caller": caller, "target": target}
        print(json.dumps(whole) if arguments.json else told(whole))
    return 0 if all(item["allowed"] for item in answer["explanations"]) else 2


def who(client: Client, arguments: argparse.Namespace) -> dict[str, Any]:
    """A user in a project, with the roles that the identity service says it has there."""
    user = client.id_of("user", arguments.user)
    project = "" if arguments.system else client.id_of("project", arguments.project)
    scope = {"scope.system": "all"} if arguments.system else {"scope.project.id": project}
    url = f"{client.identity}/role_assignments"
    query = {"user.id": user, **scope, "effective": "true", "include_names": "true"}
    roles = {item["role"]["name"] for item in client.get(url, **query)["role_assignments"]}
    return {"user_id": user, "project_id": project, "system": arguments.system, "roles": sorted(roles)}


def told(item: dict[str, Any]) -> str:
    """One explanation for people."""
    caller = {
        "roles": ", ".join(item["caller"]["roles"]) or "none",
        "project_id": item["caller"]["project_id"] or "none",
    }
    lines = [
        f"{item['rule']}: {'allowed' if item['allowed'] else 'DENIED'}",
        f"  rule     {item['check']}   ({item['origin']})",
        f"  caller   {_words(caller)}",
        f"  target   {_words(item['target'])}",
    ]
    word = "because" if item["allowed"] or len(item["reasons"]) == 1 else "none of"
    for reason in item["reasons"]:
        through = "".join(f" → {name}" for name in reason["through"][1:])
        origin = f" ({reason['origin']})" if reason["through"][1:] else ""
        lines.append(f"  {word:<8} {reason['check']}{through and f'  by{through}'}{origin}: {reason['why']}")
        word = ""
    return "\n".join(lines)


def _words(values: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in values.items())
