"""Domains with keywords: each project, or each user, has names in a domain of its own."""

from __future__ import annotations

import re

from kaon.caller import Caller
from kaon.resources.declare import Extension

KEYWORDS = ("project_id", "project_name", "user_id", "user_name")


def is_keyword(label: str) -> bool:
    """Whether a label of a domain stands for what the caller is."""
    return label[:1] == "<" and label[-1:] == ">" and label[1:-1] in KEYWORDS


def filled(domain: str, caller: Caller) -> str:
    """A domain with the caller's own words in place of keywords; nothing where the caller has no such word."""
    labels = [_word(label, caller) if is_keyword(label) else label for label in domain.split(".")]
    return ".".join(labels) if all(labels[:-1]) else ""


def _word(keyword: str, caller: Caller) -> str:
    """What a keyword stands for, as a label: other characters than those of host names become hyphens."""
    word = str(getattr(caller, keyword[1:-1]))
    return re.sub(r"[^a-z0-9-]+", "-", word.lower())[:63].strip("-")


EXTENSIONS = (
    Extension(
        "dns-integration-domain-keywords",
        "DNS domain names with keywords allowed",
        "Allows to use keywords like <project_id>, <project_name>, <user_id> and <user_name> as DNS domain name",
        "2020-06-15T18:00:00-00:00",
    ),
)
