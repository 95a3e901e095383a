"""The data folder: owners, lock, password, clouds.yaml."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kaon import privileges
from kaon.cli import datafolder
from kaon.cli.datafolder import DataFolder, DataFolderError
from kaon.config import Settings


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    datafolder.prepare(folder, "")
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_process_has_a_folder_for_itself(folder: DataFolder) -> None:
    assert (mode(folder.server), mode(folder.agent)) == (0o700, 0o711)
    datafolder.prepare(folder, "")


@pytest.mark.skipif(not privileges.can_change_user(), reason="only root of many users gives files away")
def test_a_folder_that_the_servers_user_cannot_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(DataFolderError, match=f"may not enter {tmp_path}"):
        datafolder.prepare(DataFolder(tmp_path / "data"), "nobody")


def test_a_place_that_cannot_be_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="Not a directory"):
        datafolder.prepare(DataFolder(tmp_path / "file" / "data"), "")


def test_a_second_kaon_on_the_folder_is_refused_and_a_stale_lock_is_not(folder: DataFolder) -> None:
    folder.lock.write_text("4194304\n")
    assert datafolder.holder(folder) == 0
    descriptor = datafolder.lock(folder)
    assert datafolder.holder(folder) == os.getpid()
    with pytest.raises(DataFolderError, match=rf"already \(process {os.getpid()}\); stop it by `kaon down --data"):
        datafolder.lock(folder)
    os.close(descriptor)
    assert datafolder.holder(folder) == 0
    os.close(datafolder.lock(folder))


def test_the_lock_waits_for_the_processes_of_a_supervisor_that_is_gone(folder: DataFolder) -> None:
    descriptor = datafolder.lock(folder)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)
    folder.lock.write_text("4194304\n")
    assert datafolder.holder(folder) == 0
    child.communicate(b"\n")
    os.close(datafolder.lock(folder))


def test_the_password_is_made_once_and_is_private(folder: DataFolder) -> None:
    first = datafolder.admin_password(folder, "")
    assert len(first) >= 20
    assert datafolder.admin_password(folder, "") == first
    assert mode(folder.password) == 0o600
    assert datafolder.admin_password(folder, "chosen") == "chosen"
    assert datafolder.admin_password(folder, "") == "chosen"


def test_clouds_yaml_is_private_and_survives_any_password(folder: DataFolder) -> None:
    settings = Settings(public_url="https://[::1]:9696")
    datafolder.write_clouds(folder, settings, 'a"b: {\\n}#é', "/c.pem")
    assert mode(folder.clouds) == 0o600
    (name, cloud), *others = yaml.safe_load(folder.clouds.read_text())["clouds"].items()
    assert (name, others) == ("kaon", [])
    assert cloud["auth"]["auth_url"] == "https://[::1]:9696/identity/v3"
    assert cloud["auth"]["password"] == 'a"b: {\\n}#é'
    assert cloud["cacert"] == "/c.pem"
    assert cloud["region_name"] == "RegionOne"
