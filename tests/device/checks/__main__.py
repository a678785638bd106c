"""python3 -m tests.device.checks PART…: each a module here with `run(report)`."""

from __future__ import annotations

import importlib
import sys
import traceback

from tests.device.checks.report import Report


def main() -> int:
    report = Report()
    for part in sys.argv[1:]:
        print(f"--- {part}", flush=True)
        try:
            importlib.import_module(f"tests.device.checks.{part}").run(report)
        except Exception as error:  # the other parts shall run all the same
            traceback.print_exc(file=sys.stdout)
            report.check(f"{part} runs to its end", False, type(error).__name__)
    print(report.summary(), flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
