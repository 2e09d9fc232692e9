"""Options of `fit` and of Lightning's trainer, read and refused before anything is made."""

import math
import os
import warnings
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator

from coset.arguments import is_whole
from coset.data import SetSampler
from coset.errors import ConfigurationError, DataError
from coset.models import Model

MANY_NODES = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "NODE_RANK", "GROUP_RANK", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE")
"""Variables by which a launcher on several machines tells each which one it is."""

MOST_WORKERS = 128
"""Processes that draw batches, at most; each of them holds its own copy of what it draws from."""


def read_length(epochs: int | None, steps: int | None, trainer: dict[str, Any]) -> tuple[int | None, int | None]:
    """Epochs and steps that are asked for, also in Lightning's words for them.

    Raises:
        ConfigurationError: Fewer than one.
    """
    for name, number in (("epochs", epochs), ("steps", steps)):
        _check_length(name, number)
    for word in ("max_epochs", "max_steps"):
        given = trainer.pop(word, None)
        if given is not None and given != -1:  # which is Lightning's word for no limit
            _check_length(word, given)
            epochs, steps = (given, steps) if word == "max_epochs" else (epochs, given)
    return None if epochs is None else int(epochs), None if steps is None else int(steps)


def _check_length(name: str, number: Any) -> None:
    if number is not None and (not is_whole(number) or number < 1):
        raise ConfigurationError(f"{name}: expected a whole number from 1 up, got {number!r}")


def check_seed(seed: Any) -> None:
    """Refuse what no generator of random numbers can begin with.

    Raises:
        ConfigurationError: Not a whole number from 0 up, or a larger one than generators take.
    """
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise ConfigurationError(f"seed: expected a whole number from 0 up to 2**63 - 1, got {seed!r}")


def check_classes(model: Model, items: int) -> None:
    """Refuse to find more classes of independent items than there are items to learn from.

    Raises:
        DataError: There are more.
    """
    found = {} if model.contexts else model.discrete
    for name in found.keys() - model.labels.keys():
        if found[name] > items:
            raise DataError(
                f"site {name!r} has {found[name]} values, but there are {items} items to learn from; build the model "
                "with fewer, or train on more"
            )


def check_numbers(seed: int, learning_rate: float, patience: int | None, workers: int) -> None:
    """Refuse numbers that make no sense.

    Raises:
        ConfigurationError: Names the option.
    """
    check_seed(seed)
    if not learning_rate > 0:
        raise ConfigurationError(f"learning_rate: expected a number above 0, such as 2e-3, got {learning_rate}")
    if patience is not None and patience < 1:
        raise ConfigurationError(f"patience: expected a number of epochs from 1 up, or None for ever, got {patience}")
    if not 0 <= workers <= MOST_WORKERS:
        raise ConfigurationError(
            f"workers: expected 0, which draws batches in the training process, to {MOST_WORKERS}, got {workers}"
        )


def check_callable(**given: Any) -> None:
    """Refuse what is not called, where an objective or a schedule is.

    Raises:
        ConfigurationError: Names the option.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise ConfigurationError(f"{name}: expected one that can be called, see coset.objectives, got {value!r}")


def build_trainer(options: Mapping[str, Any]) -> lightning.Trainer:
    """Lightning's trainer, or in our words what is wrong with its options.

    Raises:
        ConfigurationError: An option or its value is not known, fits no device here, or would wait for other machines.
    """
    if int(options.get("num_nodes", 1)) > 1 and not any(name in os.environ for name in MANY_NODES):
        raise ConfigurationError(
            f"num_nodes: {options['num_nodes']} machines take a launcher on each, such as torchrun or SLURM; without "
            "one this process would wait for the others for ever"
        )
    try:
        trainer = lightning.Trainer(**options)
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as reason:
        said = str(reason).splitlines()[0]
        raise ConfigurationError(f"trainer: {said}; see the options of lightning.Trainer") from reason
    if "bf16" in str(trainer.precision) and isinstance(trainer.accelerator, CPUAccelerator) and not has_bfloat16():
        warnings.warn(
            f"this processor emulates bfloat16, many times more slowly than it computes in float32; leave "
            f"precision={trainer.precision!r} out here",
            stacklevel=2,
        )
    return trainer


def has_bfloat16() -> bool:
    """Whether products of bfloat16 matrices are fast on this processor, as far as can be known."""
    return not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def batches_per_epoch(engine: Any, sampler: SetSampler) -> int:
    """Batches that each process trains on in an epoch, `limit_train_batches` and `overfit_batches` considered.

    Raises:
        ConfigurationError: None is left.
    """
    count, limit = math.ceil(sampler.batches / engine.world_size), engine.limit_train_batches
    count = int(count * limit) if isinstance(limit, float) else min(count, limit)
    if count < 1:
        raise ConfigurationError(
            f"limit_train_batches: {limit} of {math.ceil(sampler.batches / engine.world_size)} batches leaves none to "
            "train on; give a larger number, or more batches an epoch (sets={'batches': …})"
        )
    return count


def set_length(engine: Any, sampler: SetSampler, epochs: int | None, steps: int | None) -> tuple[int, int]:
    """Epochs and steps of the optimiser in all, now that it is known how many processes share an epoch's batches.

    A step takes `accumulate_grad_batches` batches, or what an epoch has left.

    Raises:
        ConfigurationError: An epoch would have no batch.
    """
    each = engine.accumulate_grad_batches
    if engine.fast_dev_run:
        epochs, steps = 1, None
    if steps is not None:  # an epoch ends, and is validated, before training does
        sampler.batches = min(sampler.batches, steps * each * engine.world_size)
    per_epoch = math.ceil(batches_per_epoch(engine, sampler) / each)
    engine.log_every_n_steps = min(engine.log_every_n_steps, batches_per_epoch(engine, sampler))
    epochs = epochs or (20 if steps is None else math.ceil(steps / per_epoch))
    return epochs, min(steps or epochs * per_epoch, epochs * per_epoch)
