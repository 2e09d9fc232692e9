"""What every model shares: two programs, reading items, saving, loading, and running without gradient."""

import contextlib
import functools
import importlib
import inspect
import io
import json
import math
import os
import pkgutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from torch import Tensor, nn

from coset.distributions import Discrete
from coset.errors import CheckpointError, ConfigurationError, DataError, ShapeError, nearest
from coset.trace import Partial, Trace

MOST_COMBINATIONS = 1024
"""Joint values of discrete sites that are enumerated at most; the generative program runs once for each."""

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

    @property
    def factors(self) -> Mapping[str, Tensor]:
        """Factors by name, `[B, N]`: codes, −1 where unknown, or numbers, NaN where unknown."""
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
def fixed(*modules: nn.Module) -> Iterator[None]:
    """Hold parameters fixed: gradients pass through to the inputs, none reach the parameters."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Hold parameters fixed and in evaluation mode."""
    with evaluating(*modules), fixed(*modules):
        yield


@dataclass(frozen=True)
class Programs:
    """A model's two programs, to be run on one batch; what an objective is given.

    >>> from coset.models import VAE
    >>> from coset.data import SetBatch
    >>> programs = Programs(VAE((4,), z_dim=2), SetBatch(torch.rand(3, 1, 4)))
    >>> q = programs.infer(particles=5)
    >>> programs.generate(q)["x"].log_prob.shape
    torch.Size([5, 3])
    """

    model: "Model"
    batch: Batch

    def infer(
        self,
        particles: int | None = None,
        replay: Mapping[str, Tensor] | None = None,
        fixed_parameters: bool = False,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: float = 0.5,
    ) -> Trace:
        """Run the inference program: S particles, or the latent values `replay` scored again.

        Sites that `discrete` enumerates multiply the particles by their numbers of values.
        """
        combinations = self.model.combinations(name for name, how in (discrete or {}).items() if how == "enumerate")
        if combinations > 1:
            particles = (particles or 1) * combinations
        known = self.model.known(self.batch)
        q = Trace(known, replay, self.batch.mask, particles, discrete=discrete, relaxation=relaxation)
        with fixed(self.model) if fixed_parameters else nullcontext():
            self.model.infer(q, self.batch)
        return q

    def generate(self, q: Trace, replay: Mapping[str, Tensor] | None = None, fixed_parameters: bool = False) -> Trace:
        """Run the generative program on the items, replaying `q`, or in its place the values `replay`."""
        p = Trace({"x": self.batch.x}, q if replay is None else replay, self.batch.mask, q.particles)
        with fixed(self.model) if fixed_parameters else nullcontext():
            self.model.generate(p, (self.batch.x.shape[0], self.batch.x.shape[1]))
        return p


class Model(nn.Module, PyTorchModelHubMixin, ABC):
    """A pair of probabilistic programs over named sites. Subclasses are final.

    Attributes:
        item_shape: event axes of an item.
        likelihood: the module that gives p(x | …); its `kind` decides which items are accepted.
        contexts: names of the factors that sets hold constant; none for a model of independent items.
        item_sites: sites of what items do not share, whose spread `temperature` scales.
        discrete: number of values of each one-hot site, by name.
        labels: which factors of the data tell the value of a latent site, where they are known: site name → one
            discrete factor for a one-hot site, or as many continuous ones as the site has dimensions.
    """

    item_shape: tuple[int, ...]
    likelihood: Any
    contexts: Sequence[str] = ()
    item_sites: Sequence[str] = ("z",)
    discrete: Mapping[str, int] = MappingProxyType({})
    labels: Mapping[str, Sequence[str]] = MappingProxyType({})

    @classmethod
    def for_data(cls, data: Any, contexts: Sequence[str] | None = None, **options: Any) -> Self:
        """Build a model that fits a `FactorTable`, a `SetCollection`, a list of sets or an array of items.

        Args:
            data: where the shape and range of the items are read from.
            contexts: names of the factors that sets may hold constant, for models that have contexts; all of the
                table's, where None.
            options: any argument of the constructor.
        """
        shape, low, high, known = _describe(data)
        for name in contexts or ():
            if name not in known:
                raise DataError(f"contexts: no factor {name!r} in the data; {nearest(name, known)}")
        if "likelihood" in inspect.signature(cls).parameters:
            options.setdefault("likelihood", "bernoulli" if low >= 0 and high <= 1 else "gaussian")
        options = cls.context_options(list(contexts or known)) | dict(cls.data_options(data, options)) | options
        model = cls(shape, **options)  # type: ignore[call-arg]
        model.check_range(low, high)
        return model

    @classmethod
    def context_options(cls, contexts: list[str]) -> dict[str, Any]:
        """Arguments of the constructor that follow from the names of the contexts; none for a model without any."""
        return {}

    @classmethod
    def data_options(cls, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the constructor that follow from the data and the other options; none by default."""
        return {}

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
        """Estimate, from training data, what is left to estimate after training, or forget it; nothing by default.

        `fit` calls it without a batch before training, and with some thousand sets afterwards.
        """

    def penalties(self, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Non-negative terms `[B]`, by name, that training subtracts from the bound; none by default."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    def known(self, batch: Batch) -> dict[str, Tensor | Partial]:
        """What a batch tells about latent sites, by name: the factors that `labels` names, where the batch has them.

        Raises:
            DataError: a code is beyond the values of its site.
        """
        return {
            site: self._read_labels(site, [batch.factors[name] for name in names], batch.x)
            for site, names in self.labels.items()
            if all(name in batch.factors for name in names)
        }

    def _read_labels(self, site: str, factors: list[Tensor], like: Tensor) -> Partial:
        """The value of a site that factors `[B, N]` tell, and where they do."""
        if site not in self.discrete:
            value = torch.stack(factors, -1).to(like.dtype)  # [B, N, D]
            return Partial(value, (~value.isnan().any(-1)).to(like.dtype))
        codes, values = factors[0], self.discrete[site]
        if codes.device.type == "cpu" and int(codes.max()) >= values:
            raise DataError(
                f"site {site!r} has {values} values, but {self.labels[site][0]!r} has the code {int(codes.max())}; "
                "build the model for the table that holds all of them"
            )
        return Partial(F.one_hot(codes.clamp_min(0), values).to(like.dtype), (codes >= 0).to(like.dtype))

    def combinations(self, sites: Iterable[str]) -> int:
        """How many joint values sites have that are to be enumerated.

        Raises:
            ConfigurationError: a site that is not discrete, or more joint values than can be enumerated.
        """
        sizes = {}
        for name in sites:
            if name not in self.discrete:
                raise ConfigurationError(f"enumerate: no discrete site {name!r}; {nearest(name, self.discrete)}")
            sizes[name] = self.discrete[name]
        if (count := math.prod(sizes.values())) > MOST_COMBINATIONS:
            listing = " x ".join(f"{size} of {name!r}" for name, size in sizes.items())
            raise ConfigurationError(
                f"enumerate: {listing} make {count} joint values, more than {MOST_COMBINATIONS}; draw some of the "
                "sites instead ('relaxed', 'straight-through', or the objective ScoreFunction)"
            )
        return count

    def trace(self, batch: Batch, particles: int | None = None) -> tuple[Trace, Trace]:
        """Run both programs on a batch: the inference trace, and the generative one that replays it."""
        programs = Programs(self, batch)
        q = programs.infer(particles)
        return q, programs.generate(q)

    def decode(
        self,
        shape: tuple[int, int],
        observed: Mapping[str, Tensor | Partial] | None = None,
        replay: Trace | Mapping[str, Tensor] | None = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """Run the generative program for `shape = (B, N)` and return the items, `[B, N, *item_shape]`.

        Args:
            shape: sets, and items of each.
            observed: values to condition on, by site name.
            replay: values to take over where the program visits them.
            temperature: scales the spread of what items do not share, the sites in `item_sites`.
            draw: return draws from p(x | …) rather than its mean.
        """
        if shape[0] < 1 or shape[1] < 1:
            raise ConfigurationError(f"expected at least one set and one item to generate, got {shape}")
        if temperature < 0:
            raise ConfigurationError(f"temperature: expected 0 or more, got {temperature}")
        p = Trace(observed, replay, temperature=dict.fromkeys(self.item_sites, temperature))
        self.generate(p, shape)
        p.check_visited()
        distribution = p["x"].distribution
        assert distribution is not None
        return p["x"].value if draw else distribution.mean

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
        dtype = next(self.parameters()).dtype
        x = x.to(dtype) / 255 if x.dtype == torch.uint8 else x if x.is_floating_point() else x.to(dtype)
        event = len(self.item_shape)
        if x.ndim < event or tuple(x.shape[x.ndim - event :]) != self.item_shape:
            raise ShapeError(
                f"{what}: this model takes items of shape {list(self.item_shape)}, got an array of shape "
                f"{list(x.shape)}; resize the images, or train a model for this shape"
            )
        self.check_range(*(torch.aminmax(x) if x.numel() else (torch.zeros(()), torch.zeros(()))), what=what)
        return x.to(self.device, dtype)

    def read_sets(self, x: Any, mask: Tensor | None, what: str = "x") -> tuple[Tensor, Tensor | None, bool]:
        """Turn sets `[B, N, *item_shape]`, one set without `B`, or a list of sets of differing lengths, into a batch.

        Returns:
            Items `[B, N, *item_shape]`, which are present `[B, N]` (None for all), and whether it was a single set.

        Raises:
            ShapeError, DataError: these are no sets of this model's items.
        """
        event = len(self.item_shape)
        if isinstance(x, (list, tuple)) and x and all(getattr(part, "ndim", None) == event + 1 for part in x):
            if mask is not None:
                raise ShapeError(f"mask: the list of sets {what} says itself which items there are; give no mask")
            parts = [self.read_items(part, what) for part in x]
            longest = max(len(part) for part in parts)
            padding = [F.pad(part, (0, 0) * event + (0, longest - len(part))) for part in parts]
            present = torch.zeros(len(parts), longest, device=self.device, dtype=parts[0].dtype)
            for row, part in enumerate(parts):
                present[row, : len(part)] = 1.0
            x, mask = torch.stack(padding), present
        x = self.read_items(x, what)
        if x.ndim not in (event + 1, event + 2) or 0 in x.shape[: x.ndim - event]:
            raise ShapeError(
                f"{what}: expected sets [B, N, {', '.join(map(str, self.item_shape))}] or one set without B, with at "
                f"least one item each, got {list(x.shape)}"
            )
        single = x.ndim == event + 1
        if mask is not None:
            mask = torch.as_tensor(mask, dtype=x.dtype, device=x.device)
            mask = mask.unsqueeze(0) if single and mask.ndim == 1 else mask
        x = x.unsqueeze(0) if single else x
        if mask is not None and tuple(mask.shape) != tuple(x.shape[:2]):
            raise ShapeError(f"mask: expected {list(x.shape[:2])}, one entry an item, got {list(mask.shape)}")
        if mask is not None and not bool((present := mask.sum(1)).all()):
            raise ShapeError(f"{what}: set {int(present.argmin())} has no item; leave it out")
        return x, mask, single

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
    own_last = sorted(model_classes(), key=lambda model: model.__module__.startswith(f"{__package__}."))
    known = {model.__name__: model for model in own_last}  # a user's class of the same name does not hide ours
    if config.get("model") not in known:
        raise CheckpointError(
            f"{config_file}: unknown model {config.get('model')!r}; {nearest(str(config.get('model')), known)}"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the mixin announces where it reads from
            return known[config["model"]].from_pretrained(where, strict=True)
    except (TypeError, ValueError, RuntimeError, OSError, SafetensorError) as reason:
        raise CheckpointError(f"{where}: the saved model cannot be read: {reason}") from reason


def model_classes() -> list[type[Model]]:
    """Every model that a file of `coset.models` defines; a new file is found without being registered."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    return sorted(Model.__subclasses__(), key=lambda model: model.__name__)


def discrete_values(data: Any) -> dict[str, list]:
    """The distinct values of each discrete factor of a table, by name; none of data without factors."""
    values = getattr(data, "values", None)
    return values if isinstance(values, dict) else {}


def label_options(data: Any, options: Mapping[str, Any], size: str, usual: str) -> dict[str, Any]:
    """The options `label` and `size` of a model whose one-hot site is told by a factor of the data.

    Args:
        data: a table; data without discrete factors will do where `size` is given.
        options: what was given: perhaps `label`, the name of the factor, and `size`.
        size: name of the option that is the number of values.
        usual: the factor where none is named; the first discrete one where the data has none of this name.

    Raises:
        DataError: the factor is not there, or continuous.
    """
    values = discrete_values(data)
    if not values and size in options:
        return {}
    label = options.get("label", usual if usual in values else next(iter(values), usual))
    if label not in values:
        raise DataError(f"label: no discrete factor {label!r} in the data; {nearest(label, values)}")
    return {"label": label, size: len(values[label])}


def _describe(data: Any) -> tuple[tuple[int, ...], float, float, list[str]]:
    """Shape of the items, their smallest and largest number, and the names of what sets may hold constant."""
    if hasattr(data, "range"):
        return tuple(data.item_shape), *data.range(), list(getattr(data, "contexts", None) or data.factors)
    listed = isinstance(data, Sequence)
    parts = [torch.as_tensor(part) for part in (data if listed else [data])]
    bounds = [part.aminmax() for part in parts]
    low, high = min(float(b.min) for b in bounds), max(float(b.max) for b in bounds)
    scale = 255 if parts[0].dtype == torch.uint8 else 1
    return tuple(parts[0].shape[1:]), low / scale, high / scale, ["context"] if listed else []


@dataclass(frozen=True)
class Items:
    """A batch made of sets that a user hands to a model's method."""

    x: Tensor
    constant: Tensor | None = None
    mask: Tensor | None = None
    factors: Mapping[str, Tensor] = field(default_factory=dict)
