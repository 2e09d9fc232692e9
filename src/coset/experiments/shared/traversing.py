"""What happens to an item as one dimension of its code moves."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coset.runs import Run


def traversals(run: Run, information: Sequence[float], steps: int = 9) -> Tensor:
    """A row for each dimension, that which tells most of an item first: from −2 to 2 deviations of the prior.

    Args:
        run: of a model with `decode_codes`.
        information: what each dimension tells of an item, `[D]`.
        steps: items in a row.

    Returns:
        `[D, steps, *item_shape]`, around the code of the first held-out item.
    """
    code = run.model.embed(run.splits["test"].x(torch.arange(1))).cpu()  # [1, D]
    order = sorted(range(len(information)), key=lambda index: -information[index])
    codes = code.repeat(len(order), steps, 1)
    for row, dimension in enumerate(order):
        codes[row, :, dimension] = torch.linspace(-2, 2, steps).to(codes)
    return run.model.decode_codes(codes.flatten(0, 1)).cpu().unflatten(0, (len(order), steps))
