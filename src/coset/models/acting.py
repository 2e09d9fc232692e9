"""Contexts that act: which candidate of an action an item shows, or a set has in common, and its undoing."""

import operator
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from coset.discovery import find_named
from coset.errors import ConfigurationError, nearest
from coset.networks.actions.base import Action
from coset.networks.actions.plane import do_in_turn
from coset.networks.items import ItemEncoder
from coset.networks.likelihoods.base import Likelihood
from coset.shapes import spread
from coset.sites import group
from coset.trace import Trace

SITES = ("{}_action.constant", "{}_action.varying")
"""Of a context that acts: the choice of a set that holds it constant, and that of each item elsewhere."""

LISTED = 32
"""Joint choices up to which training takes the mean over all of them."""
EXACT: dict[str, Any] = {"how": "tempered", "temperature": [20.0, 1.0, 0.3]}
DRAWN: dict[str, Any] = {"how": "straight-through", "temperature": [1.0, 0.5]}
"""How choices are made in training: at first all count alike, or the first to be read would stay."""


class ActingContexts(nn.Module):
    """The contexts of a context-aware learner that act on what z and the other contexts made, one after another.

    Each is one of V candidates, with a prior over them that is learned, and

        q(v | x) ∝ exp(s(features of x with v undone)),   q(v | D) ∝ exp(Σ_n s(…))  where the set holds it constant

    so that an item is read as if nothing had been done to it, for each candidate: what has only been seen upright is
    recognised when it is turned.

    Args:
        actions: context → name of an action, or `{"class": NAME, option: value}`.
        contexts: names of all contexts of the model, in the order in which they act.
        likelihood: of the items.
        features: size of an item's features.

    Raises:
        ConfigurationError: An unknown action, or one for other items.
    """

    def __init__(self, actions: Mapping[str, Any], contexts: Sequence[str], likelihood: Likelihood, features: int):
        super().__init__()
        item_shape = likelihood.item_shape
        if actions and likelihood.parameter_shape != item_shape:
            raise ConfigurationError(
                f"actions: act where a decoder gives one number for each of an item's; {type(likelihood).__name__} "
                f"takes {list(likelihood.parameter_shape)} for items of shape {list(item_shape)}"
            )
        self.columns = {name: column for column, name in enumerate(contexts) if name in actions}
        self.actions: Any = nn.ModuleList(_build(actions[name], item_shape) for name in self.columns)
        self.scores: Any = nn.ModuleList(nn.Linear(features, 1) for _ in actions)
        self.priors = nn.ParameterList(nn.Parameter(torch.zeros(action.candidates)) for action in self.actions)

    @property
    def sizes(self) -> dict[str, int]:
        """How many candidates each context has, by name."""
        return {name: action.candidates for name, action in zip(self.columns, self.actions, strict=True)}

    @property
    def groups(self) -> dict[str, int]:
        """The same, by the names of the groups of sites."""
        return {group(SITES[0].format(name)): size for name, size in self.sizes.items()}

    @property
    def drawn(self) -> dict[str, Any]:
        """How the evidence lower bound treats choices: by an exact mean, or by a draw where they are too many.

        The mean is over those that act first, which are undone last: what was drawn has been undone for all of them.
        """
        joint = accumulate(self.groups.values(), operator.mul)
        ways = {name: EXACT if count <= LISTED else DRAWN for name, count in zip(self.groups, joint, strict=True)}
        return {
            "discrete": {name: way["how"] for name, way in ways.items()},
            "relaxation": {name: way["temperature"] for name, way in ways.items()},
        }

    def infer(self, q: Trace, x: Tensor, a: Tensor, encoder: ItemEncoder) -> Tensor:
        """Visit the choices, last action first, and return the items' features with all undone: `[(S,) B, N, F]`.

        Args:
            q: the inference trace.
            x: items `[B, N, *item_shape]`.
            a: which contexts are constant, `[B, K]`.
            encoder: of items.
        """
        features = None
        for name, action, score in list(zip(self.columns, self.actions, self.scores, strict=True))[::-1]:
            every = self._candidates(action, x, encoder, q.mask)  # [V, (S,) B, N, F]
            # A mean over what was undone before, or a choice of the set would depend on those of its items.
            logits = q.expect(score(every)[..., 0].movedim(0, -1), "BN")  # [B, N, V]
            choice = self._choose(q, name, _total(logits, q.mask), logits, a)
            features = torch.einsum("...v,v...f->...f", choice, every)
            x = x if action is self.actions[0] else action.undo(x, choice)
        return encoder(x, q.mask) if features is None else features

    def generate(self, p: Trace, a: Tensor, items: int) -> list[Tensor]:
        """Visit the choices, and return them, `[B, N, V]` each."""
        return [
            self._choose(p, name, prior.expand(len(a), -1), prior.expand(len(a), items, -1), a)
            for name, prior in zip(self.columns, self.priors, strict=True)
        ]

    def do(self, parameters: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        """Let all actions act on the parameters of items' likelihoods."""
        return do_in_turn(self.actions, chosen, parameters)

    def _candidates(self, action: Any, x: Tensor, encoder: ItemEncoder, mask: Tensor | None) -> Tensor:
        """Features of items with each candidate undone, `[V, ..., F]`."""
        lead = x.shape[: x.ndim - len(encoder.item_shape)]
        every = torch.eye(action.candidates).to(x).view(-1, *(1,) * len(lead), action.candidates)
        return encoder(action.undo(x, every), mask)

    def _choose(self, trace: Trace, name: str, of_set: Tensor, of_items: Tensor, a: Tensor) -> Tensor:
        """Visit the choice of the set and those of its items, and return what each item shows: `[..., B, N, V]`."""
        here = a[..., self.columns[name]]  # [B]
        items = of_items.shape[-2]
        elsewhere = (1 - here).unsqueeze(-1).expand(*here.shape, items)  # [B, N]
        constant = trace.sample(SITES[0].format(name), _one_of(of_set), axes="B", mask=here)
        varying = trace.sample(SITES[1].format(name), _one_of(of_items), axes="BN", mask=elsewhere)
        share = here[:, None, None]
        return share * spread(constant, items) + (1 - share) * varying


def check_actions(actions: Mapping[str, Any], contexts: Sequence[str], known: bool) -> None:
    """Refuse actions that the contexts of a model cannot have.

    Args:
        actions: context → action.
        contexts: names of all contexts.
        known: whether sets tell which contexts are constant.

    Raises:
        ConfigurationError: An action of no context, of all of them, or of contexts whose constancy is to be found.
    """
    if actions and not known:
        raise ConfigurationError("actions are found where `a` is known; leave out either actions or infer_a")
    for name in actions:
        if name not in contexts:
            raise ConfigurationError(f"actions: no context {name!r}; {nearest(name, contexts)}")
        if "." in name:
            raise ConfigurationError(f"actions: a context that acts cannot have a dot in its name, as {name!r} has")
    if actions and set(contexts) <= actions.keys():
        raise ConfigurationError(f"actions: one context or more has to be free to act upon; all of {contexts} act")


def _total(logits: Tensor, mask: Tensor | None) -> Tensor:
    return logits.sum(-2) if mask is None else (logits * mask.unsqueeze(-1)).sum(-2)


def _one_of(logits: Tensor) -> OneHotCategorical:
    return OneHotCategorical(logits=logits, validate_args=False)


def _build(given: Any, item_shape: Sequence[int]) -> Action:
    """An action from its name, or from its class and options."""
    made, options = find_named(given, "coset.networks.actions", Action, "actions")
    return made(item_shape, **options)
