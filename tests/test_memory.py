"""What a process gives back after loading, and that it keeps all that it needs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def run(code: str, *arguments: str) -> list[str]:
    """Lines that a fresh process prints: libraries loaded here would share their pages with it."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def test_libraries_take_less_and_still_work() -> None:
    before, after, used, same = run(
        """
        import cv2, numpy as np
        from pathlib import Path
        from edged.memory import return_free_memory

        def clean_kb():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith(
                ("Private_Clean:", "Shared_Clean:")))

        picture = np.arange(300 * 400 * 3, dtype=np.uint32).astype(np.uint8).reshape(300, 400, 3)
        small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
        print(clean_kb())
        return_free_memory()
        print(clean_kb())
        same = np.array_equal(small, cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA))
        print(clean_kb(), same)
        """
    )
    assert same == "True"
    assert int(after) < int(used) < 0.7 * int(before)


def test_what_was_written_stays_though_it_can_no_longer_be(tmp_path: Path) -> None:
    """As the parts of a library do that the loader relocates and then protects."""
    file = tmp_path / "library.so"
    file.write_bytes(b"a" * 8192)
    assert run(
        """
        import ctypes, mmap, sys
        from edged.memory import return_free_memory

        libc = ctypes.CDLL(None, use_errno=True)
        with open(sys.argv[1], "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        memory[5000:5003] = b"xyz"
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mprotect(ctypes.c_void_p(address), 8192, 1) == 0, ctypes.get_errno()
        return_free_memory()
        print(memory[4999:5004].decode(), memory[:2].decode())
        """,
        str(file),
    ) == ["axyza", "aa"]
