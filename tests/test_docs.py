"""What the documents say is so: pages, configurations, commands, links and names."""

from __future__ import annotations

import io
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml

from edged.cli import make_parser
from tests.rig.certificates import Authority

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/README.md")),
    ROOT / "deploy/home-assistant/README.md",
    *(ROOT / name for name in ("models/README.md", "tests/jetson/README.md")),
    ROOT / "deploy/kubernetes/README.md",
    *DOCS,
]
README_LINES = 80


def named(paths: list[Path]) -> dict[str, object]:
    return {"argvalues": paths, "ids": [str(path.relative_to(ROOT)) for path in paths]}


def test_generated_pages_are_those_of_this_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    for page, text in runpy.run_path(str(ROOT / "docs/generate.py"))["pages"]():
        assert page.read_text() == text, "run make docs"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert [page.name for page in DOCS if f"(docs/{page.name})" not in text] == []


def test_each_device_is_installed_in_six_lines() -> None:
    parts = (ROOT / "docs/install.md").read_text().split("\n## ")[1:]
    lines = {part.partition("\n")[0]: len(re.findall(r"^    ", part, re.M)) for part in parts}
    assert {name for name, count in lines.items() if count} == {
        *("Debian", "Raspberry Pi OS", "Ubuntu on Jetson", "Docker", "Home Assistant"),
    }
    assert max(lines.values()) <= 6


def yaml_examples() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        found = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
        yield from ((f"{page.relative_to(ROOT)} {n}", text) for n, text in enumerate(found, 1))


EXAMPLES = dict(yaml_examples())


@pytest.mark.parametrize("where", EXAMPLES)
def test_every_configuration_is_valid(where: str, tmp_path: Path) -> None:
    """A part of one gets a camera of the name that all examples have."""
    text = EXAMPLES[where]
    if "cameras" not in yaml.safe_load(text):
        text += "cameras: {door: {source: synthetic}}\n"
    if "/etc/edged/tls.pem" in text:
        pair = Authority(tmp_path).certificate("edge.example")
        text = text.replace("/etc/edged/tls.pem", str(pair.certificate))
        text = text.replace("/etc/edged/tls.key", str(pair.key))
    (tmp_path / "door").write_text("rtsp://user:secret@192.0.2.7/stream1\n")
    (tmp_path / "mail").write_text("mailtos://user:secret@mail.example\n")
    (tmp_path / "edged.yaml").write_text(text)
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "value")
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", "edged.yaml"],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(ROOT), "CREDENTIALS_DIRECTORY": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


EDGED = r"(?:sudo )?(?:\S*/)?(?:python3? -m )?edged "


def code_lines(text: str) -> Iterator[str]:
    fenced = re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.M | re.S)
    indented = re.findall(r"^    (?! )(.+)$", text, re.M)
    for block in (*fenced, *indented):
        yield from block.splitlines()


def commands(text: str) -> Iterator[list[str]]:
    """Whole command lines of edged, with their arguments."""
    for line in code_lines(text):
        for part in re.split(r" && |; | \| | > ", line):
            if match := re.match(EDGED, part.strip()):
                yield shlex.split(part.strip()[match.end() :], comments=True)


LINES = {shlex.join(line) for page in PAGES for line in commands(page.read_text())}


@pytest.mark.parametrize("line", sorted(LINES))
def test_every_command_line_is_understood(line: str) -> None:
    make_parser().parse_args(shlex.split(line))


@pytest.mark.parametrize("page", **named(PAGES))
def test_every_command_that_a_sentence_names_is_there(page: Path) -> None:
    for said in re.findall(rf"`{EDGED}([^`]+)`", page.read_text().replace("\n", " ")):
        words = [word for word in said.split() if re.fullmatch("[a-z-]+", word)]
        options = [word for word in said.split() if word.startswith("--")]
        help_text = io.StringIO()
        with redirect_stdout(help_text), pytest.raises(SystemExit) as end:
            make_parser().parse_args([*words[: 1 + (words[0] in ("models", "service"))], "--help"])
        assert end.value.code == 0, said
        assert [each for each in options if each not in help_text.getvalue()] == [], said


@pytest.mark.parametrize("page", **named(PAGES))
def test_every_target_of_make_is_there(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = page.read_text()
    lines = [line.partition("#")[0].split() for line in code_lines(text)]
    said = [words[-1 if words[0] == "sudo" else 0 :] for words in lines if "make" in words[:2]]
    named_in_text = re.findall(r"`(?:sudo )?make ([\w-]+)", text)
    for target in [*named_in_text, *(words[1] for words in said if len(words) > 1)]:
        assert target in targets, f"{page.name}: make {target}"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {each.strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", **named(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", **named(PAGES))
def test_every_metric_is_one_of_the_exposition(page: Path) -> None:
    known = re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    said = re.findall(r"(?<![\w:/])edged_[a-z]\w+", page.read_text())
    assert [name for name in said if re.sub("_(bucket|sum|count)$", "", name) not in known] == []


def test_every_message_that_the_troubleshooting_quotes_is_the_programs() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    symptoms = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    quoted = re.findall(r"`(\w+ [^`]+?)(?: \(got [^`]+)?`", "\n".join(symptoms))
    source = "".join(path.read_text() for path in (ROOT / "edged").rglob("*.py"))
    assert quoted and [each for each in quoted if each not in source] == []


def test_every_file_that_contributing_names_is_there() -> None:
    """From the project's folder, or from the package's."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", text):
        assert (ROOT / path).exists() or (ROOT / "edged" / path).exists(), path


def test_a_newcomer_finds_the_command_and_what_the_family_knows() -> None:
    pages = (ROOT / name for name in ("README.md", "docs/models.md"))
    readme, models = (page.read_text().replace("\n", " ") for page in pages)
    assert ".venv/bin/activate" in readme
    labels = (ROOT / "models/imagenette/labels.txt").read_text().splitlines()
    assert len(labels) == 10
    assert [label for label in labels if label not in models] == []


@pytest.mark.parametrize("page", **named(PAGES))
def test_pip_is_given_this_folder(page: Path) -> None:
    """The name is on no index."""
    assert re.findall(r"pip install '?edged\b", page.read_text()) == []
