"""`edged notify --test`: what it sends, says and returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.capture.decode.jpeg import jpeg_size
from edged.sinks.notify import options
from tests.rig.command_line import edged
from tests.rig.messages import mail_server, needs_apprise
from tests.rig.webhook import serving

Capture = pytest.CaptureFixture[str]


def configured(folder: Path, destinations: str, events: str = "{}") -> str:
    path = folder / "edged.yaml"
    path.write_text(
        f"cameras: {{yard: {{source: synthetic, views: {{gate: {{}}}}}}}}\nevents: {events}\n"
        f"results: {{notify: {{{destinations}}}}}\n"
    )
    return str(path)


@needs_apprise
def test_each_destination_gets_a_test_and_has_a_line(tmp_path: Path, capsys: Capture) -> None:
    with serving(200) as good, serving(403) as bad, mail_server() as mail:
        path = configured(
            tmp_path,
            f"phone: {{url: 'ntfy://127.0.0.1:{good.server_port}/t0pic', quiet: ['00:00-24:00']}}, "
            f"bad: {{url: 'ntfy://anna:s3cretpass@127.0.0.1:{bad.server_port}/t0pic'}}, "
            f"mail: {{url: '{mail.address()}', text: $event at $place}}",
            "{visitor: {class: golf ball, cameras: [yard]}}",
        )
        assert edged("notify", "--test", "-c", path) == 1
        said = capsys.readouterr().out
        assert edged("notify", "--test", "phone", "mail", "-c", path) == 0
        assert capsys.readouterr().out == "phone: taken\nmail: taken\n"
    first, second, third = said.splitlines()
    assert (first, third) == ("phone: taken", "mail: taken")
    assert second.startswith("bad: not taken: ")
    assert "error=403" in second
    for secret in ("t0pic", "s3cretpass", "anna"):
        assert secret not in said
    path, _, picture = good.got[0]
    assert "message=Test+of+edged%3A+yard%2Fgate%3A+visitor+since" in path
    assert jpeg_size(picture) == (320, 320)
    assert b"Test of edged: visitor at yard/gate" in mail.got[0].content
    assert len(good.got) == len(mail.got) == 2
    assert len(bad.got) == 1


def test_a_name_that_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    path = configured(tmp_path, "phone: {url: 'ntfy://t0pic'}, mail: {url: 'mailto://a:b@c'}")
    assert edged("notify", "--test", "fone", "-c", path) == 2
    assert capsys.readouterr().err == (
        f"edged: {path}: no such destination; the destinations are phone, mail\n"
    )


def test_without_a_destination(tmp_path: Path, capsys: Capture) -> None:
    path = configured(tmp_path, "")
    assert edged("notify", "--test", "-c", path) == 2
    said = capsys.readouterr().err
    assert "edged.yaml: there is no destination under results.notify; for example" in said


def test_a_configuration_with_errors(tmp_path: Path, capsys: Capture) -> None:
    path = configured(tmp_path, "phone: {url: s3cret}, mail: {}")
    assert edged("notify", "--test", "-c", path) == 2
    first, second = sorted(capsys.readouterr().err.splitlines())
    assert first.startswith(f"edged: {path}:3: results.notify.mail: expected exactly one of")
    assert second.startswith(f"edged: {path}:3: results.notify.phone.url: expected the address")
    assert "s3cret" not in first + second


def test_without_apprise(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    path = configured(tmp_path, "phone: {url: 'ntfy://t0pic'}")
    assert edged("notify", "--test", "-c", path) == 1
    said = capsys.readouterr().err
    assert said.startswith("edged: apprise is not installed; install it with: ")
    assert said.endswith("pip install 'edged[notify]'\n")


def test_it_only_tests(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        edged("notify")
    assert ended.value.code == 2
    assert "--test" in capsys.readouterr().err
