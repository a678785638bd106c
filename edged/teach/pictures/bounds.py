"""How much is taken of what people send. Imports no heavy library."""

from __future__ import annotations

from typing import Final

MOST_PICTURES: Final = 2000
"""At once."""
MOST_PIXELS: Final = 64_000_000
"""Of a picture, as its header says; the decoder has a limit of its own on what it decodes."""
MOST_ZIP_BYTES: Final = 500_000_000
"""Of a zip file, and of all that is unpacked from it."""
MOST_ENTRIES: Final = 10_000
"""Of a zip file, with folders and what is not a picture."""
SHORT_SIDE: Final = 256
"""Of a stored picture, whose sides keep their ratio; a smaller one is not enlarged."""
SMALLEST_SIDE: Final = 16
MOST_OBLONG: Final = 8
"""Long side through short side."""
QUALITY: Final = 90
MOST_STORED_BYTES: Final = 1_000_000
IMPORT_SECONDS: Final = 600.0
"""For all of an import."""
MOST_CHILDREN: Final = 5
"""Processes that may end early in one import; then the rest is left out."""
