"""How much is taken of a picture that people send. Imports no heavy library."""

from __future__ import annotations

from typing import Final

MOST_PICTURE_BYTES: Final = 20_000_000
"""Of a picture's file; the decoder limits its pixels."""
PICTURE_SECONDS: Final = 30.0
"""For one picture, on a slow board; then its process is killed."""
CHILD_BYTES: Final = 600_000_000
"""Of memory that a process may take for data."""
