"""Trainings that cannot be: refused in words before a folder is made, and resumed only as what they were."""

import math
import shutil
import warnings

import numpy as np
import pytest
import torch

from coset import FactorTable, fit
from coset.errors import CheckpointError, ConfigurationError, CosetError, DataError, NonFiniteError
from coset.models import VAE, ClassStyle, ContextAwareLearner, NeuralStatistician
from coset.objectives import EvidenceLowerBound, Fixed

pytestmark = pytest.mark.usefixtures("single")

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SETS = {"items": 3, "batch": 4, "batches": 3}


def build(**options):
    torch.manual_seed(0)
    options = {"context_dim": 2, "z_dim": 2, "features": 6, "hidden": 6} | options
    return ContextAwareLearner((5,), ["digit", "rotation"], **options)


def table(seed=1, items=60):
    digit, rotation = torch.arange(items) % 2, torch.arange(items) // 2 % 2
    noise = torch.rand(items, 5, generator=torch.Generator().manual_seed(seed))
    return FactorTable(noise, digit=digit, rotation=rotation)


class Loose:
    """Something that is no data set, objective or schedule."""


BAD = {
    "no data": (None, {}),
    "a word": ("digits", {}),
    "a number": (3, {}),
    "an empty list": ([], {}),
    "items of another shape": (FactorTable(torch.rand(9, 4), digit=[0] * 9, rotation=[0] * 9), {}),
    "a factor is missing": (FactorTable(torch.rand(9, 5), digit=[0] * 9), {}),
    "a factor is unknown everywhere": (FactorTable(torch.rand(9, 5), digit=[None] * 9, rotation=[0] * 9), {}),
    "items beyond the range": (FactorTable(torch.rand(60, 5) * 9, **table().factors), {}),
    "items are negative": (FactorTable(torch.rand(60, 5) - 0.5, **table().factors), {}),
    "validation of another shape": (table(), {"validation": FactorTable(torch.rand(9, 4))}),
    "validation without factors": (table(), {"validation": FactorTable(torch.rand(9, 5))}),
    "validation is a word": (table(), {"validation": "test"}),
}
OPTIONS = {
    "epochs": [0, -1, 2.5, "x", math.nan, True, np.float64(1.5)],
    "steps": [0, -1, 2.5, "x", math.inf, [3]],
    "seed": [-1, 2**63, 1.5, "a", None],
    "learning_rate": [0, -1e-3, math.nan, math.inf, "fast", None, [1e-3]],
    "learning_rate_schedule": ["cosine", None, 3],
    "patience": [0, -3, 1.5, "x"],
    "workers": [-1, 500, 1.5, "x", None],
    "sets": [
        "x",
        3,
        {"nothing": 1},
        {"contexts": []},
        {"seed": 3},
        {"items": 0},
        {"batch": 0},
        {"batches": 0},
        {"patterns": "all"},
        {"items": 10**9},
    ],
    "objective": [3, "elbo", Loose()],
    "schedule": [3, "warm", Loose()],
    "output": [3, ["x"]],
    "resume": ["x", None, 3, True],
    "compile": ["x", None],
    "max_epochs": [0, "x", 2.5],
    "precision": ["half", 7],
    "devices": [-7, 0],
    "strategy": ["nothing"],
    "accelerator": ["abacus"],
    "limit_train_batches": [0, 0.0],
    "num_nodes": [3],
    "nothing": [1],
}
CASES = [pytest.param(data, own, id=name) for name, (data, own) in BAD.items()]
CASES += [
    pytest.param(table(), {name: value}, id=f"{name} {value!r:.40}" if type(value) is not Loose else f"{name} loose")
    for name, values in OPTIONS.items()
    for value in values
]


@pytest.mark.parametrize(("data", "own"), CASES)
def test_a_training_that_cannot_be_is_refused_before_anything_is_written(data, own, tmp_path):
    options = {"epochs": 1, "sets": SETS, "output": tmp_path / "run"} | QUIET | own
    if "resume" in own:
        options["output"] = None
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CosetError) as said:
        fit(model, data, **options)
    assert len(str(said.value)) > 30 and "\n" not in str(said.value)
    assert not (tmp_path / "run").exists()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


SETTINGS = {
    "steps": 7,
    "learning_rate": 1e-3,
    "learning_rate_schedule": "constant",
    "seed": 1,
    "schedule": Fixed({"z": 2.0}),
    "objective": EvidenceLowerBound(),
    "accumulate_grad_batches": 2,
    "sets": SETS | {"batch": 5},
    "validation": table(2),
}


@pytest.fixture(scope="module")
def half_way(tmp_path_factory):
    """A run of six steps, two epochs, and what it was asked for."""
    folder = tmp_path_factory.mktemp("half") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_default_dtype", torch.get_default_dtype)
        torch.set_default_dtype(torch.float32)
        fit(build(), table(), steps=6, sets=SETS, output=folder, **QUIET)
    return folder


@pytest.fixture
def run(half_way, tmp_path):
    return shutil.copytree(half_way, tmp_path / "run")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_of_other_settings_is_not_resumed(name, run):
    options = {"steps": 6, "sets": SETS} | {name: SETTINGS[name]}
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="another one"):
        fit(build(), table(), output=run, resume=True, **options, **QUIET)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (lambda: build(z_dim=3), table),
        (lambda: build(pooling="mean"), table),
        (lambda: build(hidden=7), table),
        (lambda: NeuralStatistician((5,), ["digit"], features=6, hidden=6), table),
        (lambda: VAE((5,), z_dim=2, features=6), table),
        (build, lambda: table(2)),
        (build, lambda: table(items=80)),
        (build, lambda: table().where(digit=1)),
    ],
    ids=["a size", "the pooling", "a width", "the class", "without contexts", "items", "number of items", "a part"],
)
def test_another_model_or_other_data_are_not_resumed(model, data, run):
    with pytest.raises(CosetError):
        fit(model(), data(), steps=6, sets=SETS, output=run, resume=True, **QUIET)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "missing"])
def test_a_torn_checkpoint_gives_way_to_the_best(damage, run):
    last = run / "checkpoints" / "last.ckpt"
    if damage == "missing":
        last.unlink()
    else:
        last.write_bytes({"cut": last.read_bytes()[:3000], "empty": b"", "text": b"weights"}[damage])
    (run / "record.json").unlink()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        record = fit(build(), table(), steps=6, sets=SETS, output=run, resume=True, **QUIET)
    assert (damage == "missing") != any("goes on from best.ckpt" in str(one.message) for one in said)
    assert record.history[-1]["step"] == 6


def test_checkpoints_that_are_all_torn_are_named(run):
    for path in (run / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match=r"last\.ckpt: cannot be read"):
        fit(build(), table(), steps=6, sets=SETS, output=run, resume=True, **QUIET)


def test_a_checkpoint_runs_no_code(run):
    class Evil:
        def __reduce__(self):
            return open, (str(run / "evil"), "w")

    for path in (run / "checkpoints").glob("*.ckpt"):
        torch.save({"coset": Evil()}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        fit(build(), table(), steps=6, sets=SETS, output=run, resume=True, **QUIET)
    assert not (run / "evil").exists()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_trains_whatever_surrounds_it(mode):
    models = [build(), build()]
    fit(models[0], table(), steps=4, sets=SETS, **QUIET)
    with mode():
        fit(models[1], table(), steps=4, sets=SETS, **QUIET)
    for name, value in models[0].state_dict().items():
        assert torch.equal(value, models[1].state_dict()[name]), name


@pytest.mark.parametrize("model", ["context-aware", "statistician", "class-style", "vae"])
def test_what_became_nan_is_named(model):
    torch.manual_seed(0)
    made = {
        "context-aware": lambda: build(),
        "statistician": lambda: NeuralStatistician((5,), ["digit"], features=6, hidden=6),
        "class-style": lambda: ClassStyle((5,), 2, label="digit", style_dim=2, features=6),
        "vae": lambda: VAE((5,), z_dim=2, features=6),
    }[model]()
    with torch.no_grad():
        next(iter(made.parameters())).fill_(torch.nan)
    sets = SETS if model in ("context-aware", "statistician") else {"batch": 4, "batches": 3}
    with pytest.raises(NonFiniteError, match=r"nan|NaN|finite"):
        fit(made, table(), steps=3, sets=sets, **QUIET)


STEPS = [(1, 1.0, 9), (2, 1.0, 6), (4, 1.0, 3), (1, 2, 6), (2, 2, 3)]


@pytest.mark.parametrize(("accumulate", "limit", "steps"), STEPS)
def test_an_epoch_has_the_steps_that_its_batches_make(accumulate, limit, steps, tmp_path):
    options = {"accumulate_grad_batches": accumulate, "limit_train_batches": limit}
    record = fit(build(), table(), epochs=3, sets=SETS, output=tmp_path, **options, **QUIET)
    assert record.history[-1]["step"] == steps
    assert [row["epoch"] for row in record.history] == [0, 1, 2]


NUMBERS = [{"learning_rate": np.float64(1e-3)}, {"steps": np.int64(6)}, {"seed": np.int32(3)}, {"epochs": np.int8(2)}]


@pytest.mark.parametrize("given", NUMBERS)
def test_numbers_of_numpy_are_numbers_and_go_on(given, tmp_path):
    options = ({} if "steps" in given else {"epochs": 2}) | given | QUIET
    first = fit(build(), table(), sets=SETS, output=tmp_path, **options)
    again = fit(build(), table(), sets=SETS, output=tmp_path, resume=True, **options)
    assert again.history == first.history


def test_refusals_are_of_their_kind():
    with pytest.raises(DataError):
        fit(build(), FactorTable(torch.rand(9, 5), digit=[0] * 9), epochs=1, **QUIET)
    with pytest.raises(ConfigurationError):
        fit(build(), table(), epochs=0, **QUIET)
