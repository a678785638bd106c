"""Rollouts by Ansible over devices whose systemd and package manager are stand-ins."""

from __future__ import annotations

import base64
import grp
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from shutil import which
from threading import Timer
from typing import Any

import pytest
import yaml

from edged.teach.store import TeachStore
from edged.web.password import new_token, token_hash
from tests.rig.certificates import Authority
from tests.rig.classifiers import with_version
from tests.rig.families import make_family
from tests.rig.http_server import answering
from tests.rig.paths import DEPLOY
from tests.rig.ports import free_port


class Systemd:
    """What the rollout needs of it, for one daemon: `systemctl`, `journalctl` and `edged` in a
    folder for PATH.

    Credentials are copied at a start; the daemon gets to a reload after systemctl has returned.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.etc, self.drop_in = folder / device, folder / "system/edged.service.d/secrets.conf"
        self.programs, self._credentials = folder / "bin", folder / "credentials"
        self.state, self.journal = folder / "state", folder / "journal"
        self.orders: list[str] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self._late: list[Timer] = []
        for made in (self.programs, self._credentials, self.state):
            made.mkdir()
        self._credentials.chmod(0o700)

    def obey(self, order: str) -> str:
        """What systemctl prints."""
        if order == "show":
            running = self._daemon is not None and self._daemon.poll() is None
            return f"LoadState=loaded\nActiveState={'active' if running else 'inactive'}\n"
        self.orders.append(order)
        if order == "reload":
            assert self._daemon is not None
            self._late.append(Timer(3, self._daemon.send_signal, (signal.SIGHUP,)))
            self._late[-1].start()
        elif order in ("start", "restart"):
            self.stop()
            self._start()
        return ""

    def _start(self) -> None:
        for file in self._credentials.iterdir():
            file.unlink()
        for name, path in re.findall(
            r"^LoadCredential=(\w+):(.+)$", self.drop_in.read_text(), re.M
        ):
            (self._credentials / name).write_bytes(Path(path).read_bytes())
            (self._credentials / name).chmod(0o400)
        with self.journal.open("a") as journal:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "edged", "run", "-c", self.etc / "edged.yaml"],
                stdout=subprocess.DEVNULL,
                stderr=journal,
                env={
                    **os.environ,
                    "STATE_DIRECTORY": str(self.state),
                    "CREDENTIALS_DIRECTORY": str(self._credentials),
                },
            )

    def stop(self) -> None:
        for timer in self._late:
            timer.cancel()
            timer.join()
        self._late.clear()
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(30)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()


@contextmanager
def systemd(folder: Path, device: str) -> Iterator[Systemd]:
    it = Systemd(folder, device)
    with answering(lambda path, _: (200, "text/plain", it.obey(path[1:]))) as port:
        ask = f"""#!{sys.executable}
import sys, urllib.request
order = next(each for each in sys.argv[1:] if not each.startswith("-"))
with urllib.request.urlopen(f"http://127.0.0.1:{port}/{{order}}", timeout=60) as answer:
    print(answer.read().decode(), end="")
"""
        edged = (
            f'#!/bin/sh\nexport STATE_DIRECTORY={it.state}\nexec {sys.executable} -m edged "$@"\n'
        )
        journal = f"#!/bin/sh\nexec tail -n 5 {it.journal}\n"
        for name, text in (("systemctl", ask), ("edged", edged), ("journalctl", journal)):
            (it.programs / name).write_text(text)
            (it.programs / name).chmod(0o755)
        try:
            yield it
        finally:
            it.stop()


class Alerts:
    """A Prometheus that wants a password and knows what fires."""

    def __init__(self) -> None:
        self.firing: list[str] = []
        self.asked: list[str] = []

    def answer(self, path: str, headers: Message) -> tuple[int, str, str]:
        wanted = "Basic " + base64.b64encode(b"rollout:a word").decode()
        if headers.get("Authorization") != wanted:
            return 401, "text/plain", ""
        self.asked += urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["query"]
        return 200, "application/json", json.dumps({"data": {"result": self.firing}})


def rolled_out(
    folder: Path, system: Systemd, devices: dict[str, dict[str, Any]], *inventories: Path
) -> subprocess.CompletedProcess[str]:
    """rollout.yml, as far as it concerns these devices; each has a folder for its files."""
    if which("ansible-playbook") is None:
        pytest.skip("ansible-playbook is not installed (apt-get install ansible-core)")
    system.orders.clear()
    here = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
    }
    hosts = {name: here | values for name, values in devices.items()}
    values = folder / "values.yml"
    values.write_text(yaml.safe_dump({"edged": {"hosts": hosts}}))
    places = {
        "kept": f"{folder}/kept-{{{{ inventory_hostname }}}}",
        "folder": f"{folder}/{{{{ inventory_hostname }}}}",
        "drop_in": str(system.drop_in),
        "group": grp.getgrgid(os.getgid()).gr_name,
    }
    return subprocess.run(
        [
            "ansible-playbook",
            *(word for each in (*inventories, values) for word in ("-i", each)),
            *(DEPLOY / "ansible/rollout.yml", "--limit", ",".join(devices)),
            *("-e", json.dumps(places)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "PATH": f"{system.programs}:{os.environ['PATH']}"},
    )


@pytest.mark.long
@pytest.mark.servers
@pytest.mark.timeout(900)
def test_a_rollout_passes_what_the_daemon_takes_and_takes_back_what_it_refuses(
    tmp_path: Path,
) -> None:
    pair, token = Authority(tmp_path).certificate("depot"), new_token()
    alerts, port = Alerts(), free_port()
    with (
        systemd(tmp_path, "depot") as system,
        answering(alerts.answer) as prometheus,
        socket.socket() as taken,
    ):
        values: dict[str, Any] = {
            "gate_seconds": 1,
            "listen": f"127.0.0.1:{port}",
            "http": {
                "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
                "token_hashes": [token_hash(token)],
            },
            "token": token,
            "ca": str(tmp_path / "ca.pem"),
            "vault_gate_address": "synthetic:320x240",
            "latency_budget_ms": 5000,
            "prometheus_url": f"http://127.0.0.1:{prometheus}",
            "prometheus_user": "rollout",
            "prometheus_password": "a word",
        }

        def run(**others: Any) -> subprocess.CompletedProcess[str]:
            shipped = DEPLOY / "ansible/inventory.yml"
            return rolled_out(tmp_path, system, {"depot": values | others}, shipped)

        # The first one, with a secret that systemd does not know yet.
        done = run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert system.orders == ["daemon-reload", "start"]
        configuration, secret = system.etc / "edged.yaml", system.etc / "secrets/gate"
        assert secret.read_text() == "synthetic:320x240"
        assert [path.stat().st_mode & 0o777 for path in (secret, secret.parent)] == [0o600, 0o700]
        assert not any(each in done.stdout + done.stderr for each in (token, "synthetic", "a word"))
        assert alerts.asked == ['ALERTS{alertstate="firing", severity="critical", device="depot"}']

        # One that `edged check` has nothing against and the daemon refuses: the port is not free.
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        before = configuration.read_text()
        other = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(listen=other, device_url=f"https://127.0.0.1:{port}")
        assert done.returncode != 0
        assert "Failed: Wait until the configuration is applied " in done.stdout
        assert (
            f"the previous one stays active: {other}: cannot listen for HTTP (got Address already"
            in done.stdout
        )
        assert (configuration.read_text(), secret.read_text()) == (before, "synthetic:320x240")
        assert system.orders == ["daemon-reload", "reload", "daemon-reload", "reload"]
        assert token not in done.stdout + done.stderr

        # After a refusal, one that is taken; the gate has waited for that.
        done = run(latency_budget_ms=4321)
        assert done.returncode == 0, done.stdout + done.stderr
        assert system.orders == ["daemon-reload", "reload"]
        assert "latency_budget_ms: 4321" in configuration.read_text()

        # An alert fires: the secret that was new goes as well.
        alerts.firing.append("EdgedCameraDown")
        done = run(latency_budget_ms=4321, vault_gate_address="synthetic:160x120")
        assert done.returncode != 0
        assert "Failed: Check that no critical alert fires " in done.stdout
        assert system.orders == ["daemon-reload", "restart", "daemon-reload", "restart"]
        assert secret.read_text() == "synthetic:320x240"
        assert not (tmp_path / "kept-depot/before.tar").exists()


@pytest.mark.long
@pytest.mark.servers
@pytest.mark.timeout(900)
def test_a_rollout_brings_what_another_device_has_learned(tmp_path: Path) -> None:
    backbone = make_family(tmp_path / "animals")
    learned = TeachStore(tmp_path / "learned").create("gate", "door", ("open", "closed"))
    archives = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for archive in archives:
        with_version(learned, backbone)
        with archive.open("wb") as file:
            learned.write_archive(file)
    values: dict[str, Any] = {
        "gate_seconds": 1,
        "listen": f"127.0.0.1:{free_port()}",
        "latency_budget_ms": 5000,
        "cameras": {"door": {"source": "synthetic:320x240", "model": "gate"}},
        "events": {"ajar": {"class": "open", "cameras": ["door"]}},
    }
    with systemd(tmp_path, "device1") as system:

        def run(archive: Path, **others: Any) -> tuple[int, int, str]:
            """Exit status, the version that is deployed, what was shown."""
            here = values | {"teaches": {"gate": str(archive)}} | others
            done = rolled_out(tmp_path, system, {"device1": here})
            deployed = TeachStore(system.state / "teach").deployed()["gate"].version
            return done.returncode, deployed, done.stdout + done.stderr

        status, deployed, said = run(archives[0])
        assert (status, deployed) == (0, 1), said
        status, deployed, said = run(archives[0])
        assert (status, deployed) == (0, 1) and "changed=1 " in said, said  # a copy is removed
        status, deployed, said = run(archives[1], latency_budget_ms="nonsense")
        assert (status, deployed) == (2, 1), said
        assert "Failed: Check and write the configuration " in said
        status, deployed, said = run(archives[1])
        assert (status, deployed) == (0, 2), said


@pytest.mark.long
@pytest.mark.servers
@pytest.mark.timeout(900)
def test_a_rollout_stops_with_the_devices_among_which_one_does_not_pass(tmp_path: Path) -> None:
    names = [f"device{number}" for number in range(1, 9)]
    well = {
        "gate_seconds": 1,
        "listen": f"127.0.0.1:{free_port()}",
        "cameras": {"door": {"source": "synthetic:320x240"}},
    }
    devices = dict.fromkeys(names, well) | {"device3": well | {"latency_budget_ms": "nonsense"}}
    with systemd(tmp_path, "device1") as system:
        done = rolled_out(tmp_path, system, devices)
    assert done.returncode != 0
    assert "Failed: Check and write the configuration " in done.stdout
    assert (
        "latency_budget_ms: expected a number above 0, at most 60000 (got 'nonsense')"
        in done.stdout
    )
    written = [name for name in names if (tmp_path / name / "edged.yaml").exists()]
    assert written == ["device1", "device2"], done.stdout
    assert [name for name in names if (tmp_path / name).exists()] == names[:3]
