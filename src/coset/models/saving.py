"""Models on disk: `save_pretrained` writes a folder, whole or not at all, and `load` reads it back."""

import contextlib
import inspect
import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors import SafetensorError
from torch import Tensor

from coset.arguments import check_arguments, check_names
from coset.discovery import classes
from coset.errors import CheckpointError, nearest
from coset.models.card import write_card

FORMAT = 2
"""Version of what `save_pretrained` writes; raised when old weights no longer fit."""

CHOSEN = ("completion", "trained")
"""What training chooses for a model or notes of itself, and is saved with it."""


class Saved(PyTorchModelHubMixin):
    """A model that is saved as `config.json`, what its constructor was given, and `model.safetensors`, its weights."""

    values: Mapping[str, list]
    full_scale: int | None
    _not_recorded: list[str]

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Check the constructor's arguments, and record them as Python's own numbers and words, which JSON can hold.

        Raises:
            ConfigurationError: An argument is not of the type that the constructor says, or has another name.
        """
        check_names(cls.__name__, cls, list(options))
        given = inspect.signature(cls).bind_partial(*args, **options).arguments
        check_arguments(cls.__name__, cls.__init__, given)
        plain = {name: _as_python(value) for name, value in options.items()}
        model = super().__new__(cls, *map(_as_python, args), **plain)
        model._not_recorded = [name for name, value in given.items() if not _is_json(_as_python(value))]
        return model

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """Write `config.json`, `model.safetensors` and a model card into a folder, each whole or not at all.

        Takes the options of `huggingface_hub.PyTorchModelHubMixin.save_pretrained`, such as `push_to_hub`.

        Raises:
            CheckpointError: An argument of the constructor cannot be written down, so that another model would be read.
        """
        if self._not_recorded:
            raise CheckpointError(
                f"{type(self).__name__}: its argument {self._not_recorded[0]!r} cannot be written as JSON; build "
                "models with numbers, words, and lists of them"
            )
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        config = {"format": FORMAT, "model": type(self).__name__, "values": dict(self.values)}
        config["full_scale"] = self.full_scale
        config |= dict(self._hub_mixin_config or {})  # type: ignore[arg-type]
        config |= {name: _as_python(getattr(self, name)) for name in CHOSEN if hasattr(self, name)}
        with tempfile.TemporaryDirectory(dir=target, prefix=".saving-") as whole:
            result = super().save_pretrained(whole, config=config, **options)
            for name in sorted(os.listdir(whole), reverse=True):  # the weights first, then what announces them
                (Path(whole) / name).chmod(0o666 & ~_mask())  # safetensors writes for its owner alone
                os.replace(Path(whole) / name, target / name)
        return result

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that `save_pretrained` writes beside the weights; takes what `coset.models.card.write_card` does."""
        return ModelCard(write_card(self, *args, **kwargs))

    @classmethod
    def _from_pretrained(cls, *, config: Mapping[str, Any] | None = None, **options: Any) -> Any:
        model: Any = super()._from_pretrained(**options)
        model.values = dict((config or {}).get("values", {}))  # which, as what follows, no constructor is given
        model.full_scale = (config or {}).get("full_scale")
        for name in CHOSEN:
            if name in (config or {}):
                setattr(model, name, dict(config or {})[name])
        return model

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """Read back what `save_pretrained` wrote, in evaluation mode; earlier huggingface_hub leaves it in training.

        Takes the arguments of `huggingface_hub.PyTorchModelHubMixin.from_pretrained`.
        """
        model: Any = super().from_pretrained(*arguments, **options)
        return model.eval()


def load(folder: str | Path) -> Any:
    """Read back a model written by `save_pretrained`, or a Hugging Face repository holding one, in evaluation mode.

    Raises:
        CheckpointError: The folder holds no model, one of another version, or one of an unknown class.
    """
    where = Path(folder).expanduser()
    if not where.exists() and str(folder).count("/") == 1 and not str(folder).startswith((".", "/", "~")):
        where = _download(str(folder))
    config = _read_config(where)
    known = _known_classes()
    if config.get("model") not in known:
        raise CheckpointError(
            f"{where / 'config.json'}: unknown model {config.get('model')!r}; "
            f"{nearest(str(config.get('model')), known)}"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the mixin announces where it reads from
            model = known[config["model"]].from_pretrained(where, strict=True)
    except (TypeError, ValueError, RuntimeError, OSError, SafetensorError) as reason:
        raise CheckpointError(f"{where}: the saved model cannot be read: {reason}") from reason
    for name, weights in model.state_dict().items():
        if not weights.isfinite().all():
            raise CheckpointError(f"{where}: {name} is not finite; take an earlier checkpoint, or train again")
    return model


def _read_config(where: Path) -> dict[str, Any]:
    """What the folder says of its model."""
    config_file = where / "config.json"
    if not config_file.is_file() or not (where / "model.safetensors").is_file():
        raise CheckpointError(
            f"{where} holds no saved model: expected config.json and model.safetensors, as model.save_pretrained writes"
        )
    try:
        config = json.loads(config_file.read_text())
    except ValueError as reason:
        raise CheckpointError(f"{config_file}: not JSON ({reason}); save the model again") from reason
    if not isinstance(config, dict) or not isinstance(config.get("model", ""), str):
        raise CheckpointError(f"{config_file}: expected an object that names its model; save the model again")
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{config_file}: written in format {config.get('format')!r}, this version of coset reads format {FORMAT}; "
            "load it with the version that wrote it, or train again"
        )
    return config


def _known_classes() -> dict[str, Any]:
    """Models by name: those that a user's imported modules define, and ours, which no other of the same name hides."""
    users: dict[str, Any] = {}
    queue: list[Any] = [Saved]
    while queue:
        for found in queue.pop().__subclasses__():
            queue.append(found)
            users[found.__name__] = found
    return users | classes("coset.models", Saved)


def _download(name: str) -> Path:
    """The folder of a repository of the Hugging Face Hub, if `name` is one."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))
    except Exception as reason:  # whatever the network, the Hub or the name do wrong
        raise CheckpointError(
            f"{name}: there is no such folder, and no such repository of the Hugging Face Hub could be fetched "
            f"({type(reason).__name__}); look at the name, or write ./{name} for a folder"
        ) from reason


def _mask() -> int:
    """What the user does not allow to others on new files; it cannot be read without being set."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _as_python(value: Any) -> Any:
    """Numbers of NumPy and torch, and whatever holds them, as Python's own."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_as_python(part) for part in value]
    if isinstance(value, Mapping):
        return {name: _as_python(part) for name, part in value.items()}
    return str(value) if isinstance(value, Path) else value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
