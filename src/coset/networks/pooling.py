"""The statistic network: from the items of a set to one vector for the set."""

from torch import Tensor, nn

from coset.networks.mlp import MLP, Normalization
from coset.shapes import join, masked_mean


class StatisticNetwork(nn.Module):
    """Pre-pooling network, mean over the present items, post-pooling network (Edwards & Storkey 2016; thesis 6.4.1).

    Args:
        features: size of an item's features.
        hidden: units of both networks.
        outputs: size of the set's vector.
        extra: size of a vector per set that joins the pooled features, such as `a`.
        norm: `batch`, `layer` or `none`.
        dispersion: also pool the standard deviation over the set. The mean alone cannot tell a set whose items agree
            from one whose items differ, which is what q(a | D) has to decide.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        outputs: int,
        extra: int = 0,
        norm: Normalization = "batch",
        dispersion: bool = False,
    ):
        super().__init__()
        self.dispersion = dispersion
        self.before = MLP(features, hidden, hidden, norm)
        self.after = MLP(hidden * (2 if dispersion else 1) + extra, hidden, outputs, norm)

    def forward(self, features: Tensor, mask: Tensor | None, extra: Tensor | None = None) -> Tensor:
        """Map item features `[B, N, F]`, mask `[B, N]` and extra `[B, E]` to `[B, outputs]`."""
        items = self.before(features)
        parts = [masked_mean(items, mask, dim=1)]
        if self.dispersion:
            variance = masked_mean((items - parts[0].unsqueeze(1)).square(), mask, dim=1)
            parts.append((variance + 1e-6).sqrt())  # the derivative of a square root is infinite at 0
        if extra is not None:
            parts.append(extra)
        return self.after(join(*parts))
