"""What every model shares: two programs, reading items, saving, loading, and running without gradient."""

import functools
import importlib
import json
import os
import pkgutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from torch import Tensor, nn

from coset.errors import CheckpointError, DataError, ShapeError, nearest
from coset.trace import Trace

FORMAT = 1
"""Version of what `save_pretrained` writes; raised when old weights no longer fit."""

Method = TypeVar("Method", bound=Callable[..., Any])


class Batch(Protocol):
    """What `infer` reads of a batch; `coset.SetBatch` has it."""

    @property
    def x(self) -> Tensor:
        """Items `[B, N, ...]`."""
        ...

    @property
    def constant(self) -> Tensor | None:
        """Which contexts are constant, `a` `[B, K]`, where known."""
        ...

    @property
    def mask(self) -> Tensor | None:
        """Which items are present `[B, N]`; all where None."""
        ...


def inference(method: Method) -> Method:
    """Run a model's method in evaluation mode and without gradient."""

    @functools.wraps(method)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with evaluating(self), torch.no_grad():
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode, and each of their parts back into its own mode afterwards."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Hold parameters fixed and in evaluation mode: gradients pass through to the inputs, none reach the parameters."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    with evaluating(*modules):
        try:
            for parameter in parameters:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)


class Model(nn.Module, PyTorchModelHubMixin, ABC):
    """A pair of probabilistic programs over named sites. Subclasses are final.

    Attributes:
        item_shape: event axes of an item.
        likelihood: the module that gives p(x | …); its `kind` decides which items are accepted.
    """

    item_shape: tuple[int, ...]
    likelihood: Any

    @abstractmethod
    def infer(self, q: Trace, batch: Batch) -> None:
        """The inference program: visit every latent site, given a batch of sets."""

    @abstractmethod
    def generate(self, p: Trace, shape: tuple[int, int]) -> Tensor:
        """The generative program for `shape = (B, N)`: visit every site down to `x`, and return its value."""

    def suggested_weights(self) -> dict[str, dict[str, float]]:
        """Weights that train this model well: site name → weight, `first` and, after a warm-up, `last`.

        Sites that are not named count once; no weights at all stand for the bound itself.
        """
        return {}

    def anneal(self, fraction: float) -> None:
        """Prepare for the next epoch, `fraction` of training being over; nothing by default."""

    def settle(self, batches: Iterable[Batch]) -> None:
        """Estimate, from batches of training data, what is left to estimate after training; nothing by default."""

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Non-negative terms `[B]`, by name, that training subtracts from the bound; none by default."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    def trace(self, batch: Batch) -> tuple[Trace, Trace]:
        """Run both programs on a batch: the inference trace, and the generative one that replays it."""
        known = {} if batch.constant is None else {"a": batch.constant}
        q = Trace(observed=known, mask=batch.mask)
        self.infer(q, batch)
        p = Trace(observed={"x": batch.x}, replay=q, mask=batch.mask)
        self.generate(p, (batch.x.shape[0], batch.x.shape[1]))
        return q, p

    def read_items(self, items: Any, what: str = "items") -> Tensor:
        """Turn an array, tensor or nested list of items `[..., *item_shape]` into floats on the model's device.

        Bytes are intensities and are divided by 255.

        Raises:
            ShapeError: the last axes are not this model's items.
            DataError: no numbers, not finite ones, or some outside [0, 1] for a Bernoulli likelihood.
        """
        try:
            x = items if isinstance(items, Tensor) else torch.from_numpy(np.array(items, order="C"))
        except (TypeError, ValueError) as reason:
            raise DataError(f"{what}: not an array of numbers ({reason}); give items of one shape") from reason
        x = x.float() / 255 if x.dtype == torch.uint8 else x if x.is_floating_point() else x.float()
        event = len(self.item_shape)
        if x.ndim < event or tuple(x.shape[x.ndim - event :]) != self.item_shape:
            raise ShapeError(
                f"{what}: this model takes items of shape {list(self.item_shape)}, got an array of shape "
                f"{list(x.shape)}; resize the images, or train a model for this shape"
            )
        self.check_range(*(torch.aminmax(x) if x.numel() else (torch.zeros(()), torch.zeros(()))), what=what)
        return x.to(self.device, next(self.parameters()).dtype)

    def check_range(self, low: Any, high: Any, what: str = "items") -> None:
        """Raise a `DataError` unless values from `low` to `high` suit the likelihood."""
        low, high = float(low), float(high)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(f"{what}: contain NaN or infinity; drop or fill those items first")
        if self.likelihood.kind == "bernoulli" and (low < 0 or high > 1):
            raise DataError(
                f"{what}: a Bernoulli likelihood takes values in [0, 1], got [{low:g}, {high:g}]; "
                "rescale them, or build the model with likelihood='gaussian'"
            )

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """Write `config.json` and `model.safetensors` into a folder, each whole or not at all.

        Takes the options of `huggingface_hub.PyTorchModelHubMixin.save_pretrained`, such as `push_to_hub`.
        """
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        config = {"format": FORMAT, "model": type(self).__name__} | dict(self._hub_mixin_config or {})  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory(dir=target, prefix=".saving-") as whole:
            result = super().save_pretrained(whole, config=config, **options)
            for name in sorted(os.listdir(whole), reverse=True):  # the weights first, then what announces them
                os.replace(Path(whole) / name, target / name)
        return result


def load(folder: str | Path) -> Model:
    """Read back a model written by `save_pretrained`, or a Hugging Face repository holding one.

    Raises:
        CheckpointError: the folder holds no model, one of another version, or one of an unknown class.
    """
    where = Path(folder)
    if not where.exists() and str(folder).count("/") == 1 and not str(folder).startswith((".", "/")):
        from huggingface_hub import snapshot_download

        where = Path(snapshot_download(str(folder)))
    config_file = where / "config.json"
    if not config_file.is_file() or not (where / "model.safetensors").is_file():
        raise CheckpointError(
            f"{where} holds no saved model: expected config.json and model.safetensors, as model.save_pretrained writes"
        )
    try:
        config = json.loads(config_file.read_text())
    except ValueError as reason:
        raise CheckpointError(f"{config_file}: not JSON ({reason}); save the model again") from reason
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{config_file}: written in format {config.get('format')!r}, this version of coset reads format {FORMAT}; "
            "load it with the version that wrote it, or train again"
        )
    known = {model.__name__: model for model in model_classes()}
    if config.get("model") not in known:
        raise CheckpointError(
            f"{config_file}: unknown model {config.get('model')!r}; {nearest(str(config.get('model')), known)}"
        )
    try:
        return known[config["model"]].from_pretrained(where, strict=True)
    except (TypeError, ValueError, RuntimeError, OSError, SafetensorError) as reason:
        raise CheckpointError(f"{where}: the saved model cannot be read: {reason}") from reason


def model_classes() -> list[type[Model]]:
    """Every model that a file of `coset.models` defines; a new file is found without being registered."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    return sorted(Model.__subclasses__(), key=lambda model: model.__name__)
