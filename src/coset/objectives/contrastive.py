"""Contrastive set identification: an item's code should tell which set of the batch the item came from."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from coset.errors import TraceError
from coset.objectives.base import Penalty
from coset.programs import Programs
from coset.trace import Trace


class ContrastiveSetIdentification(Penalty):
    """The cross-entropy of telling an item's set from the other sets of the batch; see `contrastive`.

    It asks for a model whose contexts have posteriors that are products over items, and whose inference program notes
    the natural parameters that each item contributes, `linear` and `precision` `[B, N, K, C]`, and `constant`, which
    contexts each set holds constant `[B, K]`. Its term is called `contrastive`.
    """

    def forward(self, programs: Programs, q: Trace, p: Trace) -> dict[str, Tensor]:
        """Return the cross-entropy of each set `[B]`, summed over its items and constant contexts.

        Raises:
            TraceError: The model's inference program does not note natural parameters.
        """
        if missing := {"linear", "precision", "constant"} - q.noted.keys():
            raise TraceError(
                f"contrastive set identification needs an inference program that notes {sorted(missing)}, as with "
                "pooling='product' do; leave the penalty out for this model"
            )
        a = q.noted["constant"].detach()
        return {"contrastive": contrastive(q.noted["linear"], q.noted["precision"], q.mask, a)}


def contrastive(linear: Tensor, precision: Tensor, mask: Tensor | None, a: Tensor) -> Tensor:
    """How badly each item's natural parameters tell which set it was drawn from: nats per set `[B]`, never negative.

    With contexts c_k ~ N(0, I) and conjugate likelihoods, the odds that item x shares its c_k with the items of a set
    D rather than having one of its own are known in closed form,

        s(x, D) = log ∫ p(c | x) p(c | D) / p(c) dc = log Z(η + η_D, τ + τ_D) − log Z(η, τ) − log Z(η_D, τ_D),
        log Z(η, τ) = η² / (2 (1 + τ)) − log(1 + τ) / 2,   summed over dimensions,

    and softmax over the sets that hold k constant gives the posterior probability that x was drawn from each (an
    item is left out of its own set's parameters). The result is −log of that of the true set, summed over items and
    constant contexts. As a cross-entropy it is not negative, so subtracting it, with any weight, from a lower bound
    on log p(D | a) leaves a lower bound. It moves into c_k what a set's items agree on and other sets' do not.

    Args:
        linear: η, `[B, N, K, C]`.
        precision: τ, likewise.
        mask: which items are present, `[B, N]`; all where None.
        a: which contexts each set holds constant, `[B, K]`.
    """
    if mask is not None:  # padding says nothing: taken out of a set that it isn't in, its precision is negative
        linear, precision = (torch.where(mask[..., None, None] > 0, part, 0.0) for part in (linear, precision))
    set_linear, set_precision = linear.sum(1), precision.sum(1)  # [B, K, C]
    others = _log_normalizer(set_linear, set_precision).sum(-1)  # [B, K]
    rest = _log_normalizer(set_linear.unsqueeze(1) - linear, set_precision.unsqueeze(1) - precision).sum(-1)
    own = others.unsqueeze(1) - rest  # [B, N, K]: the item beside the rest of its own set
    total = linear.new_zeros(len(a))
    for context in range(a.shape[1]):
        # All pairs of an item and a set are what this costs, and sets in which the context varies are no candidates.
        sets = (a[:, context] > 0).nonzero()[:, 0]
        of_items = (part[sets, :, context].flatten(0, 1) for part in (linear, precision))  # [B'·N, C]
        of_sets = (part[sets, context] for part in (set_linear, set_precision))
        pairs: Any = _Together.apply(*of_items, *of_sets)  # pyright: ignore[reportAssignmentType]
        together = pairs.view(len(sets), linear.shape[1], len(sets))  # [B', N, B']
        score = together - others[sets, context]  # log Z(η, τ) of the item alone is the same for all candidates
        right = own[sets, :, context]
        itself = torch.eye(len(sets), dtype=torch.bool, device=a.device).unsqueeze(1)
        missed = torch.where(itself, right.unsqueeze(2), score).logsumexp(2) - right  # [B', N]
        if mask is not None:
            missed = torch.where(mask[sets] > 0, missed * mask[sets], 0.0)
        total = total.index_add(0, sets, missed.sum(1) * a[sets, context])
    return total


class _Together(torch.autograd.Function):
    """Σ_c log Z(η_i + η_j, τ_i + τ_j) of every pair of parameters `[I, C]` and `[J, C]`: `[I, J]`.

        ∂/∂η log Z = r,  ∂/∂τ log Z = −(r² + 1 / (1 + τ)) / 2,  with r = η / (1 + τ)

    Of arrays of pairs × dimensions only r and 1 / (1 + τ) are kept, instead of every step on the way to the value.
    """

    @staticmethod
    def forward(ctx: Any, linear: Tensor, precision: Tensor, set_linear: Tensor, set_precision: Tensor) -> Tensor:
        both = precision.unsqueeze(1) + set_precision
        value = both.log1p().sum(-1).neg_()
        variance = both.add_(1.0).reciprocal_()
        both = linear.unsqueeze(1) + set_linear
        mean = both * variance
        value += both.mul_(mean).sum(-1)
        ctx.save_for_backward(mean, variance)
        return value.mul_(0.5)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        mean, variance = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        of_linear = mean * gradient
        of_precision = torch.addcmul(variance * gradient, mean, of_linear).mul_(-0.5)
        return of_linear.sum(1), of_precision.sum(1), of_linear.sum(0), of_precision.sum(0)


def _log_normalizer(linear: Tensor, precision: Tensor) -> Tensor:
    """Log ∫ N(c; 0, 1) exp(η c − τ c² / 2) dc, elementwise."""
    return 0.5 * (linear.square() / (1 + precision) - precision.log1p())
