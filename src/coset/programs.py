"""A model's two programs, ready to be run on a batch; what an objective is given."""

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from coset.batch import SetBatch
from coset.distributions import ENUMERATED, Discrete
from coset.errors import ConfigurationError, DataError, nearest
from coset.trace import Partial, StopProgram, Trace

MOST_COMBINATIONS = 1024
"""Joint values of discrete sites that are enumerated at most; the generative program runs once for each."""


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


@dataclass(frozen=True)
class Programs:
    """A model's two programs, ready to be run on a batch, as often as it takes.

    Attributes:
        model: whose programs they are, a `coset.models.Model`.
        batch: what they are run on.
        progress: the share of training that is over, from 0 to 1; 1 outside of training.
        fixed: gradients reach inputs but no parameter.
        evaluating: networks run in evaluation mode.

    >>> import torch
    >>> from coset.models import VAE
    >>> programs = Programs(VAE((4,), z_dim=2), SetBatch(torch.rand(3, 1, 4)))
    >>> q = programs.infer(particles=5)
    >>> programs.generate(q)["x"].log_prob.shape
    torch.Size([5, 3])
    """

    model: Any
    batch: SetBatch
    progress: float = 1.0
    fixed: bool = False
    evaluating: bool = False

    def infer(
        self,
        particles: int | None = None,
        replay: Mapping[str, Tensor] | None = None,
        fixed_parameters: bool = False,
        discrete: Mapping[str, Discrete] | None = None,
        relaxation: float | Mapping[str, float] = 0.5,
        observed: Mapping[str, Tensor | Partial] | None = None,
        temperature: float | Mapping[str, float] = 1.0,
        until: Collection[str] = (),
    ) -> Trace:
        """Run the inference program.

        Args:
            particles: S; sites that `discrete` enumerates multiply it by their numbers of values.
            replay: latent values that are scored again.
            fixed_parameters: let no gradient reach the parameters.
            discrete: how discrete sites are drawn, see `coset.distributions.Discrete`.
            relaxation: temperature of tempered, relaxed and straight-through draws, see `Trace`.
            observed: values of latent sites, in place of what the batch tells of them.
            temperature: scales the spread of draws, see `Trace`.
            until: sites after which the program need not go on.

        Raises:
            ConfigurationError: A site is to be enumerated that is not discrete, or too many joint values.
        """
        combinations = count_combinations(
            self.model.discrete, [name for name, how in (discrete or {}).items() if how in ENUMERATED]
        )
        if combinations > 1:
            particles = (particles or 1) * combinations
        known = self.model.known(self.batch) if observed is None else observed
        q = Trace(known, replay, self.batch.mask, particles, temperature, discrete, relaxation, until)
        with self._held(fixed_parameters), suppress(StopProgram):
            self.model.infer(q, self.batch)
        return q

    def generate(
        self,
        q: Trace | None = None,
        replay: Mapping[str, Tensor] | None = None,
        fixed_parameters: bool = False,
        observed: Mapping[str, Tensor | Partial] | None = None,
        shape: tuple[int, int] | None = None,
        temperature: float | Mapping[str, float] = 1.0,
    ) -> Trace:
        """Run the generative program.

        Args:
            q: inference trace, whose values are replayed; None replays nothing.
            replay: values to replay in place of those of `q`.
            fixed_parameters: let no gradient reach the parameters.
            observed: values to condition on; those of the batch where None, and of views that it lacks, what `q` noted
                under their names. With `{}` items are drawn.
            shape: (B, N); that of the batch where None.
            temperature: scales the spread of draws, see `Trace`.

        Raises:
            DataError: The batch lacks a view of the items that the model observes.
        """
        given = self._seen({} if q is None else q.noted) if observed is None else observed
        p = Trace(
            given,
            q if replay is None else replay,
            self.batch.mask if shape is None else None,
            None if q is None else q.particles,
            temperature,
        )
        with self._held(fixed_parameters):
            self.model.generate(p, self.batch.shape if shape is None else shape)
        return p

    def _seen(self, noted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the batch holds of the sites that the model observes, or else the inference program noted of them."""
        values = {**noted, **self.batch.values}
        for name in self.model.observed:
            if name not in values:
                raise DataError(
                    f"{type(self.model).__name__} observes {name!r}, which the batch lacks; "
                    f"{nearest(name, self.batch.values)}; "
                    "give it as a view: SetBatch(x, views={...}), or table.with_view(name, items)"
                )
        return {name: values[name] for name in self.model.observed}

    def on(self, batch: SetBatch | Tensor) -> "Programs":
        """The same programs on another batch, or on items `[B, N, ...]` of which nothing else is known."""
        return replace(self, batch=batch if isinstance(batch, SetBatch) else SetBatch(batch))

    def held(self, fixed: bool = True, evaluating: bool = True) -> "Programs":
        """The same programs with parameters held fixed and networks in evaluation mode, or one of both."""
        return replace(self, fixed=fixed, evaluating=evaluating)

    @contextmanager
    def _held(self, fixed_parameters: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if self.fixed or fixed_parameters:
                stack.enter_context(fixed(self.model))
            if self.evaluating:
                stack.enter_context(evaluating(self.model))
            yield


def count_combinations(discrete: Mapping[str, int], sites: Collection[str]) -> int:
    """How many joint values sites have that are to be enumerated.

    Args:
        discrete: number of values of each discrete site of a model.
        sites: names of those to be enumerated.

    Raises:
        ConfigurationError: A site that is not discrete, or more joint values than can be enumerated.

    >>> count_combinations({"class": 10, "count": 4}, ["class", "count"])
    40
    """
    for name in sites:
        if name not in discrete:
            raise ConfigurationError(f"enumerate: no discrete site {name!r}; {nearest(name, discrete)}")
    if (count := math.prod(discrete[name] for name in sites)) > MOST_COMBINATIONS:
        listing = " x ".join(f"{discrete[name]} of {name!r}" for name in sites)
        raise ConfigurationError(
            f"enumerate: {listing} make {count} joint values, more than {MOST_COMBINATIONS}; draw some of the "
            "sites instead ('relaxed', 'straight-through', or the objective ScoreFunction)"
        )
    return count
