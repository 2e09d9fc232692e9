"""All pairs of values and normal posteriors, without keeping an array of pairs × dimensions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1 << 18
"""Pairs × dimensions that are looked at together: a megabyte in float32, which stays in a processor's cache."""


@dataclass(frozen=True)
class NormalPairs:
    """Values of U units, and the normal posteriors of U′ units that each is looked at under.

    Attributes:
        value: `[U, D]`.
        location: `[U′, D]`.
        scale: `[U′, D]`.
    """

    value: Tensor
    location: Tensor
    scale: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(U, U′)."""
        return len(self.value), len(self.location)

    def aggregate(self, columns: Sequence[int], log_weights: Tensor) -> Tensor:
        """Log-densities of some dimensions together under the weighted sum of all posteriors, `[U]`.

        The sum over dimensions is a product of matrices, whose large terms cancel: it is taken in float64 where the
        device has that.
        """
        exact = torch.float32 if self.value.device.type == "mps" else torch.float64
        some = slice(None) if len(columns) == self.value.shape[1] else list(columns)
        value, location, scale = (part[:, some].to(exact) for part in (self.value, self.location, self.scale))
        precision = scale.square().reciprocal()
        constant = (-0.5 * precision * location.square() - scale.log() - 0.5 * math.log(2 * math.pi)).sum(1)
        pairs = value @ (precision * location).T - 0.5 * value.square() @ precision.T + constant
        return (pairs + log_weights).logsumexp(1).to(self.value.dtype)

    def marginals(self, log_weights: Tensor) -> Tensor:
        """Log-densities of each dimension by itself under the weighted sum of all posteriors, `[U, D]`."""
        inverse = self.scale.reciprocal()
        constant = -self.scale.log() - 0.5 * math.log(2 * math.pi)
        return _Marginals.apply(self.value, -self.location * inverse, inverse, constant, log_weights)  # pyright: ignore


class _Marginals(torch.autograd.Function):
    """log Σ_j exp( w_ij + c_jd − (z_id a_jd + b_jd)² / 2 ) of values z under posteriors of inverse scale a.

    Pairs are made block by block of dimensions, and once more for the gradient, instead of being kept:

        ∂/∂c_jd = Σ_i s_ijd,   ∂/∂b_jd = − Σ_i s_ijd t_ijd,   ∂/∂a_jd = − Σ_i z_id s_ijd t_ijd,
        ∂/∂z_id = − Σ_j a_jd s_ijd t_ijd,   with t = z a + b and shares s of the sum over j
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, shift: Tensor, inverse: Tensor, constant: Tensor, log_weights: Tensor
    ) -> Tensor:
        found = torch.empty_like(value)
        for some, _, under in _under(value, shift, inverse, constant, log_weights):
            most = under.amax(1)
            found[:, some] = _exp(under.sub_(most.unsqueeze(1))).sum(1).log_().add_(most).T
        ctx.save_for_backward(value, shift, inverse, constant, log_weights, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *parts, found = ctx.saved_tensors
        value, shift, inverse, constant, _ = parts
        of_value, of_shift, of_inverse, of_constant = map(torch.empty_like, (value, shift, inverse, constant))
        for some, away, under in _under(*parts):
            share = _exp(under.sub_(_rows(found, some))).mul_(_rows(gradient, some))
            of_constant[:, some] = share.sum(2).T
            pull = away.mul_(share).neg_()
            of_value[:, some] = (_rows(inverse, some) @ pull).squeeze(1).T
            ones_and_values = torch.stack([torch.ones_like(value[:, some]), value[:, some]]).permute(2, 1, 0)
            of_shift[:, some], of_inverse[:, some] = (pull @ ones_and_values).permute(2, 1, 0)
        return of_value, of_shift, of_inverse, of_constant, None


def _under(
    value: Tensor, shift: Tensor, inverse: Tensor, constant: Tensor, log_weights: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some dimensions, the distances of values in deviations, and weighted log-densities: `[d, U′, U]` each.

    Sums over the axis in the middle are several times faster than over the last, and so is arithmetic of two tensors
    of which one has a single number along the last, beside that of three.
    """
    step, log_weights = max(1, BLOCK // max(1, log_weights.numel())), log_weights.T.contiguous()
    for first in range(0, value.shape[1], step):
        some = slice(first, first + step)
        b, a, c = (part[:, some].T.unsqueeze(2) for part in (shift, inverse, constant))
        away = (_rows(value, some) * a).add_(b)
        yield some, away, torch.addcmul(log_weights, away, away, value=-0.5).add_(c)


def _exp(part: Tensor) -> Tensor:
    """In place, of what is not above 0; numbers too small for float32 take a processor a hundred times longer."""
    return part.clamp_min_(-80.0).exp_()


def _rows(part: Tensor, some: slice) -> Tensor:
    """Some dimensions of `[U, D]` as `[d, 1, U]`, whose numbers are neighbours in memory."""
    return part[:, some].T.contiguous().unsqueeze(1)
