import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parents[1] / "benchmarks"


def test_the_step_written_out_by_hand_is_the_traced_one():
    specification = importlib.util.spec_from_file_location("overhead", HERE / "overhead.py")
    overhead = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(overhead)
    model, sampler, _ = overhead.problem(4, 3, architecture="dense", features=16, hidden=8, norm="layer")
    batch = sampler.draw(0).to(dtype=torch.float64)
    gradients = []
    for bound in (overhead.traced_bound, overhead.written_out_bound):
        torch.manual_seed(1)
        value = bound(model, batch)
        model.zero_grad()
        value.backward()
        gradients.append((value.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    (first, one), (second, two) = gradients
    torch.testing.assert_close(first, second, rtol=1e-7, atol=0)
    for left, right in zip(one, two, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "words",
    [
        ["overhead.py", "--pairs", "1", "--sets", "4", "--batches", "1", "--channels", "4", "4"],
        ["scaling.py", "--total", "20", "--repeats", "1", "--architecture", "dense"],
        ["summaries.py", "--items", "8", "--keep", "3", "--side", "8"],
    ],
)
def test_benchmarks_print_one_object(words):
    command = [sys.executable, str(HERE / words[0]), *words[1:], "--json"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # on a busy machine, two would wait for each other
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread).stdout
    assert len(json.loads(shown)) >= 2
