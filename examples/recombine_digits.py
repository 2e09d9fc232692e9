"""Learn digits and angles from sets that share one or the other, and draw every digit at every angle.

python examples/recombine_digits.py --steps 600
"""

import argparse
from pathlib import Path

import torch

import coset
from coset import plots
from coset.datasets.rotated import Rotated

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=600)
parser.add_argument("--output", type=Path, default=Path("recombined.png"))
options = parser.parse_args()

train, test = Rotated("digits", angles=4).load()
small = {"architecture": "dense", "context_dim": 16, "z_dim": 8, "features": 128, "hidden": 64}
model = coset.ContextAwareLearner.for_data(train, ["digit", "rotation"], **small)
coset.fit(model, train, steps=options.steps, enable_progress_bar=False)

angles = test.values["rotation"]
rows = []
for angle in angles:
    turned = test.where(rotation=angle).x()[:20]
    drawn = [model.compose(digit=test.where(digit=digit).x()[:20], rotation=turned, n=1) for digit in range(10)]
    rows.append(torch.cat(drawn))
plots.save(plots.grid(torch.stack(rows), row_labels=angles, column_labels=range(10)), options.output)
print(f"written: {options.output}")
