"""If-Match: what is done only to the revision that the client knows."""

from __future__ import annotations

import re

from kaon.resources import types
from kaon.resources.errors import ApiError, bad_request
from kaon.store.journal import Record

_ETAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')


def constraint(if_match: str) -> int | None:
    """The revision that ``If-Match: revision_number=5`` demands (RFC 9110, section 13.1.1, as Neutron speaks it).

    Other entity tags say nothing of revisions, and are passed over. Raises 400 for one that names no revision.
    """
    tags = [quoted or bare for quoted, bare in _ETAG.findall(if_match)]
    demands = [tag.removeprefix("revision_number=") for tag in tags if tag.startswith("revision_number=")]
    if not demands:
        return None
    if len(demands) > 1:
        raise bad_request("Bad if-match request: Multiple revision_number etags are not supported.", "BadRequest")
    number = types.natural(demands[0].removeprefix("-"))
    if number is None:
        reason = "Revision number etag must be in the format of revision_number=<int>."
        raise bad_request(f"Bad if-match request: {reason}", "BadRequest")
    return -number if demands[0].startswith("-") else number


def demand(record: Record, if_match: str) -> None:
    """Raise 412 when a record has another revision than the header demands."""
    wanted = constraint(if_match)
    if wanted is not None and wanted != record["revision_number"]:
        raise ApiError(
            412,
            "RevisionNumberConstraintFailed",
            f"Constrained to {wanted}, but current revision is {record['revision_number']}",
        )
