"""`edged doctor` where its port is taken: by an edged, which is no error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.doctor.finding import Severity
from edged.doctor.subject import Subject
from edged.service.install import shipped
from edged.telemetry.metrics import Metrics
from edged.web.options import HttpConfig, Tls
from edged.web.password import PasswordHash
from edged.web.server import HttpServer
from tests.rig.doctored import config, device, found
from tests.rig.live import endpoints_of

USERS = {"anna": PasswordHash.of("geheim")}
UNIT = {"usr/lib/systemd/system/edged.service": shipped("edged.service")}


def serving(http: HttpConfig) -> HttpServer:
    return HttpServer(http, endpoints_of(registry=Metrics("0", 0.0).registry))


def subject_with(folder: Path, files: dict[str, str], port: int, *, tls: bool) -> Subject:
    text = f"cameras: {{a: {{source: synthetic}}}}\nhttp: {{listen: '127.0.0.1:{port}'}}\n"
    subject = device(folder, {**files, **config(text)})
    assert subject.config is not None and subject.config.http is not None
    if not tls:
        return subject
    http = replace(subject.config.http, tls=Tls(Path("a.pem"), Path("a.key")))
    return replace(subject, config=replace(subject.config, http=http))


@pytest.mark.parametrize(
    ("files", "service"), [({}, {}), (UNIT, {"ActiveState": "active"})], ids=["by hand", "service"]
)
@pytest.mark.parametrize("users", [{}, USERS], ids=["open", "login"])
@pytest.mark.parametrize("tls", [False, True], ids=["as it runs", "with TLS since"])
def test_edged_itself(
    tmp_path: Path,
    files: dict[str, str],
    service: dict[str, str],
    users: dict[str, PasswordHash],
    tls: bool,
) -> None:
    with serving(HttpConfig("0.0.0.0", 0, users)) as server:
        subject = subject_with(tmp_path, files, server.port, tls=tls)
        (finding,) = found(replace(subject, service=service), "network.port")
    assert str(finding) == f"edged listens on 127.0.0.1:{server.port}"
    assert finding.severity is Severity.OK


def test_one_by_hand_that_is_in_the_services_way(tmp_path: Path) -> None:
    with serving(HttpConfig("127.0.0.1", 0)) as server:
        subject = subject_with(tmp_path, UNIT, server.port, tls=False)
        (finding,) = found(replace(subject, service={"ActiveState": "failed"}), "network.port")
    assert finding.severity is Severity.WARNING
    assert "so the service cannot start; stop it" in str(finding)
