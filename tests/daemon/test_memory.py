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


A_LIBRARY = """
        import mmap, os, shutil, sys, threading, time
        import _ctypes
        import _ctypes
        from pathlib import Path
        from edged.memory import return_free_memory

        def copy(name):
            return str(shutil.copy(_ctypes.__file__, Path(sys.argv[1], name)))
"""


def test_what_it_has_looked_at_can_no_longer_be_unloaded(tmp_path: Path) -> None:
    assert run(
        A_LIBRARY
        + """
        library = copy("other.so")
        handle = _ctypes.dlopen(library, 2)
        return_free_memory()
        _ctypes.dlclose(handle)
        print(library in Path("/proc/self/maps").read_text())
        """,
        str(tmp_path),
    ) == ["True"]


def test_memory_stays_whole_beside_a_thread_that_loads_and_unloads(tmp_path: Path) -> None:
    """Pages of the kernel's choice take the addresses that a library had a moment before."""
    assert run(
        A_LIBRARY
        + """
        libraries = [copy(f"other{number}.so") for number in range(50)]
        size, damaged, over = 1 << 14, [], threading.Event()
        data = os.urandom(size)

        def churn():
            while not over.is_set():
                for library in libraries:
                    handle = _ctypes.dlopen(library, 2)
                    time.sleep(0.0005)
                    _ctypes.dlclose(handle)
                    several = [mmap.mmap(-1, size, mmap.MAP_PRIVATE) for _ in range(20)]
                    for memory in several:
                        memory[:] = data
                    time.sleep(0.0002)
                    for memory in several:
                        damaged.extend([1] if memory[:] != data else [])
                        memory.close()

        thread = threading.Thread(target=churn)
        thread.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            return_free_memory()
        over.set()
        thread.join()
        print(len(damaged))
        """,
        str(tmp_path),
    ) == ["0"]
