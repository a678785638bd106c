"""`edged status` against a real daemon: in pipes and terminals, with logins, and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from edged.commands.api import how_to_start
from edged.web.password import PasswordHash, new_token, token_hash
from tests.rig.certificates import Authority
from tests.rig.command_line import edged
from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.device_files import make_files
from tests.rig.http_server import answering
from tests.rig.ports import free_port
from tests.rig.status import HOSTILE, SEVERAL, status
from tests.rig.terminal import InTerminal

STATUS = [sys.executable, "-m", "edged", "status"]
SYNTHETIC = "{source: synthetic, size: 320x240, fps: 10}"
CAMERAS = {
    "door": SYNTHETIC,
    "garage": '{source: "http://127.0.0.1:1/live"}',
    "yard": "{source: synthetic, size: 320x240, fps: 10, "
    "views: {gate: {latency_budget_ms: 1}, bin: {}}}",
}
PASSWORD = "geh: eïm"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """One camera is away, and one view misses its budget."""
    http = f"{{listen: 127.0.0.1:{free_port()}}}"
    config = quick_config(CAMERAS, http=http)
    with RunningDaemon(tmp_path_factory.mktemp("daemon"), config) as running:
        wanted = {"door": None, "garage": "away", "yard/gate": "late", "yard/bin": None}
        running.wait_for(lambda: troubles(running) == wanted, 60)
        yield running


def troubles(running: RunningDaemon) -> dict[str, str | None]:
    """By view or camera; only once all of them have figures."""
    about = json.loads(running.get("/api/v1/status")[1])
    found = {
        "/".join(filter(None, (each.get("camera"), each.get("view")))): each["kind"]
        for each in about["verdict"]["troubles"]
    }
    views = {"door": about["cameras"]["door"], "yard/bin": about["cameras"]["yard"]["views"]["bin"]}
    for name, view in views.items():
        if view["on_time"] is not None:
            found.setdefault(name, None)
    return found


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration, and without a login."""
    monkeypatch.chdir(tmp_path)
    for name in ("EDGED_TOKEN", "EDGED_PASSWORD", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("edged.service.install.CONFIG", tmp_path / "none.yaml")


def test_a_pipe_gets_plain_text(daemon: RunningDaemon, tmp_path: Path) -> None:
    done = subprocess.run(
        [*STATUS, "-c", str(daemon.config)], capture_output=True, timeout=60, check=False
    )
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert "\x1b" not in shown
    assert "garage is away since " in shown.splitlines()[0]
    assert "Connection refused" in shown.splitlines()[0]
    assert "yard/gate misses its budget: 0 % on time, 95 % wanted" in shown
    assert "door " in shown and "yard/bin " in shown


def test_a_pipe_gets_whole_names() -> None:
    name = f"{'a' * 32}/{'b' * 32}"
    camera, view = name.split("/")
    yard = SEVERAL["yard"]
    about = json.dumps(status({camera: {**yard, "views": {view: yard["views"]["bin"]}}}))
    with answering(lambda path, headers: (200, "application/json", about)) as port:
        command = [*STATUS, "--url", f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        with InTerminal(command) as terminal:
            shown = terminal.end()[1]
    assert name in done.stdout.decode()
    assert name not in shown


def test_the_configuration_of_the_folder_is_found(
    daemon: RunningDaemon, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(daemon.config.parent)
    assert edged("status") == 1
    assert "garage is away since" in capsys.readouterr().out


def test_json_is_that_of_the_api(daemon: RunningDaemon, capsys: Capture) -> None:
    assert edged("status", "--url", f"http://127.0.0.1:{daemon.port}/", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said.keys() == json.loads(daemon.get("/api/v1/status")[1]).keys()
    assert {each["kind"] for each in said["verdict"]["troubles"]} == {"away", "late"}


def test_the_exit_status_is_0_when_all_is_well(capsys: Capture) -> None:
    about = json.dumps(status({"door": SEVERAL["door"]}))
    with answering(lambda path, headers: (200, "application/json", about)) as port:
        assert edged("status", "--url", f"http://127.0.0.1:{port}") == 0
        assert edged("status", "--url", f"http://127.0.0.1:{port}", "--json") == 0
    assert "all views keep their budget" in capsys.readouterr().out


def test_health_is_that_of_the_loops(daemon: RunningDaemon, capsys: Capture) -> None:
    """A camera that is away and one that is late do not count."""
    assert edged("status", "-c", daemon.config, "--health") == 0
    assert capsys.readouterr() == ("every loop makes progress\n", "")
    stuck = '{"healthy": false, "stuck_seconds": {"pipeline": 12.5, "door\\u001b": 6.0}}'
    for content, expected, told in (
        (stuck, 1, "pipeline: no progress for 12.5 s\n"),
        ("{}", 1, "an answer that is not edged's"),
    ):
        with answering(lambda path, headers, content=content: (503, "text/plain", content)) as port:
            assert edged("status", "--url", f"http://127.0.0.1:{port}", "--health") == expected
        said = capsys.readouterr()
        assert told in said.out + said.err and "\x1b" not in said.out
    assert edged("status", "--url", "http://127.0.0.1:1", "--health") == 3


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("plain", ["", "NO_COLOR"])
def test_a_terminal_of_any_width(daemon: RunningDaemon, columns: int, plain: str) -> None:
    environ = {plain: "1"} if plain else {}
    with InTerminal([*STATUS, "-c", str(daemon.config)], columns, environ=environ) as terminal:
        ended, shown = terminal.end()
        assert (ended, terminal.shown.wrapped) == (1, 0)
        assert bool(terminal.shown.codes) is not bool(plain)
    words = " ".join(shown.split())
    for told in ("garage is away since", "yard/gate misses its budget", "Connection refused"):
        assert told in words


def test_a_dumb_terminal_gets_no_sequences(daemon: RunningDaemon) -> None:
    with InTerminal([*STATUS, "-c", str(daemon.config)], environ={"TERM": "dumb"}) as terminal:
        assert terminal.end()[0] == 1
        assert not terminal.shown.codes


@pytest.mark.parametrize(
    ("argument", "fix"),
    [("-c", "start it: "), ("--url", "check the address, and on its device whether edged runs\n")],
)
def test_without_a_daemon_the_exit_status_is_3(
    tmp_path: Path, capsys: Capture, argument: str, fix: str
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("cameras: {door: {source: synthetic}}\nhttp: {listen: 127.0.0.1:1}\n")
    value = config if argument == "-c" else "http://127.0.0.1:1"
    assert edged("status", argument, value) == 3
    said = capsys.readouterr()
    assert said.err.startswith(
        f"edged: http://127.0.0.1:1: the daemon does not answer (got Connection refused); {fix}"
    )
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_systemctl_is_advised_where_edged_is_a_service(tmp_path: Path) -> None:
    assert how_to_start(tmp_path, here=True) == "start it: edged run"
    make_files(tmp_path, {"usr/lib/systemd/system/edged.service": ""})
    assert how_to_start(tmp_path, here=True) == "start it: sudo systemctl start edged"


def test_https_to_a_daemon_without_tls_says_so(daemon: RunningDaemon, capsys: Capture) -> None:
    address = f"127.0.0.1:{daemon.port}"
    assert edged("status", "--url", f"https://{address}") == 2
    assert capsys.readouterr().err == (
        f"edged: https://{address}: expected TLS, but the server speaks plain HTTP; "
        f"use http://{address}\n"
    )


def test_in_a_container_no_systemd_is_advised(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGED_CONTAINER", "1")
    assert edged("status", "--url", "http://127.0.0.1:1") == 3
    said = capsys.readouterr().err
    assert "docker logs NAME" in said and "systemctl" not in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "ftp://127.0.0.1"], "expected the URL of a daemon"),
        (["--url", "127.0.0.1:9640"], "expected the URL of a daemon"),
        (["--url", "http://[::1"], "not a URL"),
        (["--url", "http://127.0.0.1:99999"], "not a URL"),
        (["--url", "http://anna:hunter2@127.0.0.1:1"], "expected a URL without a user"),
        (["--url", "http://127.0.0.1:1", "-c", "edged.yaml"], "expected --url or a configuration"),
        (["--watch", "--json"], "expected only one of --watch, --json and --health"),
        (["--health", "--json"], "expected only one of --watch, --json and --health"),
        (["-c", "none.yaml"], "none.yaml"),
        (["-c", "silent.yaml"], "the daemon has no known address"),
    ],
)
def test_a_mistake_is_one_message(
    tmp_path: Path, arguments: list[str], told: str, capsys: Capture
) -> None:
    silent = "cameras: {door: {source: synthetic}}\nhttp: {listen: none}\n"
    (tmp_path / "silent.yaml").write_text(silent)
    assert edged("status", *arguments) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("nonsense", "an answer that is not edged's"),
        ("[" * 100_000, "an answer that is not edged's"),
        ("{}", "an answer that is not edged's"),
        ('{"verdict": {"ok": true, "text": "x", "troubles": []}}', "an answer that is not edged's"),
        ('{"verdict": {"ok": true}, "cameras": {"a": 5}}', "an answer that is not edged's"),
        ('{"cameras": {}}', "this daemon is older than the command"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_is_not_edged(answer: str, told: str, form: list[str], capsys: Capture) -> None:
    with answering(lambda path, headers: (200, "application/json", answer)) as port:
        assert edged("status", "--url", f"http://127.0.0.1:{port}", *form) == 1
    said = capsys.readouterr()
    assert told in said.err and said.out == ""


def test_any_value_that_is_wrong_is_no_traceback(capsys: Capture) -> None:
    """Each field in turn is something else."""
    good = status(SEVERAL, {"kind": "late", "camera": "door", "text": "late"})
    wrong: list[Any] = [None, "text", -1, 1e308, [], {}, float("nan"), 10**400]
    served: list[str] = []
    tried = 0
    with answering(lambda path, headers: (200, "application/json", served[-1])) as port:
        for place in places(good):
            for value in wrong[tried % len(wrong) :: 3]:
                served.append(json.dumps(replaced(good, place, value)))
                assert edged("status", "--url", f"http://127.0.0.1:{port}") in (0, 1), place
                tried += 1
    assert tried > 150
    assert "Traceback" not in capsys.readouterr().err


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys of everything in it."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inside if isinstance(value, (dict, list, tuple)) else ():
        yield (*above, key)
        if isinstance(each, (dict, list, tuple)):
            yield from places(each, (*above, key))


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


def test_hostile_names_do_not_reach_the_terminal() -> None:
    hostile = status(
        {HOSTILE: SEVERAL["door"]}, {"kind": "away", "camera": HOSTILE, "text": HOSTILE}
    )
    text = json.dumps(hostile)
    with answering(lambda path, headers: (200, "application/json", text)) as port:
        for more in ([], ["--json"]):
            command = [*STATUS, "--url", f"http://127.0.0.1:{port}", *more]
            with InTerminal(command) as terminal:  # it refuses sequences that edged does not use
                ended, shown = terminal.end()
            assert ended == 1
            assert "owned" in shown and "\nfake line" not in shown


def test_a_refusal_is_told_as_text(capsys: Capture) -> None:
    with answering(lambda path, headers: (503, "text/plain", "no \x1b[2J time")) as port:
        assert edged("status", "--url", f"http://127.0.0.1:{port}") == 1
    assert "no \\x1b[2J time" in capsys.readouterr().err


# --- logins


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Path, str]]:
    """With users, tokens and TLS: the daemon, the authority's certificate, and the token."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    pair = authority.certificate("edged")
    token = new_token()
    http = json.dumps(
        {
            "listen": f"127.0.0.1:{free_port()}",
            "users": {"anna": str(PasswordHash.of(PASSWORD))},
            "token_hashes": [token_hash(token)],
            "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
        }
    )
    with RunningDaemon(folder, quick_config({"door": SYNTHETIC}, http=http)) as running:
        running.wait_for_results(3, 60)
        yield running, authority.ca, token


Guarded = tuple[RunningDaemon, Path, str]


def test_users_and_tokens_over_tls(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    running, _, token = guarded
    config = ("-c", str(running.config))
    assert edged("status", *config) == 2
    assert "the daemon asks for a login; --user NAME, or set EDGED_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("EDGED_PASSWORD", "wrong")
    assert edged("status", *config, "--user", "anna") == 2
    said = capsys.readouterr().err
    assert "wrong user or password" in said and said.count("\n") == 1
    monkeypatch.setenv("EDGED_PASSWORD", PASSWORD)
    assert edged("status", *config, "--user", "anna") in (0, 1)
    assert "door" in capsys.readouterr().out
    for name, told in (("an:na", "not the name of a user"), ("x\x1b", "not the name of a user")):
        assert edged("status", *config, "--user", name) == 2
        assert told in capsys.readouterr().err
    monkeypatch.setenv("EDGED_TOKEN", token)
    assert edged("status", *config) in (0, 1)
    monkeypatch.setenv("EDGED_TOKEN", f"{token}x")
    assert edged("status", *config) == 2
    said = capsys.readouterr().err
    assert "the daemon refuses this token" in said and token not in said


def test_a_certificate_that_nobody_named_is_not_trusted(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    running, ca, token = guarded
    monkeypatch.setenv("EDGED_TOKEN", token)
    url = f"https://127.0.0.1:{running.port}"
    assert edged("status", "--url", url) == 1
    assert "the certificate is not trusted" in capsys.readouterr().err
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    assert edged("status", "--url", url) in (0, 1)
    assert "door" in capsys.readouterr().out
    assert edged("status", "--url", url.replace("https", "http")) == 2
    assert "TLS" in capsys.readouterr().err


def test_a_password_is_asked_for_in_a_terminal_and_not_shown(guarded: Guarded) -> None:
    running, _, _ = guarded
    command = [*STATUS, "-c", str(running.config), "--user", "anna"]
    with InTerminal(command) as terminal:
        terminal.wait_for(lambda shown: "Password:" in shown)
        terminal.type(f"{PASSWORD}\n")
        ended, shown = terminal.end()
        assert ended in (0, 1)
        assert "door" in shown and "geh" not in shown


def test_a_password_may_come_through_a_pipe(guarded: Guarded) -> None:
    running, _, _ = guarded
    command = [*STATUS, "-c", str(running.config), "--user", "anna"]
    for password, wanted in ((PASSWORD, (0, 1)), ("wrong", (2,)), ("", (2,))):
        done = subprocess.run(
            command, input=f"{password}\n".encode(), capture_output=True, timeout=60, check=False
        )
        assert done.returncode in wanted, done.stderr


def test_the_login_is_sent_as_it_is(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Message] = []

    def answer(path: str, headers: Message) -> tuple[int, str, str]:
        asked.append(headers)
        assert path == "/edge/api/v1/status"
        return 200, "application/json", json.dumps(status({"door": SEVERAL["door"]}))

    with answering(answer) as port:
        assert edged("status", "--url", f"http://127.0.0.1:{port}/edge/") == 0
    assert asked[0]["Authorization"] is None
