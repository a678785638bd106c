"""Who may read a configuration: root's check tells what the service's user may not."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.config.warnings import warnings
from edged.doctor.child import Outcome
from edged.doctor.files import configuration
from edged.doctor.named_files import unreadable_errors
from edged.doctor.subject import subject_of
from edged.errors import InputError, InputErrors
from edged.private_file import how_to_read, keep_private


@pytest.mark.skipif(os.geteuid() != 0, reason="root checks for somebody else")
def test_what_the_service_may_not_read_is_told_to_root(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/tmp"):
            folder.chmod(0o755)
    etc = tmp_path / "etc/edged"
    etc.mkdir(parents=True)
    unit = tmp_path / "etc/systemd/system/edged.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(
        "[Service]\nExecStart=/usr/bin/edged run -c /etc/edged/edged.yaml\nUser=nobody\n"
    )
    path, door = etc / "edged.yaml", etc / "door"
    path.write_text("cameras:\n  door:\n    source_file: door\n")
    door.write_text("rtsp://u:hunter2@192.0.2.7/live")

    def found() -> list[str]:
        def also(config: Config) -> list[InputError]:
            return list(unreadable_errors(config, tmp_path))

        try:
            load_config(path, {}, also)
        except InputErrors as wrong:
            return [str(error) for error in wrong.errors]
        return []

    group = Path("/etc/passwd").read_text().split("\nnobody:")[1].split(":")[2]
    for each in (path, door):
        each.chmod(0o640)
    told = found()
    assert len(told) == 2
    assert (
        f"{path}:1: {path}: no read permission for the service's user nobody; sudo chown root:"
        in told[0]
    )
    assert told[0].endswith(f" {path} && sudo chmod 640 {path}")
    assert told[1].startswith(
        f"{path}:3: cameras.door.source_file: {door}: no read permission for the service's user"
    )
    subject = subject_of(path, {}, root=tmp_path, run=lambda command, seconds: Outcome(1))
    by_doctor = [str(finding) for finding in configuration(subject)]
    assert [
        each
        for each in by_doctor
        if each.startswith(f"{door}: no read permission for the service's user nobody")
    ]
    for each in (path, door):  # what was told
        os.chown(each, 0, int(group))
        each.chmod(0o640)
    assert found() == []
    assert not any("everybody" in line for line in warnings(load_config(path, {})))


def test_the_services_files_are_not_locked_away_from_it() -> None:
    kept = keep_private(Path("/etc/edged/door.source"))
    assert (
        kept
        == "sudo chown root:edged /etc/edged/door.source && sudo chmod 640 /etc/edged/door.source"
    )
    assert keep_private(Path("/home/anna/edged.yaml")) == "chmod o= /home/anna/edged.yaml"


def test_a_container_names_its_group_by_the_number_that_the_device_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGED_CONTAINER", "1")
    fix = how_to_read(Path("/etc/edged/edged.yaml"))
    assert fix.endswith(
        f"sudo chown root:{os.getegid()} /etc/edged/edged.yaml && sudo chmod 640 "
        "/etc/edged/edged.yaml"
    )
    assert "use sudo" not in fix


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_who_may_not_read_it_is_told_of_sudo_and_of_the_group_that_may(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text("cameras: {}")
    other = next(each for each in grp.getgrall() if each.gr_gid not in (0, *os.getgroups()))

    def told(group: str) -> str:
        return how_to_read(path, tmp_path, group)

    os.chown(path, 0, other.gr_gid)
    path.chmod(0o640)
    assert told(other.gr_name) == (
        f"use sudo; or join the group {other.gr_name}, which may read it and the passwords in it: "
        f"sudo usermod -aG {other.gr_name} $USER, then log in again"
    )
    path.chmod(0o600)
    assert told(other.gr_name) == told("no-such-group") == "use sudo"
    own = grp.getgrgid(os.getegid()).gr_name  # the service, whose file somebody has replaced
    assert told(own) == f"sudo chown root:{own} {path} && sudo chmod 640 {path}"
