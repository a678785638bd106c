"""What the doctor says in the container image, which has neither systemd nor the device's users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.config.warnings import warnings
from edged.doctor.account import account_of
from tests.rig.doctored import CONFIG, ERROR, SYNTHETIC, WARNING, device, found

CONTAINER = {"EDGED_CONTAINER": "1", "STATE_DIRECTORY": "/nowhere", "CACHE_DIRECTORY": "/nowhere"}
VIDEO = "cameras: {door: {source: /dev/video0}}\n"


def test_no_service_is_missed(tmp_path: Path) -> None:
    assert found(device(tmp_path, {CONFIG: SYNTHETIC}, environ=CONTAINER), "service.unit") == []
    assert found(device(tmp_path, {CONFIG: SYNTHETIC}), "service.unit") != []


def test_what_the_container_lacks_is_given_where_it_is_started(tmp_path: Path) -> None:
    subject = device(tmp_path, {CONFIG: VIDEO, "dev/video0": ""}, environ=CONTAINER)
    nobody = account_of("nobody", [])
    assert nobody is not None
    (tmp_path / "dev/video0").chmod(0o660)
    (camera,) = found(replace(subject, account=nobody), "cameras.devices")
    assert (camera.severity, camera.fix) == (
        ERROR,
        "start the container with --group-add $(stat -c %g /dev/video0)",
    )
    for check in ("files.state", "files.cache"):
        (folder,) = found(replace(subject, account=nobody), check)
        assert folder.severity is WARNING
        assert str(folder.fix).endswith(f": sudo chown {nobody.uid} FOLDER")


def test_the_stable_name_of_a_camera_is_the_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = device(tmp_path, {CONFIG: VIDEO, "dev/video0": ""}, environ=CONTAINER)
    assert subject.config is not None
    monkeypatch.setenv("EDGED_CONTAINER", "1")
    (told,) = [line for line in warnings(subject.config, tmp_path / "dev") if "another" in line]
    place = "--device /dev/v4l/by-id/…:/dev/video0 where the container is started"
    assert told.endswith(f"/dev/video0 may name another camera after a restart; use {place}")
