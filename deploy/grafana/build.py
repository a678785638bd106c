"""Write dashboards/*.json, which Grafana is given as files: python deploy/grafana/build.py [FOLDER]

What is asked again and again is reckoned by ../prometheus/rules/recording.yml.
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
