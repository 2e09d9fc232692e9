"""Training in two processes, by every launcher: the same weights and the same record, whoever starts them."""

import json
import os
import subprocess
import sys

import pytest
import torch

from coset import load

OPTIONS = ["--training.steps", "4", "--sets.batches", "4", "--trainer.max_epochs", "2", "--trainer.devices", "2"]
LAUNCHERS = {
    "ddp": [sys.executable, "-m", "coset"],
    "ddp_spawn": [sys.executable, "-m", "coset"],
    "ddp_fork": [sys.executable, "-m", "coset"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "coset"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A run by each launcher, all at once: mostly they import."""
    folder = tmp_path_factory.mktemp("runs")
    started = {}
    for port, (name, command) in enumerate(LAUNCHERS.items()):
        strategy = "ddp" if name == "torchrun" else name
        own = ["train", "demo", "--output", str(folder / name), *tiny, *OPTIONS, "--trainer.strategy", strategy]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        if name == "torchrun":
            command = [*command[:3], "--master-port", str(29620 + port), *command[3:]]
        started[name] = subprocess.Popen(
            [*command, *own], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
    said = {}
    try:
        for name, process in started.items():
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, err[-2000:]
            said[name] = out
    finally:
        for process in started.values():
            process.kill()
    return folder, said


@pytest.mark.parametrize("name", LAUNCHERS)
def test_two_processes_train_and_one_speaks(name, trained):
    folder, said = trained
    assert said[name].count("trained in") == 1
    record = json.loads((folder / name / "record.json").read_text())
    assert record["steps"] == 4
    assert record["history"] and record["history"][-1]["step"] == 4
    assert (folder / name / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", list(LAUNCHERS)[1:])
def test_every_launcher_trains_the_same_model(name, trained):
    folder, _ = trained
    first, other = (load(folder / launcher / "model").state_dict() for launcher in ("ddp", name))
    for key, value in first.items():
        torch.testing.assert_close(other[key], value, rtol=1e-5, atol=1e-6)
    bounds = [json.loads((folder / launcher / "record.json").read_text())["history"] for launcher in ("ddp", name)]
    assert [row.keys() for row in bounds[0]] == [row.keys() for row in bounds[1]]
    for one, two in zip(*bounds, strict=True):
        for key in one.keys() - {"seconds"}:
            assert one[key] == pytest.approx(two[key], rel=1e-4, abs=1e-5), key
