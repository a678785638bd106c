"""What a process hides of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.rig.paths import PROJECT

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from edged.process import inspectable, refuse_inspection
os.setresuid(65534, 65534, 65534)

def readable():
    try:
        return bool(open("/proc/self/auxv", "rb").read())
    except PermissionError:
        return False

refuse_inspection()
seen = [readable()]
with inspectable():
    seen.append(readable())
print(*seen, readable())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_library_may_look_at_its_own_process_for_a_moment() -> None:
    """ncnn learns there what an ARM processor can; as a service's user it saw nothing."""
    command = [sys.executable, "-c", PROGRAM, str(PROJECT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr
