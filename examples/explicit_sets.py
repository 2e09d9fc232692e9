"""Sets as they were found: a list of arrays of differing lengths, each with what it is known to hold constant.

Instruments take readings of samples: a reading is the sum of what both contribute, and noise. Half of the series were
taken with one instrument, the others of one sample. Codes of new series tell which instrument was used, and from a
series of one sample more of its readings are drawn.

python examples/explicit_sets.py --steps 300
"""

import argparse

import torch

import coset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=300)
options = parser.parse_args()

torch.manual_seed(0)
instruments, samples = 2 * torch.randn(4, 6), 2 * torch.randn(5, 6)


def series(instrument=None, sample=None):
    """Between 4 and 15 readings `[n, 6]`; what is not given is another one for each reading."""
    n = int(torch.randint(4, 16, ()))
    which = torch.randint(4, (n,)) if instrument is None else torch.full((n,), instrument)
    of_what = torch.randint(5, (n,)) if sample is None else torch.full((n,), sample)
    return instruments[which] + samples[of_what] + 0.2 * torch.randn(n, 6)


found = [series(instrument=k % 4) for k in range(200)] + [series(sample=k % 5) for k in range(200)]
constant = [[1, 0]] * 200 + [[0, 1]] * 200
sets = coset.SetCollection(found, constant, contexts=["instrument", "sample"])
print(sets)

model = coset.ContextAwareLearner.for_data(sets, context_dim=4, z_dim=2, features=64, hidden=32)
coset.fit(model, sets, steps=options.steps, enable_progress_bar=False)

known = model.embed_sets([series(instrument=k) for k in range(4)])[:, 0]  # [4, C], one series each
new = model.embed_sets([series(instrument=k % 4) for k in range(100)])[:, 0]  # [100, C]
right = torch.cdist(new, known).argmin(1) == torch.arange(100) % 4
print(f"instrument of a new series found from one series of each: {right.double().mean():.0%}")

more = model.condition(series(sample=2), constant=["sample"], n=20)  # [20, 6], of that sample, by any instrument
apart = torch.cdist(more, (instruments[:, None] + samples).flatten(0, 1)).argmin(1) % 5 == 2
print(f"readings drawn given a series of sample 2 that look like sample 2: {apart.double().mean():.0%}")
