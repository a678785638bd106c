"""The modules of deploy/package: a folder of programs, not a package."""

from __future__ import annotations

import sys

from tests.rig.paths import DEPLOY

PACKAGE = DEPLOY / "package"
sys.path.insert(0, str(PACKAGE))

import build  # noqa: E402
import changelog  # noqa: E402
import completion  # noqa: E402
import manual  # noqa: E402
import repository  # noqa: E402

__all__ = ["PACKAGE", "build", "changelog", "completion", "manual", "repository"]
