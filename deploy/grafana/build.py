"""Write dashboards/*.json for Grafana: python deploy/grafana/build.py [FOLDER]

../prometheus/rules/recording.yml has the rules for shared queries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from device import device
from fleet import fleet


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, made in (("fleet", fleet()), ("device", device())):
        (folder / f"{name}.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "dashboards")
