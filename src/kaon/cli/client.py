"""The API of the Kaon that runs on a data folder, asked as the administrator whose password lies there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import yaml

from kaon.cli.datafolder import DataFolder, read_state
from kaon.cli.options import settings_from

PATIENCE = 30.0
"""Seconds that an answer may take."""


class ClientError(Exception):
    """The API cannot be asked, or refuses: why, and the way out."""


class Client:
    """A client with a token, and its questions. Make it by `connected`."""

    def __init__(self, http: httpx.Client, url: str, cloud: Mapping[str, Any]) -> None:
        self.http, self.url = http, url
        self._auth = cloud["auth"]
        self.identity = self._auth["auth_url"].rstrip("/")

    def login(self) -> None:
        """Get a token, which goes along with every request from then on."""
        auth = self._auth

        def domain(whose: str) -> dict[str, str]:
            return {part: auth[f"{whose}_domain_{part}"] for part in ("id", "name") if f"{whose}_domain_{part}" in auth}

        user = {"name": auth["username"], "password": auth["password"], "domain": domain("user")}
        scope = {"project": {"name": auth["project_name"], "domain": domain("project")}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        with _told(self.identity):
            answer = self.http.post(f"{self.identity}/auth/tokens", params={"nocatalog": ""}, json=body)
        if answer.status_code != 201:
            raise ClientError(f"{self.identity} does not let {auth['username']} in: {_reason(answer)}")
        self.http.headers["X-Auth-Token"] = answer.headers["x-subject-token"]

    def get(self, url: str, **query: str) -> Any:
        """The decoded answer to a GET."""
        with _told(url):
            answer = self.http.get(url, params=query or None)
        return _decoded(url, answer)

    def post(self, url: str, body: Any) -> Any:
        """The decoded answer to a POST."""
        with _told(url):
            answer = self.http.post(url, json=body)
        return _decoded(url, answer)

    def id_of(self, kind: str, name: str) -> str:
        """The id of a user or project, found by id or by name."""
        with _told(self.identity):
            answer = self.http.get(f"{self.identity}/{kind}s/{quote(name, safe='')}")
        if answer.status_code == 200:
            return str(answer.json()[kind]["id"])
        found = self.get(f"{self.identity}/{kind}s", name=name)[f"{kind}s"]
        if len(found) != 1:
            which = f"there are {len(found)} of that name; give an id" if found else "there is none of that id or name"
            raise ClientError(f"{kind} {name}: {which}")
        return str(found[0]["id"])


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[Client]:
    """A client of the Kaon that runs on the data folder that the command line names."""
    folder = DataFolder(Path(settings_from(arguments, ("data",)).data))
    state = read_state(folder)
    if state is None:
        raise ClientError(f"Kaon has never run on {folder.root}; name another data folder by --data")
    if state.follows:
        raise ClientError(f"{folder.root} is an agent's alone; ask on the host of its server, {state.follows}")
    try:
        cloud = yaml.safe_load(folder.clouds.read_text())["clouds"]["kaon"]
    except OSError as error:
        raise ClientError(f"{folder.clouds}: {error.strerror}; ask as the user who owns it, or as root") from error
    with httpx.Client(timeout=PATIENCE, verify=cloud.get("cacert") or True, trust_env=False) as http:
        client = Client(http, state.url, cloud)
        client.login()
        yield client


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise ClientError(f"{url} cannot be reached: {error}; `kaon status` tells whether Kaon runs") from error


def _decoded(url: str, answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        raise ClientError(f"{url} answers {answer.status_code}: {_reason(answer)}")
    return answer.json()


def _reason(answer: httpx.Response) -> str:
    """What an error document of either API says."""
    try:
        document = answer.json()
        error = document.get("NeutronError") or document.get("error") or {}
        return str(error.get("message", answer.text))
    except (ValueError, AttributeError):
        return answer.text
