"""The classifiers of this device on disk: pictures, labels, versions, and what is deployed.

teach/deployed.json
teach/gate/classifier.json          settings
teach/gate/pictures/LABEL/MOMENT/   labelled pictures
teach/gate/seen/MOMENT/             pictures that wait for a label
teach/gate/features/NETWORK/        a cache
teach/gate/versions/N/              a family of format 2 and report.json
"""

from edged.teach.store.classifier import Classifier
from edged.teach.store.deployed import Deployed
from edged.teach.store.names import (
    NONE,
    check_classes,
    check_label,
    check_name,
    check_view,
    new_moment,
    picture_id,
)
from edged.teach.store.settings import Settings
from edged.teach.store.shelf import Moment
from edged.teach.store.store import TeachStore, teach_directory

__all__ = [
    "NONE",
    "Classifier",
    "Deployed",
    "Moment",
    "Settings",
    "TeachStore",
    "check_classes",
    "check_label",
    "check_name",
    "check_view",
    "new_moment",
    "picture_id",
    "teach_directory",
]
