"""All that is known of a classifier, as JSON: what the command and the API show."""

from __future__ import annotations

from typing import Any

from edged.errors import EdgedError
from edged.teach.store import Classifier


def description(classifier: Classifier) -> dict[str, Any]:
    """Raises EdgedError. Times are seconds since 1970."""
    settings, versions = classifier.settings, classifier.versions()
    deployed, back = classifier.deployed, classifier.ran_before
    other = back is not None and back.name != settings.name
    return {
        "name": settings.name,
        "view": settings.view,
        "classes": list(settings.classes),
        "none": settings.none,
        "backbone": settings.backbone or None,
        "quota_bytes": settings.quota_bytes,
        "used_bytes": classifier.used_bytes,
        "created": settings.created,
        "moments": [
            {
                "id": each.id,
                "label": each.label,
                "reason": each.reason or None,
                "at": each.unix,
                "pictures": list(each.pictures),
            }
            for each in classifier.moments()
        ],
        "versions": versions,
        "report": _report(classifier, versions[-1]) if versions else None,
        "deployed": None
        if deployed is None
        else {
            "view": deployed.view,
            "version": deployed.version,
            "before": None if back is None or other else back.version,
            "since": deployed.since_unix,
            "replaced": {"name": back.name, "version": back.version} if back and other else None,
        },
    }


def _report(classifier: Classifier, version: int) -> dict[str, Any] | None:
    """None if it is damaged."""
    try:
        return classifier.report(version)
    except EdgedError:
        return None
