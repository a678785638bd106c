"""A classifier before the view that it is taught for, while the daemon runs.

It records what a person shows, offers pictures that are worth a label, answers by the nearest mean
before there is a version, and compares the version that runs with what ran before it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from edged.clock import Clock
from edged.errors import InputError
from edged.result import Result
from edged.teach.pictures.bounds import SHORT_SIDE
from edged.teach.recording import INTERVAL_NS, Recorder, Recording
from edged.teach.store import Classifier, new_moment
from edged.variants.taught import head_matrices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.family import Family
    from edged.variants.heads import HeadMatrix

SURE = 0.6
"""A lower top score counts as uncertain."""
SEEN_NS = 20_000_000_000
"""Between two moments that are offered for labelling."""
SEEN_RECORDING_NS = 2_000_000_000
SEEN_PICTURES = 3
COMPARED_SECONDS = 86_400.0
"""How long what ran before answers beside a new version."""


class Sight(NamedTuple):
    """A result with its picture, valid during the call. features, rows: of a head, which the
    network (sha256) belongs to; None where the view runs no classifier."""

    result: Result
    pixels: NDArray[np.uint8]
    features: NDArray[np.float32] | None = None
    rows: NDArray[np.float32] | None = None
    network: str = ""


@dataclass(slots=True)
class Compared:
    """What ran before on the view: a version of the classifier name. heads: its own, by network.
    rows: where the version that runs has each of its rows. results, differing: counts since the
    deploy."""

    name: str
    version: int
    heads: dict[str, HeadMatrix]
    rows: Sequence[int]
    until_unix: float
    results: int = 0
    differing: int = 0

    def differs(self, sight: Sight) -> bool:
        head = self.heads.get(sight.network)
        if head is None or sight.features is None or sight.rows is None or not len(sight.rows):
            return False
        self.results += 1
        differ = self.rows[int(head.scores(sight.features).argmax())] != sight.rows.argmax()
        self.differing += differ
        return bool(differ)


@dataclass(slots=True)
class LiveClassifier:
    """runs: its view runs what is deployed of it."""

    classifier: Classifier
    recorder: Recorder
    clock: Clock
    unix: Callable[[], float]
    runs: bool = False
    compared: Compared | None = None
    recording: Recording | None = None
    _seen: Recording | None = None
    _next_seen_ns: int = 0
    _offered: int = -1
    """Top row of the last result that was offered."""
    _sums: dict[str, dict[str, tuple[Any, int]]] = field(default_factory=lambda: defaultdict(dict))
    """Sum and number of recorded features, by network and label."""
    _last: Sight | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, label: str, seconds: float, moment: str | None) -> str:
        """Record for so long from now on; with the moment of the present recording it is
        continued. Returns the moment. Raises InputError where it ended with an error."""
        now_ns = self.clock()
        until_ns = now_ns + int(seconds * 1e9)
        with self._lock:
            present = self.recording
            if present is not None and present.moment == moment and present.label == label:
                if present.failure:
                    raise InputError(f"the recording ended: {present.failure}")
                present.until_ns = until_ns
                return present.moment
            if moment is not None:
                raise InputError("no such recording", got=moment, fix="begin one without a moment")
            self.recording = Recording(label, new_moment(self.unix()), now_ns, until_ns)
            return self.recording.moment

    def compare(
        self, runs: Family, name: str, version: int, was: Family, until_unix: float
    ) -> None:
        """Compare what runs with a version of a classifier, perhaps another one, on each picture;
        not where the classes are others."""
        if (sorted(was.labels), was.none) == (sorted(runs.labels), runs.none):
            rows = [*map(runs.labels.index, was.labels), len(runs.labels)]  # the last: none
            self.compared = Compared(name, version, head_matrices(was) or {}, rows, until_unix)

    @property
    def side(self) -> int:
        """Pixels that the next picture should have at least on its short side; 0 if any will do."""
        now_ns = self.clock()
        recordings = (self.recording, self._seen)
        return SHORT_SIDE if any(each and now_ns < each.until_ns for each in recordings) else 0

    def observe(self, sight: Sight) -> None:
        """Called for every result of the view."""
        now_ns = self.clock()
        with self._lock:
            if sight.features is not None:
                self._last = sight._replace(pixels=sight.pixels[:0])
            compared = self.compared
            if compared is not None and self.unix() > compared.until_unix:
                compared = self.compared = None
            differ = compared is not None and compared.differs(sight)
            recording = self.recording
            if recording is not None and now_ns < recording.until_ns:
                if self._keep(recording, sight, now_ns) and sight.features is not None:
                    self._note_mean(recording.label, sight)
            elif self.runs:
                self._offer(sight, now_ns, differ=differ)

    def _keep(self, recording: Recording, sight: Sight, now_ns: int) -> bool:
        if not recording.wants(sight.pixels, now_ns):
            return False
        recording.next_ns = now_ns + INTERVAL_NS
        return self.recorder.store(self.classifier, recording, sight.pixels)

    def _offer(self, sight: Sight, now_ns: int, *, differ: bool) -> None:
        """Record a short moment without a label where its answer is worth one."""
        if self._seen is not None and now_ns < self._seen.until_ns:
            self._keep(self._seen, sight, now_ns)
            return
        if now_ns < self._next_seen_ns:
            return
        reason = "versions disagree" if differ else self._reason(sight)
        if not reason:
            return
        kept = self._seen.kept[-1:] if self._seen is not None else []
        self._next_seen_ns = now_ns + SEEN_NS
        self._seen = Recording(
            None,
            new_moment(self.unix()),
            now_ns,
            now_ns + SEEN_RECORDING_NS,
            reason,
            SEEN_PICTURES,
            kept=kept,
        )

    def _reason(self, sight: Sight) -> str:
        rows = sight.rows
        if rows is None or not len(rows):
            return "changed"  # the recording compares the picture with the last one
        top, before = int(rows.argmax()), self._offered
        self._offered = top
        if self.classifier.settings.none and top == len(rows) - 1:
            return "unlike anything taught"
        if rows[top] < SURE:
            return "uncertain"
        return "changed" if before not in (top, -1) else ""

    def _note_mean(self, label: str | None, sight: Sight) -> None:
        assert label is not None
        means = self._sums[sight.network]
        total, count = means.get(label, (0.0, 0))
        means[label] = total + sight.features, count + 1

    def answer(self) -> dict[str, Any] | None:
        """What it would say of the last picture: the version that runs, or the nearest mean of what
        was recorded since the start."""
        import numpy as np

        from edged.teach.fit import nearest_mean, scores

        with self._lock:
            last = self._last
            means = {} if last is None else dict(self._sums.get(last.network, {}))
        if last is None or last.features is None:
            return None
        if last.rows is not None and len(last.rows):
            top = last.result.top[0] if last.result.top else None
            return {
                "label": "none" if top is None else top.label,
                "score": None if top is None else round(top.score, 3),
                "by": "version",
            }
        if len(means) < 2:
            return None
        labels = list(means)
        of_labels = np.stack([total / count for total, count in means.values()])
        head = nearest_mean(of_labels, np.arange(len(labels)), len(labels))
        best = int(scores(head, last.features).argmax())
        return {"label": labels[best], "score": None, "by": "means"}
