"""The manual pages edged(1), of the command line's parser, and edged.yaml(5), of the schema."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # docs/ is no package

from reference import sections  # noqa: E402

from edged import __version__  # noqa: E402
from edged.cli import make_parser  # noqa: E402
from edged.config.schema import json_schema  # noqa: E402

COMMAND_END = r"""
.SH EXIT STATUS
.TP
.B 0
Success. Of
.BR "edged doctor" :
nothing to report.
.TP
.B 1
A failure at run time, which a restart may cure. Of
.BR "edged doctor" :
warnings.
.TP
.B 2
Wrong usage, or a file with errors. Of
.BR "edged doctor" :
errors.
.SH FILES
.TP
.I /etc/edged/edged.yaml
The configuration, see
.BR edged.yaml (5).
.TP
.I /usr/lib/edged/edged.yaml
The configuration of a first installation.
.TP
.I /var/lib/edged
Measured profiles and other state.
.TP
.I /var/cache/edged
Engines of TensorRT and other things that are made again when they are missing.
.TP
.I /usr/share/doc/edged
Operations, troubleshooting, API, metrics.
.SH SEE ALSO
.BR edged.yaml (5),
.BR systemctl (1),
.BR journalctl (1)
"""
FORMAT_START = r"""
.SH NAME
edged.yaml \- configuration of edged
.SH SYNOPSIS
.I /etc/edged/edged.yaml
.SH DESCRIPTION
One YAML file configures
.BR edged (1).
It needs a camera and nothing else. Relative paths start at the file's folder.
.BI ${ NAME }
in an address or a password is replaced by the environment variable of that name.
.PP
.B edged check
reports every error with its line.
.B systemctl reload edged
applies a changed file; a file with errors changes nothing.
"""
FORMAT_END = r"""
.SH SEE ALSO
.BR edged (1),
.IR /usr/share/doc/edged/docs/configuration.md
"""


def command_page() -> str:
    """edged(1)."""
    parser = make_parser()
    lines = [_title("EDGED", 1), ".SH NAME", rf"edged \- {roff(str(parser.description))}"]
    lines += [".SH SYNOPSIS", _bold("edged"), r"[\-\-version] COMMAND ...", ".SH DESCRIPTION"]
    lines += [roff(str(parser.description)), ".PP", roff(str(parser.epilog)), ".SH COMMANDS"]
    for command in commands(parser):
        lines += [f'.SS "{roff(command.prog)}"', roff(str(command.description)), ".PP"]
        usage = " ".join(command.format_usage().split()).removeprefix(f"usage: {command.prog} ")
        lines += [_bold(command.prog), roff(usage)]
        for action in command._actions:
            if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
                meaning = command._get_formatter()._expand_help(action)
                lines += [".TP", _bold(_invocation(action)), roff(meaning)]
        _, _, example = str(command.epilog).partition("example:")
        lines += [".PP", "Example:", _bold(example.strip())]
    return _page([*lines, COMMAND_END])


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those that do something: `edged models list` and `edged teach`, but not `edged models`."""
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not groups or parser.get_default("command") is not None:
        yield parser
    for group in groups:
        for command in group.choices.values():
            yield from commands(command)


def _invocation(action: argparse.Action) -> str:
    """As in `-c FILE, --config FILE` or `TRACE`."""
    value = action.metavar or (action.choices and f"{{{','.join(action.choices)}}}")
    value = str(value or action.dest.upper())
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    return ", ".join(f"{each} {value}" for each in action.option_strings) or value


def format_page() -> str:
    """edged.yaml(5)."""
    lines = [_title("EDGED.YAML", 5), FORMAT_START, ".SH KEYS"]
    for path, keys in sections(json_schema()):
        if path:
            lines.append(f'.SS "{roff(path)}:"')
        for key in keys:
            lines += [".TP", _bold(key.name), f"({roff(key.facts)})", ".br", roff(key.meaning)]
            if key.examples:
                examples = ", ".join(f"`{each}`" for each in key.examples)
                lines.append(roff(f"For example {examples}."))
    shipped = (ROOT / "systemd/edged.yaml").read_text().splitlines()
    lines += [".SH EXAMPLE", "A first installation has", ".PP", ".nf"]
    lines += [*(roff(line) or r"\&" for line in shipped), ".fi", FORMAT_END]
    return _page(lines)


def roff(text: str) -> str:
    """Escaped, with `words` in bold type; long values may be broken."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace('"', r"\(dq")
    text = re.sub(r"\S{30,}", lambda long: re.sub(r"[,/:]|\\-|\w{20}", r"\g<0>\\:", long[0]), text)
    text = re.sub("`([^`]*)`", r"\\fB\1\\fR", text)
    return re.sub(r"^\.", r"\\&.", text)


def _bold(text: str) -> str:
    return rf"\fB{roff(text)}\fR"


def _title(name: str, section: int) -> str:
    """Lines are not justified and words are not split: most are values."""
    return f'.TH {name} {section} "" "edged {__version__}" ""\n.ad l\n.nh'


def _page(lines: list[str]) -> str:
    """Empty lines would be paragraphs, which in some places are an error."""
    return re.sub(r"\n{2,}", "\n", "\n".join(lines))


PAGES = {"man1/edged.1": command_page, "man5/edged.yaml.5": format_page}
"""Below /usr/share/man."""
