"""A real daemon asked over HTTP: streams, pictures, passwords, a certificate that is renewed."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from edged.web.password import new_token, token_hash
from edged.web.streams import QUEUE_RESULTS
from tests.rig.daemon import RunningDaemon

CAMERAS = "cameras: {door: {source: 'synthetic:160x120@40', latency_budget_ms: 300}}"


def config(http: str = "", listen: str = "127.0.0.1:0") -> str:
    return (
        f"variants: [mobilenet_v1_0.25_128]\nresults: {{jsonl: '-'}}\n{CAMERAS}\n"
        f"http: {{listen: '{listen}'{http}}}\n"
    )


def stream(daemon: RunningDaemon, path: str = "/api/v1/results") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    return response


def test_results_pictures_and_status(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config()) as daemon:
        daemon.wait_for_results(1)
        links = [word for line in daemon.log for word in line.split() if word.startswith("http")]
        assert links[0] == f"http://127.0.0.1:{daemon.port}/"  # the page
        with closing(stream(daemon, "/api/v1/results?camera=door")) as events:
            sequences: list[int] = []
            while len(sequences) < 5:
                line = events.readline()
                if line.startswith(b"data: "):
                    sequences.append(json.loads(line[len(b"data: ") :])["sequence"])
        assert sequences == sorted(set(sequences))
        with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)) as client:
            client.request("GET", "/api/v1/cameras/door/snapshot.jpg")
            answer = client.getresponse()
            assert answer.status == 200
            picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        own = json.loads(answer.headers["Picture-Result"])
        daemon.wait_for(lambda: own in daemon.results)
        status, text = daemon.get("/api/v1/status")
        assert status == 200
        last = json.loads(text)["cameras"]["door"]["last"]
        assert last["variant"] == "mobilenet_v1_0.25_128"
        assert daemon.stop()[0] == 0


def test_a_client_that_does_not_read_its_stream_holds_nothing_up(tmp_path: Path) -> None:
    with (
        RunningDaemon(tmp_path, config().replace("@40", "@200")) as daemon,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(60)
        client.connect(("127.0.0.1", daemon.port))
        client.sendall(b"GET /api/v1/results HTTP/1.1\r\n\r\n")
        client.recv(100)
        before = len(daemon.results)
        daemon.wait_for_results(before + 3 * QUEUE_RESULTS, seconds=60)
        assert daemon.get("/healthz")[0] == 200


def test_a_reload_closes_and_opens_it(tmp_path: Path) -> None:
    token = new_token()
    with RunningDaemon(tmp_path, config()) as daemon:
        port = daemon.port
        assert daemon.get("/api/v1/status")[0] == 200
        asked = f", token_hashes: ['{token_hash(token)}'], open: [metrics]"
        daemon.reload(config(asked, listen=f"127.0.0.1:{port}"))
        assert daemon.get("/metrics")[0] == 200
        for path in ("/", "/api/v1/status", "/healthz", "/api/v1/cameras/door/snapshot.jpg"):
            assert daemon.get(path)[0] == 401
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            client.request("GET", "/healthz", headers={"Authorization": f"Bearer {token}"})
            assert client.getresponse().status == 200
        daemon.reload(config(listen=f"127.0.0.1:{port}"))
        assert daemon.get("/api/v1/status")[0] == 200
        assert token_hash(token) not in daemon.text


def test_a_reload_shows_the_new_certificate(tmp_path: Path) -> None:
    tls = f", tls: {{certificate: '{tmp_path}/tls.pem', key: '{tmp_path}/tls.key'}}"
    first = make_certificate(tmp_path)
    with RunningDaemon(tmp_path, config(tls)) as daemon:
        address = ("127.0.0.1", daemon.port)
        assert ssl.get_server_certificate(address) == first
        second = make_certificate(tmp_path)
        assert daemon.reload() == "configuration reloaded: no changes"
        assert ssl.get_server_certificate(address) == second
        (tmp_path / "tls.pem").write_text("no certificate")
        assert "not reloaded" in daemon.reload()
        assert ssl.get_server_certificate(address) == second
        before = len(daemon.results)
        daemon.wait_for_results(before + 5)


def make_certificate(folder: Path) -> str:
    """Its PEM text; certificate and key are at `tls.pem` and `tls.key` there."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=device"),
            *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return (folder / "tls.pem").read_text()
