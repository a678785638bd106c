"""Apprise itself against an ntfy server and a mail server of the test, and a daemon with both."""

from __future__ import annotations

import email
import email.policy
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from edged.capture.decode.jpeg import jpeg_size
from edged.secret import Secret
from edged.sinks.notify.child import MOST_MEMORY_BYTES, NICENESS
from edged.sinks.notify.messenger import Message, Messenger, Patience
from edged.sinks.notify.options import Destination
from tests.rig.certificates import Authority
from tests.rig.daemon import RunningDaemon
from tests.rig.messages import EVENT, lost, mail_server, needs_apprise, started
from tests.rig.rules import ANY
from tests.rig.waiting import eventually
from tests.rig.webhook import serving

pytestmark = needs_apprise

TEXT = 'täxt <b> & "q"\n猫 \U0001f600'
PICTURE = bytes(range(256)) * 2300  # 589 kB, as large as a snapshot becomes


def ntfy(port: int) -> str:
    return f"ntfy://anna:s3cretpass@127.0.0.1:{port}/t0pic"


@pytest.fixture(scope="module")
def sender() -> Iterator[Messenger]:
    """One for all tests: Apprise takes seconds to load while the machine is busy."""
    made = Messenger(Patience(idle_seconds=600))
    yield made
    made.close()


def test_ntfy_gets_text_and_picture(sender: Messenger) -> None:
    with serving(200) as server:
        address = Secret(ntfy(server.server_port))
        assert sender.send(address, Message("gate-pi", TEXT, PICTURE)) == (True, "", False, False)
        assert sender.send(address, Message("gate-pi", TEXT)).taken
    (path, headers, picture), (_, _, body) = server.got
    url = urlsplit(path)
    assert url.path == "/t0pic"
    assert parse_qs(url.query) == {
        "filename": ["picture.jpg"],
        "title": ["gate-pi"],
        "message": [TEXT],
    }
    assert headers["Authorization"].startswith("Basic ")
    assert picture == PICTURE
    assert json.loads(body) == {"topic": "t0pic", "title": "gate-pi", "message": TEXT}


def test_mail_gets_text_and_picture(sender: Messenger) -> None:
    with mail_server() as server:
        message = Message("gate-pi: größer", TEXT, PICTURE)
        assert sender.send(Secret(server.address()), message).taken
    (envelope,) = server.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("pi@example.org", ["anna@example.org"])
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail["Subject"] == "gate-pi: größer"
    text, picture = mail.iter_parts()
    assert text.get_content().replace("\r\n", "\n").strip() == TEXT
    assert (picture.get_filename(), picture.get_content_type()) == ("picture.jpg", "image/jpeg")
    assert picture.get_payload(decode=True) == PICTURE


def test_what_servers_refuse_and_what_is_tried_again(sender: Messenger) -> None:
    for status, final in ((401, True), (403, True), (404, True), (429, False), (503, False)):
        with serving(status) as server:
            answer = sender.send(Secret(ntfy(server.server_port)), Message("", "x"))
        assert (answer.taken, answer.final, answer.suspect) == (False, final, False)
        assert f"error={status}" in answer.why
    with mail_server() as mail:
        for reply, final in (("550 no", True), ("451 later", False)):
            mail.answer = reply
            answer = sender.send(Secret(mail.address()), Message("", "x"))
            why = f"the mail server answered with status {reply[:3]}"
            assert answer == (False, why, final, False)
        mail.password = b"another"
        answer = sender.send(Secret(mail.address()), Message("", "x"))
        assert (answer.final, answer.why[-3:]) == (True, "535")
    assert sender.send(Secret(mail.address()), Message("", "x")).why == "connection refused"
    unknown = sender.send(Secret("nosuch://s3cretpass/t0pic"), Message("", "x"))
    assert (unknown.taken, unknown.final) == (False, True)
    assert "does not know this kind of address" in unknown.why


def test_a_server_that_takes_no_picture_gets_the_text(sender: Messenger) -> None:
    with serving(413, 200) as server:
        answer = sender.send(Secret(ntfy(server.server_port)), Message("", "x", b"picture"))
    assert answer.taken
    assert answer.why.startswith("sent without the picture: ")
    assert [body == b"picture" for _, _, body in server.got] == [True, False]


def test_no_failure_names_any_part_of_the_address(sender: Messenger) -> None:
    whys = []
    for status in (400, 401, 413, 429, 500):
        with serving(status) as server:
            whys.append(sender.send(Secret(ntfy(server.server_port)), Message("", "x")).why)
    for address in (
        "ntfy://anna:s3cretpass@127.0.0.1:9/t0pic",
        "ntfys://anna:s3cretpass@127.0.0.1:9/t0pic",
        "json://anna:s3cretpass@127.0.0.1:9/t0pic",
        "mailto://anna:s3cretpass@127.0.0.1:9?from=t0pic",
        "tgram://s3cretpass/t0pic",  # no token of Telegram's, so nothing is sent
        "file:///etc/s3cretpass/t0pic",
    ):
        answer = sender.send(Secret(address), Message("", "x", b"picture"))
        assert not answer.taken
        whys.append(answer.why)
    assert all(whys)
    for part in ("anna", "s3cretpass", "t0pic", "127.0.0.1"):
        assert part not in "\n".join(whys).lower()


def test_a_slow_server_is_waited_for(sender: Messenger) -> None:
    """Longer than Apprise's own 4 seconds."""

    def slowly(body: bytes) -> int:
        time.sleep(6)
        return 200

    with serving(judge=slowly) as server:
        assert sender.send(Secret(ntfy(server.server_port)), Message("", "x")).taken


def test_certificates_are_those_that_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    pair = authority.certificate("ntfy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    answers = []
    with serving(200, tls=context) as server:
        for trusted in (authority.ca, authority.certificate("other").certificate):
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
            sender = Messenger()
            address = f"ntfys://127.0.0.1:{server.server_port}/t0pic"
            answers.append(sender.send(Secret(address), Message("", "x")))
            sender.close()
    assert answers == [
        (True, "", False, False),
        (False, "certificate not accepted", False, False),
    ]


def test_a_server_that_never_answers_ends_the_child_in_time() -> None:
    sender = Messenger(Patience(answer_seconds=0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = sender.send(Secret(ntfy(silent.getsockname()[1])), Message("", "x"))
    assert answer == (False, "no answer within 0.5 s", False, True)
    assert sender.pid is None
    sender.close()


def test_the_child_is_small_nice_and_hidden(sender: Messenger) -> None:
    with serving(200) as server:
        assert sender.send(Secret(ntfy(server.server_port)), Message("", "x", PICTURE)).taken
        process = Path(f"/proc/{sender.pid}")
        assert (process / "stat").read_text().rsplit(") ")[1].split()[16] == str(NICENESS)
        limits = (process / "limits").read_text()
        assert f"Max data size             {MOST_MEMORY_BYTES} " in limits
        assert (process / "oom_score_adj").read_text().strip() == "1000"
        command = (process / "cmdline").read_bytes().decode().split("\0")
        assert command[-3:] == ["-m", "edged.sinks.notify.child", ""]
        assert (process / "mem").stat().st_uid == 0  # of root, as nobody may inspect it
        peak_kb = int((process / "status").read_text().split("VmHWM:")[1].split()[0])
        assert peak_kb * 1024 < MOST_MEMORY_BYTES


def test_a_sink_sends_to_both() -> None:
    with serving(200) as server, mail_server() as mail:
        destinations = (
            Destination("phone", Secret(ntfy(server.server_port)), text="$event at $place"),
            Destination("mail", Secret(mail.address()), title="$event"),
        )
        with started(*destinations, messenger=Messenger()) as sink:
            sink.publish_event(EVENT)
            eventually(lambda: sink.delivered == 2)
    assert lost(sink) == {}
    assert "message=visitor+at+door" in server.got[0][0]
    assert b"Subject: visitor" in mail.got[0].content


def configuration(destinations: str) -> str:
    rule = f"{{{ANY}, for_seconds: 0, snapshot: true}}"
    return (
        "variants: [mobilenet_v1_0.25_128]\nlatency_budget_ms: 5000\n"
        f"http: {{listen: 127.0.0.1:0}}\nevents: {{any: {rule}, more: {rule}}}\n"
        "cameras: {door: {source: synthetic, size: 320x240, fps: 5}}\n"
        f"results: {{notify: {{{destinations}}}}}\n"
    )


def children(daemon: RunningDaemon) -> list[Path]:
    """Of the daemon, those that send messages."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, IndexError):  # no process, or one that has just ended
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            command = (folder / "cmdline").read_bytes()
            if parent == str(daemon.process.pid) and b"notify.child" in command:
                found.append(folder)
    return found


def test_a_daemon_sends_reloads_and_stops(tmp_path: Path) -> None:
    with serving(200) as server, serving(401) as refusing:
        (tmp_path / "address").write_text(ntfy(server.server_port))
        (tmp_path / "address").chmod(0o600)
        phone = "phone: {url_file: address, events: [any], text: $event at $place}"
        bad = "bad: {url: '${BAD}'}"
        environ = {"BAD": ntfy(refusing.server_port)}
        with RunningDaemon(tmp_path, configuration(f"{phone}, {bad}"), **environ) as daemon:
            daemon.wait_for(lambda: len(server.got) == 1 and len(refusing.got) == 2, 120)
            url = urlsplit(server.got[0][0])
            assert parse_qs(url.query)["message"] == ["any at door"]
            assert jpeg_size(server.got[0][2]) == (240, 240)  # the square that the network sees
            lines = 'edged_sink_{}_total{{{}sink="notify"}}'
            daemon.wait_for(lambda: daemon.metric(lines.format("delivered", "")) == 1)
            refused = lines.format("dropped", 'reason="refused",')
            daemon.wait_for(lambda: daemon.metric(refused) == 2)
            (process,) = children(daemon)
            shown = (process / "cmdline").read_bytes().decode()
            # A child of root can be read by root.
            shown += (process / "environ").read_bytes().decode(errors="replace")

            said = daemon.reload(configuration(f"{phone}, {bad}".replace("[any]", "[more, any]")))
            assert said == "configuration reloaded: results"
            assert daemon.metric(lines.format("delivered", "")) == 1
            said = daemon.reload(configuration("phone: {url_file: address, text: $evnt}"))
            assert "edged.yaml:6: results.notify.phone.text: unknown field" in said
            pages = [daemon.get(path)[1] for path in ("/metrics", "/readyz", "/api/v1/status")]
            assert "apprise" not in Path(f"/proc/{daemon.process.pid}/maps").read_text()
            status, _ = daemon.stop(signal.SIGTERM)
            assert status == 0
            assert not process.exists()
        refusals = [each for each in daemon.log if "notify: bad" in each]
    assert len(refusals) == 1
    assert "error=401" in refusals[0]
    assert "Traceback" not in daemon.text
    for secret in ("s3cretpass", "t0pic", "anna"):
        assert secret not in "\n".join([daemon.text, shown, *pages])


def test_a_daemon_stops_in_time_while_a_server_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bad = f"bad: {{url: 'ntfy://127.0.0.1:{silent.getsockname()[1]}/t0pic?rto=300'}}"
        with RunningDaemon(tmp_path, configuration(bad)) as daemon:
            silent.settimeout(60)
            connection, _ = silent.accept()
            process = children(daemon)
            status, _ = daemon.stop(signal.SIGTERM)
            connection.close()
        assert status == 0
        assert "no answer within" not in daemon.text  # it did not wait for the time-out
        assert not any(each.exists() for each in process)
        assert "notify: 2 results and events were not delivered" in daemon.text


def test_the_daemon_never_imports_it(tmp_path: Path) -> None:
    """Not even for a configuration with destinations."""
    program = (
        "import sys; from pathlib import Path\n"
        "from edged.config.config import load_config\n"
        "from edged.config.warnings import warnings\n"
        "from edged.sinks.options import KINDS\n"
        "config = load_config(Path(sys.argv[1]), {}); warnings(config)\n"
        "KINDS['notify'].make(config.results.sinks['notify'], {}, None)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    path = tmp_path / "edged.yaml"
    path.write_text(configuration("phone: {url: 'ntfy://t0pic'}"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "edged" in loaded
    assert loaded & {"apprise", "requests", "markdown", "smtplib"} == set()
