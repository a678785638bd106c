"""Training: a niced child process that makes a new version of a classifier."""

from edged.teach.training.process import Training, TrainingProcess

__all__ = ["Training", "TrainingProcess"]
