"""What every model is: two programs over named sites, built for data, and a default objective."""

import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from coset.batch import SetBatch
from coset.codes import coded, plain, recode
from coset.errors import DataError, nearest
from coset.models.description import SizeFromLabel, describe, measure_likelihood, size_from
from coset.models.saving import Saved
from coset.programs import Programs
from coset.queries import Queries
from coset.trace import Partial, Trace


class Model(Queries, Saved):
    """A pair of probabilistic programs over named sites. Subclasses are final.

    Attributes:
        observed: sites that a batch holds: `x`, and other views of the items.
        constancy: the site that tells which contexts are constant, `a`, which `SetBatch.constant` may give.
        default_objective: what trains the model where nothing else is said: the class and the options of an
            objective, as in a recipe.
        default_likelihood: its likelihood where nothing else is said; chosen by the data where None.
        size_from_label: an option that follows from a factor of the data.
        limitations: where it fails, in words for people who only use it.
        trained: what it was trained on and how, as far as that is to be told.
        values: the values of the discrete factors that label sites or are contexts, in the order of their codes, as
            they were in the data that the model was built for.
    """

    observed: Sequence[str] = ("x",)
    constancy: str | None = None
    default_objective: Mapping[str, Any] = MappingProxyType({"class": "EvidenceLowerBound"})
    limitations: ClassVar[str] = "What it has not seen, it guesses. Compare it with a simple rule on held-out data."
    trained: Mapping[str, Any] = MappingProxyType({})
    values: Mapping[str, list] = MappingProxyType({})
    default_likelihood: ClassVar[str | None] = None
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
        found = describe(data)
        for name in contexts or ():
            if name not in found.names:
                raise DataError(f"contexts: no factor {name!r} in the data; {nearest(name, found.names)}")
        parameters = inspect.signature(cls).parameters
        if "likelihood" in parameters and options.get("likelihood", "") is not None:  # None is refused below
            given = options.get("likelihood", cls.default_likelihood)
            measured = measure_likelihood(given, found, options.get("units"))
            options |= {name: value for name, value in measured.items() if name in parameters}
        if "contexts" in parameters and "contexts" not in options:
            one = parameters["contexts"].default is not inspect.Parameter.empty  # a default stands for a single context
            options["contexts"] = list(contexts or (found.names[:1] if one else found.names)) or ["context"]
        model = cls(found.item_shape, **size_from(cls.size_from_label, data, options), **options)  # type: ignore[call-arg]
        model.check_data(found, what="items")
        model.full_scale = found.full_scale
        named = {name for names in model.labels.values() for name in names} | set(model.contexts)
        model.values = {name: list(known) for name, known in found.values.items() if name in named}
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
            found[self.constancy] = self._read_constant(batch.constant)
        return found

    def _read_constant(self, constant: Tensor) -> Tensor | Partial:
        """What is constant in each set `[B, K]`, or in which sets that is known."""
        can_find = self.constancy in self.discrete
        if not can_find and constant.device.type != "cpu":  # elsewhere a look would make the host wait
            return constant
        unknown = constant.isnan().any(-1)  # [B]
        if not unknown.any():
            return constant
        if not can_find:
            raise DataError(
                f"{int(unknown.sum())} of {len(constant)} sets come without what they hold constant, which this model "
                "cannot find; build it with infer_a, or give `constant` for all"
            )
        return Partial(constant, (~unknown).to(constant))

    def over_values(self, site: str, scores: Tensor) -> Tensor:
        """Say of numbers for each code of a one-hot site `[..., V]` which values these are, if the model knows them."""
        name = self.labels[site][0]
        return coded(scores, self.values[name]) if name in self.values else scores

    def agree_with(self, data: Any) -> Any:
        """Read data as those that the model was built for, or refuse what it was not built for.

        Args:
            data: a table or a collection.

        Returns:
            The same, with bytes on the model's scale; a model that was built for no data takes theirs.

        Raises:
            DataError: A value of a label, or of the items, that the model does not take.
        """
        if self.full_scale is None:
            self.full_scale = data.full_scale
        data = data.on_scale(self.full_scale)
        self.check_data(data)
        for name in {name for names in self.labels.values() for name in names}:
            if name in getattr(data, "factors", {}):
                self._as_built(name, data.factors[name])
        return data

    def emit(self, p: Trace, parameters: Tensor) -> Tensor:
        """Visit the site `x` of the generative program, given what the decoder says of items, and return its value.

        Where the likelihood takes the total of an item as given and no x tells it, it is drawn at the site `library`,
        `[B, N]`.

        Args:
            p: the trace of the program.
            parameters: `[..., B, N, *parameter_shape]`, see `coset.networks.likelihoods.Likelihood`.
        """
        library = self.likelihood.library
        if library is None:
            return p.sample("x", self.likelihood(parameters), axes="BN")
        x = p.observed.get("x")
        if isinstance(x, Tensor):
            total = library.of(x, len(self.item_shape))
        else:
            lead = parameters.shape[: parameters.ndim - len(self.likelihood.parameter_shape)]
            total = p.sample("library", library(lead[-2:]), axes="BN")
        return p.sample("x", self.likelihood(parameters, total), axes="BN")

    def check_data(self, data: Any, what: str = "data") -> None:
        """Refuse data that the likelihood does not take; where each item has to be looked at, block by block.

        Raises:
            DataError: Saying which numbers it takes, and what to do.
        """
        closely = self.likelihood.counts or len(self.likelihood.parts)
        for x in data.blocks() if closely else [torch.tensor(data.range(), dtype=torch.float64)]:
            self.check_items(x, what)

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
