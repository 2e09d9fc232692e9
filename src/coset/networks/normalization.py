"""Normalisation between layers: over a batch, over all processes that share it, or within each row."""

from typing import Any, Literal

import torch
import torch.distributed as processes
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from coset.errors import ConfigurationError

Normalization = Literal["batch", "layer", "none"]


def normalization(kind: Normalization, features: int, image: bool = False) -> nn.Module:
    """A normalisation of rows `[n, features]`, of pictures `[n, features, H, W]` or of series `[n, features, L]`.

    `batch` is the papers', `layer` does not look across items.

    Raises:
        ConfigurationError: Another kind.
    """
    match kind:
        case "batch":
            return BatchNorm(features)
        case "layer":  # a group norm with one group is the layer norm of a picture or series
            return nn.GroupNorm(1, features) if image else nn.LayerNorm(features)
        case "none":
            return nn.Identity()
        case _:
            raise ConfigurationError(f"unknown normalization {kind!r}: batch, layer or none")


class BatchNorm(_BatchNorm):
    """Batch normalisation (Ioffe & Szegedy 2015) of `[n, features, ...]`, over the rows of all processes together.

    So several processes have the gradient that one process has of the joint batch, however many rows each holds; their
    running statistics agree. In a single process, and in evaluation, it is torch's.

    >>> bool(BatchNorm(2)(torch.tensor([[1.0, 5.0], [3.0, 7.0]])).sum(0).abs().max() < 1e-5)
    True
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take rows and pictures alike."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[n, features, ...]`.

        Raises:
            ConfigurationError: In training, if there is a single row, whose variance is nothing.
        """
        shared = processes.is_available() and processes.is_initialized() and processes.get_world_size() > 1
        if self.training and shared:
            return self._over_processes(input)
        if self.training and input.numel() == input.shape[1]:
            raise ConfigurationError(
                "batch normalisation of a single row, which has no variance: put two sets or more into a batch "
                "(sets={'batch': 2}), or build the model with norm='layer'"
            )
        return super().forward(input)

    def _over_processes(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        rows = x.new_full((1,), x.numel() / x.shape[1])
        total: Any = _SumOverProcesses.apply(torch.cat([x.sum(axes), rows]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean.view(shape)
        variance: Any = _SumOverProcesses.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            momentum = self.momentum or 0.1
            for kept, new in ((self.running_mean, mean), (self.running_var, variance * count / (count - 1))):
                assert kept is not None
                kept.lerp_(new.to(kept.dtype), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        return scaled * self.weight.view(shape) + self.bias.view(shape)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, of whose losses each has its part in the gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        processes.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        processes.all_reduce(total)
        return total
