"""A view's evidence on its variants, and the last answer that more of it can be gained from."""

from __future__ import annotations

from dataclasses import dataclass

from edged.capture.frame import Frame
from edged.control.agreement import Agreement
from edged.result import Score
from edged.variants.variant import Variant

Top = tuple[Score, ...]
"""As published: best first; empty for a result without a class."""
_GAIN = 0.05
"""Weight of the newest answer in the means of the reference's."""


@dataclass(slots=True)
class Evidence:
    """agreement: None until the profile is complete. seconds: spent on probes; untold_ms: of those,
    what no line of a trace says yet. frame, variant, top: of the last result. reference: what the
    reference answers to that frame, once it has run on it."""

    agreement: Agreement | None = None
    seconds: float = 0.0
    untold_ms: float = 0.0
    frame: Frame | None = None
    variant: Variant | None = None
    top: Top = ()
    reference: Top | None = None
    fitted_ns: int = 0
    """When the reference last ran, or was not due."""
    asked_ns: int = 0
    """When a picture large enough for the reference was last asked for."""
    score: float | None = None
    """Mean of the reference's best published score, 0 for none; None before its first answer."""
    classless: float = 0.0
    """Share of the reference's answers without a class."""

    def answered(self, frame: Frame, variant: Variant, top: Top) -> None:
        self.frame, self.variant, self.top, self.reference = frame, variant, top, None

    def refer(self, top: Top) -> None:
        """Note what the reference answers."""
        self.reference = top
        score, none = top[0].score if top else 0.0, float(not top)
        if self.score is None:
            self.score, self.classless = score, none
        self.score += _GAIN * (score - self.score)
        self.classless += _GAIN * (none - self.classless)


def agree(one: Top, other: Top) -> bool:
    """The same class, or both none."""
    return [each.label for each in one[:1]] == [each.label for each in other[:1]]
