"""Sets as they were found: a list of arrays of differing lengths, each from one source. Which sources are alike?

python examples/explicit_sets.py --steps 500
"""

import argparse

import torch

import coset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=500)
options = parser.parse_args()

generator = torch.Generator().manual_seed(0)
sizes = torch.randint(5, 40, (60,), generator=generator).tolist()
sources = torch.arange(60) % 3  # what each set shares, unknown to the model
centres = 2 * torch.randn(3, 4, generator=generator)
sets = [
    centres[source] + 0.5 * torch.randn(size, 4, generator=generator)
    for size, source in zip(sizes, sources, strict=True)
]

model = coset.NeuralStatistician.for_data(sets, pooling="size", context_dim=2, z_dim=2, features=32, hidden=32)
coset.fit(model, sets, steps=options.steps, enable_progress_bar=False)

nats = model.compare(sets)  # [60, 60]: how far the sets' contexts lie apart
nearest = nats.fill_diagonal_(torch.inf).argmin(1)
print(f"nearest set of the same source: {float((sources[nearest] == sources).double().mean()):.0%}")
print(f"six items that say what set 0 says: {model.summarise(sets[0], keep=min(6, sizes[0])).tolist()}")
