"""What the kernel holds, read by other tools than Kaon's own, so that the demo does not believe Kaon's word for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from kaon.demo import instance


def _run(netns: str, *words: str) -> str:
    if netns:
        return instance.command(netns, *words).stdout
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _namespaces() -> list[str]:
    """The agent's own namespace and those that Kaon made."""
    return ["", *sorted(path.name for path in Path("/run/netns").iterdir() if path.name.startswith("kaon-"))]


def objects() -> list[str]:
    """Every link, address, route and nftables object with its index or handle: equal only if nothing was touched.

    What the kernel does by the clock is left out: routes that expire, and the end of duplicate address detection.
    """
    lines: list[str] = []
    for netns in _namespaces():
        for words in (
            ("ip", "-o", "link"),
            ("ip", "-o", "addr"),
            ("ip", "route"),
            ("ip", "-6", "route"),
            ("nft", "-a", "-n", "list", "ruleset"),
        ):
            shown = _run(netns, *words).replace(" tentative ", " ").splitlines()
            lines += [f"{netns} {line.strip()}" for line in shown if "expires" not in line]
    return sorted(lines)


def shape() -> list[str]:
    """The same without indexes and handles: equal when everything is as it was, even if it was made again."""
    lines: list[str] = []
    for netns in _namespaces():
        for link in json.loads(_run(netns, "ip", "-j", "link")):
            kept = {key: link.get(key) for key in ("ifname", "mtu", "master", "operstate")}
            lines.append(f"{netns} link {json.dumps(kept, sort_keys=True)}")
        lines += [f"{netns} route {line.strip()}" for line in _run(netns, "ip", "route").splitlines()]
        for entry in json.loads(_run(netns, "nft", "-j", "-n", "list", "ruleset"))["nftables"]:
            lines += [f"{netns} nft {line}" for line in _nft_lines(entry)]
    return sorted(lines)


def _nft_lines(entry: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for kind, body in entry.items():
        if kind == "metainfo":
            continue
        elements = body.pop("elem", []) if kind in ("set", "map") else []
        body.pop("handle", None)
        name = json.dumps({kind: body}, sort_keys=True)
        lines += [name, *(f"{name} {json.dumps(element, sort_keys=True)}" for element in elements)]
    return lines


def fullest(family: str, table: str) -> tuple[str, str]:
    """Which set or map of a table has most elements: its kind and name; raises ValueError where there is none."""
    entries = json.loads(_run("", "nft", "-j", "list", "table", family, table))["nftables"]
    sizes = [
        (len(body["elem"]), kind, str(body["name"]))
        for entry in entries
        for kind, body in entry.items()
        if kind in ("set", "map") and body.get("elem")
    ]
    if not sizes:
        raise ValueError(f"table {family} {table} has no set with elements")
    return max(sizes)[1:]
