"""Figures that judge models."""

from coset.metrics.black_white import read_background, without_background
from coset.metrics.classifier import ImageClassifier, load_or_train_classifier, train_classifier
from coset.metrics.composition import (
    CompositionResult,
    ConditionResult,
    agreement,
    agreement_of,
    composition_accuracy,
    conditional_accuracy,
)
from coset.metrics.few_shot import Accuracy, Episodes, context_accuracy, draw_episodes, neighbour_accuracy
from coset.metrics.likelihood import log_likelihood, mean_and_error

__all__ = [
    "Accuracy",
    "CompositionResult",
    "ConditionResult",
    "Episodes",
    "ImageClassifier",
    "agreement",
    "agreement_of",
    "composition_accuracy",
    "conditional_accuracy",
    "context_accuracy",
    "draw_episodes",
    "load_or_train_classifier",
    "log_likelihood",
    "mean_and_error",
    "neighbour_accuracy",
    "read_background",
    "train_classifier",
    "without_background",
]
