import importlib.util
import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from coset.cli import main

HERE = Path(__file__).parents[1] / "benchmarks"


def test_the_step_written_out_by_hand_is_the_traced_one():
    overhead = load("overhead")
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


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    """A script finds its neighbours in its own folder."""
    monkeypatch.syspath_prepend(HERE)


def load(name):
    specification = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    return module


def test_the_commands_on_real_data_are_those_of_the_guide():
    guide = (HERE.parent / "docs" / "own-data.md").read_text("utf-8")
    cases = load("own_data").CASES
    assert [command for case in cases.values() for command in case.commands if f"\n{command}\n" not in guide] == []


@pytest.mark.usefixtures("single")
def test_a_long_frame_goes_from_file_to_figures(tmp_path, monkeypatch):
    """The whole way of one case, with two steps of training: what is completed is learned from means of cells."""
    monkeypatch.chdir(tmp_path)
    own_data = load("own_data")
    case = own_data.CASES["il2"]
    case.lay_out(tmp_path)
    for command in case.commands:
        main(shlex.split(command.replace("--training.steps 300", "--training.steps 2"))[1:])
    figures = case.measure(tmp_path)
    assert figures["R², additive"] == pytest.approx(0.81, abs=0.005)
    assert figures["R², completed"] > figures["R², low rank"] > 0.85


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(
    "words",
    [
        ["overhead", "--pairs", "1", "--sets", "4", "--batches", "1", "--channels", "4", "4"],
        ["scaling", "--total", "20", "--repeats", "1", "--architecture", "dense"],
        ["summaries", "--items", "8", "--keep", "3", "--side", "8"],
        ["large_tables", "--rows", "400", "--values", "5"],
        ["recipes", "demo", "--steps", "1"],
    ],
)
def test_benchmarks_print_one_object(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    load(words[0]).main()
    assert len(json.loads(capsys.readouterr().out)) >= 2
