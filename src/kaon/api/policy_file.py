"""An operator's policy.yaml: read with the line of each rule, and refused where it means less than it seems to say.

oslo.policy takes a check that it cannot understand for one that holds for nobody, and a reference to a rule that does
not exist for a reference to ``default``. Both lock people out, or let them in, without a word; so they are errors here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from oslo_policy import _checks, _parser


class PolicyError(Exception):
    """An operator's policy file that cannot be used: which, where, why, and the way out."""


class FileRule(NamedTuple):
    """A rule of the file: its check, as text or as lists of the old form, and its line."""

    check: Any
    line: int


class Stamp(NamedTuple):
    """What changes when a file does."""

    inode: int
    size: int
    modified: int


def stamp(file: Path) -> Stamp | None:
    """The file's stamp; None while there is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 (as cheap as it gets: it is asked all the time)
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def read(file: Path) -> dict[str, FileRule]:
    """The rules of a file by name. Raises PolicyError."""
    try:
        text = file.read_text()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise PolicyError(f"policy_file {file}: {error.strerror}; mend it, or name none") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        raise PolicyError(f"policy_file {file}{where}: {reason}; mend it, or name none") from error
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(file, node.start_mark.line + 1, 'lines like "create_network": "role:member" are needed')
    found: dict[str, FileRule] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in found:
            raise _wrong(file, line, f"{key.value} is in line {found[key.value].line} already")
        found[key.value] = FileRule(_plain(file, value), line)
    return found


def _plain(file: Path, node: yaml.Node) -> Any:
    """A check: text, or a list of texts and of lists of texts."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(file, item) for item in node.value]
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        return node.value
    raise _wrong(file, node.start_mark.line + 1, 'a check is text in quotation marks, such as "role:member" or ""')


def _wrong(file: Path, line: int, reason: str) -> PolicyError:
    return PolicyError(f"policy_file {file}, line {line}: {reason}")


def parsed(file: Path, name: str, rule: FileRule) -> Any:
    """The rule as oslo.policy's check. Raises PolicyError for what would hold for nobody by mistake."""
    check = _parser.parse_rule(rule.check)
    words = str(rule.check).replace("(", " ").replace(")", " ").replace("'", " ").replace(",", " ").split()
    meant = sum(word.strip("[]") == "!" for word in words)
    if sum(isinstance(leaf, _checks.FalseCheck) for leaf in leaves(check)) > meant:
        raise _wrong(
            file,
            rule.line,
            f'{name}: "{rule.check}" cannot be understood; checks are KIND:MATCH (role:member, rule:admin_only, '
            "project_id:%(project_id)s), joined by and, or, not and parentheses",
        )
    return check


def leaves(check: Any) -> Iterator[Any]:
    """The checks that are made of no other ones."""
    if isinstance(check, _checks.AndCheck | _checks.OrCheck):
        for part in check.rules:
            yield from leaves(part)
    elif isinstance(check, _checks.NotCheck):
        yield from leaves(check.rule)
    else:
        yield check


def demand_sound(file: Path, given: Mapping[str, FileRule], checks: Mapping[str, Any]) -> None:
    """Raise PolicyError when a rule of the file refers to one that does not exist, or back to itself."""
    for name, rule in given.items():
        for other in _references(checks[name]):
            if other not in checks:
                raise _wrong(file, rule.line, f"{name}: there is no rule {other}{nearest(other, checks)}")
        if _reaches(name, name, checks, set()):
            raise _wrong(file, rule.line, f"{name} refers to itself")


def _references(check: Any) -> list[str]:
    return [leaf.match for leaf in leaves(check) if isinstance(leaf, _checks.RuleCheck)]


def _reaches(start: str, wanted: str, checks: Mapping[str, Any], seen: set[str]) -> bool:
    for other in _references(checks[start]) if start in checks else ():
        if other == wanted:
            return True
        if other not in seen:
            seen.add(other)
            if _reaches(other, wanted, checks, seen):
                return True
    return False


def unused(given: Mapping[str, FileRule], defaults: Mapping[str, str], checks: Mapping[str, Any]) -> list[str]:
    """Rules of the file that Kaon does not ask for and no other one refers to: misspelt, or for another service."""
    referred = {other for check in checks.values() for other in _references(check)}
    return [name for name in given if name not in defaults and name not in referred]


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """A hint at what was meant."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; `kaon policy list` names all"
