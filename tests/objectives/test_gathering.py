"""Of two processes with unequal shares of a batch, each sees the posteriors of both, and gradients reach both."""

import os
import subprocess
import sys

import pytest
import torch

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch.distributions import Normal
import coset
from coset.batch import SetBatch
from coset.objectives import Decomposed
from coset.programs import Programs

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_default_dtype(torch.float64)
PLAIN = {"features": 8, "architecture": "plain", "channels": [], "norm": "none"}
SHARES = [slice(0, 9), slice(0, 5), slice(5, 9)]  # of one process, and of the two
share = SHARES[0 if rank < 0 else 1 + rank]
if rank >= 0:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(0)
models = {
    "alone": coset.VAE((6,), z_dim=4, **PLAIN),
    "joint": coset.ClassStyle((6,), classes=3, style_dim=4, **PLAIN),
}
x, noise = torch.rand(9, 1, 6), torch.randn(9, 1, 4)
Normal.rsample = lambda self, shape=(): self.loc + self.scale * noise[share][..., : self.loc.shape[-1]]
HOW = {"alone": {}, "joint": {"class": "plug-in"}}  # no draw of a class, which processes would not agree on
found = {}
for name, model in models.items():
    objective = Decomposed("beta-tc", data_size=50, estimator="stratified", discrete=HOW[name])
    bound = objective(Programs(model.eval(), SetBatch(x[share])))
    terms = {key: value.detach() for key, value in bound.terms.items()}
    (-bound.weighted({"correlation": 6.0}).sum()).backward()
    gradient = torch.cat([part.grad.flatten() for part in model.parameters() if part.grad is not None])
    if rank >= 0:
        dist.all_reduce(gradient)
    found[name] = (terms, gradient)
torch.save(found, f"{folder}/found-{rank}.pt")
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE
        )
        for rank in (-1, 0, 1)
    ]
    try:
        for process in started:
            _, err = process.communicate(timeout=240)
            assert process.returncode == 0, err.decode()[-2000:]
    finally:
        for process in started:
            process.kill()
    return [torch.load(folder / f"found-{rank}.pt") for rank in (-1, 0, 1)]


@pytest.mark.parametrize("sites", ["alone", "joint"])
def test_terms_are_those_of_one_process_with_all_items(found, sites):
    whole, *parts = (each[sites][0] for each in found)
    for name, value in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, atol=1e-9, rtol=0)


@pytest.mark.parametrize("sites", ["alone", "joint"])
def test_gradients_add_up_to_those_of_one_process(found, sites):
    whole, *parts = (each[sites][1] for each in found)
    for part in parts:
        torch.testing.assert_close(part, whole, atol=1e-9, rtol=0)
