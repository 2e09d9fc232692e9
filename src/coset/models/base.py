"""What every model is: two programs over named sites, built for data, and a default objective."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.batch import SetBatch, as_tensor
from coset.codes import coded, plain, recode
from coset.errors import DataError, nearest
from coset.models.saving import Saved
from coset.programs import Programs
from coset.queries import Queries
from coset.trace import Partial, Trace


@dataclass(frozen=True)
class SizeFromLabel:
    """An option of a model that follows from the values of a discrete factor of the data, the option `label`.

    Attributes:
        option: the option's name.
        usual: the factor where none is named; the first discrete one where the data has none of this name.
        counts: whether the values count from 0 up without a gap, and the option is the largest; otherwise it is how
            many values there are.
    """

    option: str
    usual: str
    counts: bool = False


class Model(Queries, Saved):
    """A pair of probabilistic programs over named sites. Subclasses are final.

    Attributes:
        observed: sites that a batch holds: `x`, and other views of the items.
        constancy: the site that tells which contexts are constant, `a`, which `SetBatch.constant` may give.
        default_objective: what trains the model where nothing else is said: the class and the options of an
            objective, as in a recipe.
        size_from_label: an option that follows from a factor of the data.
        values: the values of the discrete factors that label sites or are contexts, in the order of their codes, as
            they were in the data that the model was built for.
    """

    observed: Sequence[str] = ("x",)
    constancy: str | None = None
    default_objective: Mapping[str, Any] = MappingProxyType({"class": "EvidenceLowerBound"})
    values: Mapping[str, list] = MappingProxyType({})
    size_from_label: ClassVar[SizeFromLabel | None] = None

    @classmethod
    def for_data(cls, data: Any, contexts: Sequence[str] | None = None, **options: Any) -> Self:
        """Build a model that fits a `FactorTable`, a `SetCollection`, a list of sets or an array of items.

        Args:
            data: where the shape and range of the items are read from.
            contexts: names of the factors that sets may hold constant, for models that have contexts; all of the
                table's where None, or the first for a model that has a single one.
            options: any argument of the constructor.

        Raises:
            DataError: The data has no such factor, or values that the likelihood does not take.
        """
        contexts = (contexts,) if isinstance(contexts, str) else contexts
        shape, low, high, known = _describe(data)
        for name in contexts or ():
            if name not in known:
                raise DataError(f"contexts: no factor {name!r} in the data; {nearest(name, known)}")
        parameters = inspect.signature(cls).parameters
        if "likelihood" in parameters:
            options.setdefault("likelihood", "bernoulli" if low >= 0 and high <= 1 else "gaussian")
        if "contexts" in parameters and "contexts" not in options:
            one = parameters["contexts"].default is not inspect.Parameter.empty  # a default stands for a single context
            options["contexts"] = list(contexts or (list(known)[:1] if one else known)) or ["context"]
        model = cls(shape, **_from_label(cls.size_from_label, data, options), **options)  # type: ignore[call-arg]
        model.check_range(low, high)
        model.values = _values_for(model, data)
        return model

    def known(self, batch: SetBatch) -> dict[str, Tensor | Partial]:
        """What a batch tells about latent sites, by name.

        These are `a`, where the batch says which contexts are constant, and the factors that `labels` names, where the
        batch has them.

        Raises:
            DataError: A code is beyond the values of its site.
        """
        found: dict[str, Tensor | Partial] = {
            site: self._read_labels(site, [self._as_built(name, batch.factors[name]) for name in names], batch.x)
            for site, names in self.labels.items()
            if all(name in batch.factors for name in names)
        }
        if self.constancy is not None and batch.constant is not None:
            found[self.constancy] = batch.constant
        return found

    def over_values(self, site: str, scores: Tensor) -> Tensor:
        """Say of numbers for each code of a one-hot site `[..., V]` which values these are, if the model knows them."""
        name = self.labels[site][0]
        return coded(scores, self.values[name]) if name in self.values else scores

    def check_values(self, data: Any) -> None:
        """Refuse data that label a site with values which the model was not built for.

        Raises:
            DataError: Names the first of them.
        """
        for name in {name for names in self.labels.values() for name in names}:
            if name in getattr(data, "factors", {}):
                self._as_built(name, data.factors[name])

    def _as_built(self, name: str, codes: Tensor) -> Tensor:
        """Codes of a factor in the numbering of the data that the model was built for."""
        return recode(codes, self.values[name], what=f"factor {name!r}") if name in self.values else plain(codes)

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

    def trace(self, batch: SetBatch, particles: int | None = None) -> tuple[Trace, Trace]:
        """Run both programs on a batch: the inference trace, and the generative one that replays it."""
        programs = Programs(self, batch)
        q = programs.infer(particles)
        return q, programs.generate(q)


def _values_for(model: Model, data: Any) -> dict[str, list]:
    """The values of what labels the model's sites or is one of its contexts, where the data are a table."""
    values = getattr(data, "values", None)
    wanted = {name for names in model.labels.values() for name in names} | set(model.contexts)
    return {name: list(known) for name, known in values.items() if name in wanted} if isinstance(values, dict) else {}


def _from_label(rule: SizeFromLabel | None, data: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options `label` and its size, from the factor of the data that tells a one-hot site.

    Raises:
        DataError: The factor is not there or continuous, or its values don't count from 0 up.
    """
    values = getattr(data, "values", None)
    values = values if isinstance(values, dict) else {}
    if rule is None or (rule.option in options and (not values or rule.counts)):
        return {}
    label = options.get("label", rule.usual if rule.usual in values or rule.counts else next(iter(values), rule.usual))
    if label not in values:
        if rule.counts:
            return {}
        raise DataError(f"label: no discrete factor {label!r} in the data; {nearest(label, values)}")
    if rule.counts and values[label] != list(range(len(values[label]))):
        raise DataError(f"label: {label!r} should count from 0 up without a gap, its values are {values[label]}")
    found = {"label": label, rule.option: len(values[label]) - rule.counts}
    return {name: value for name, value in found.items() if name not in options}


def _describe(data: Any) -> tuple[tuple[int, ...], float, float, list[str]]:
    """Shape of the items, their smallest and largest number, and the names of what sets may hold constant."""
    if hasattr(data, "range"):
        return tuple(data.item_shape), *data.range(), list(getattr(data, "contexts", None) or data.factors)
    listed = isinstance(data, Sequence) and not isinstance(data, str)
    parts = [as_tensor(part) for part in (data if listed else [data])]
    if not parts or len({part.shape[1:] for part in parts}) > 1 or not all(part.numel() for part in parts):
        shapes = [list(part.shape) for part in parts[:5]]
        raise DataError(f"data: expected items, or sets of items of one shape, at least one in each, got {shapes}")
    bounds = [part.aminmax() for part in parts]
    low, high = min(float(b.min) for b in bounds), max(float(b.max) for b in bounds)
    scale = 255 if parts[0].dtype == torch.uint8 else 1
    return tuple(parts[0].shape[1:]), low / scale, high / scale, ["context"] if listed else []
