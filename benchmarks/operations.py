"""What ratios of time are held against: the operations of a call, and how many a second this machine can do."""

import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def operations(run: Callable[[], Any]) -> int:
    """Floating-point operations of all matrix products and convolutions of a call, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def peak(side: int = 2048, times: int = 5) -> float:
    """Floating-point operations a second of a product of two matrices."""
    one = torch.rand(side, side)
    one @ one
    began = [time.perf_counter()]
    for _ in range(times):
        one @ one
        began.append(time.perf_counter())
    return 2 * side**3 / min(after - before for before, after in pairwise(began))


def beside_peer(seconds: Mapping[str, float], flop: Mapping[str, float]) -> dict[str, float]:
    """How much faster we are than a peer, for the same items and for the same operations; and shares of the peak.

    Args:
        seconds: of `peer` and of `ours`, for the same items.
        flop: operations of each in that time.
    """
    most, ratio = peak(), seconds["peer"] / seconds["ours"]
    figures = {"ratio": ratio, "ratio_per_operation": ratio * flop["ours"] / flop["peer"]}
    for who in ("peer", "ours"):
        figures[f"gflop_{who}"] = flop[who] / 1e9
        figures[f"percent_of_peak_{who}"] = 100 * flop[who] / seconds[who] / most
    return figures
