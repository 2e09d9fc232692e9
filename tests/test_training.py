import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from coset.data import FactorTable, SetBatch
from coset.errors import CheckpointError, ConfigurationError, DataError, NonFiniteError
from coset.models import VAE, ContextAwareLearner, NeuralStatistician, load
from coset.objectives import Annealed, EvidenceLowerBound, Fixed, elbo
from coset.trace import Trace
from coset.training import SetTraining, default_objective, fit

pytestmark = pytest.mark.usefixtures("single")

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SETS = {"items": 3, "batch": 4, "batches": 3}


def build(pooling="product", **options):
    torch.manual_seed(0)
    options = {"context_dim": 2, "z_dim": 2, "features": 6, "hidden": 6} | options
    return ContextAwareLearner((5,), ["digit", "rotation"], pooling=pooling, **options)


def table(seed=1):
    """Items whose first two numbers are their digit and their rotation."""
    digit, rotation = torch.arange(60) % 2, torch.arange(60) // 2 % 2
    noise = 0.1 * torch.rand(60, 5, generator=torch.Generator().manual_seed(seed))
    noise[:, 0] += 0.8 * digit
    noise[:, 1] += 0.8 * rotation
    return FactorTable(noise, digit=digit, rotation=rotation)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(left, right):
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


class Stop(Exception):
    """The plug is pulled."""


class StopBefore(lightning.Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == self.epoch:
            raise Stop


# --- fitting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["product", "mean"])
def test_fitting_raises_the_bound(pooling):
    model = build(pooling)
    record = fit(model, table(), epochs=6, sets=SETS | {"batches": 15}, learning_rate=0.02, schedule=Fixed(), **QUIET)
    bounds = [row["bound"] for row in record.history]
    assert len(bounds) == 6 and bounds[-1] > bounds[0] + 1
    assert not model.training and record.seconds > 0 and record.output is None
    assert [row["epoch"] for row in record.history] == list(range(6)) and record.history[-1]["step"] == 90


@pytest.mark.parametrize("there", [True, False])
def test_a_processor_without_bfloat16_is_spoken_of(there, monkeypatch, recwarn):
    monkeypatch.setattr("coset.training.options.has_bfloat16", lambda: there)
    fit(build(), table(), steps=1, sets=SETS, precision="bf16-mixed", **QUIET)
    assert len([one for one in recwarn if "leave precision='bf16-mixed' out" in str(one.message)]) == (not there)


def test_history_adds_up():
    (row,) = fit(build(), table(), epochs=1, sets=SETS, **QUIET).history
    costs = row["a"] + row["context.constant"] + row["context.varying"] + row["z"]
    assert row["bound"] == pytest.approx(row["x"] - costs, rel=1e-5)
    assert row["contrastive"] > 0 and row["cycle"] > 0


def test_equal_seeds_train_equally_and_others_do_not():
    models = [build() for _ in range(3)]
    records = [
        fit(model, table(), epochs=2, sets=SETS, seed=seed, **QUIET)
        for model, seed in zip(models, (3, 3, 4), strict=True)
    ]
    assert records[0].history == records[1].history != records[2].history
    assert_same_weights(weights(models[0]), weights(models[1]))


def test_randomness_outside_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    model = build()
    torch.manual_seed(5)
    fit(model, table(), steps=1, sets=SETS, **QUIET)
    assert torch.equal(torch.rand(3), expected)


def test_steps_end_in_the_middle_of_an_epoch():
    record = fit(build(), table(), steps=7, sets=SETS, **QUIET)
    assert record.history[-1]["step"] == 7
    assert fit(build(), table(), steps=2, sets={"items": 3, "batch": 4}, **QUIET).history[-1]["step"] == 2


def test_gradients_are_clipped_in_mixed_precision_too():
    record = fit(build(), table(), steps=2, sets=SETS, precision="bf16-mixed", gradient_clip_val=0.5, **QUIET)
    assert record.history[-1]["step"] == 2


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10])
def test_the_shortest_training_has_a_learning_rate(steps):
    module = SetTraining(build(), EvidenceLowerBound(), Fixed(), total_steps=steps)
    module.trainer = lightning.Trainer(logger=False, enable_checkpointing=False)
    [optimizer], [scheduler] = module.configure_optimizers()
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler["scheduler"].step()
    assert all(0 < rate <= 2e-3 * (1 + 1e-9) for rate in rates) and (steps == 1 or max(rates) > 1e-3)


def test_lightnings_words_for_the_length_of_training():
    options = {"sets": {"items": 3, "batch": 4, "batches": 5}, "enable_progress_bar": False}
    assert fit(build(), table(), max_epochs=2, **options).history[-1]["step"] == 10
    assert fit(build(), table(), max_steps=7, **options).history[-1]["step"] == 7


def test_training_again_forgets_the_aggregate_posterior():
    model = build()
    fit(model, table(), steps=2, sets=SETS, **QUIET)
    assert bool(model.coding.prior.estimated)
    seen = []

    class Look(lightning.Callback):
        def on_train_start(self, trainer, module):
            seen.append(bool(model.coding.prior.estimated))

    fit(model, table(), steps=2, sets=SETS, callbacks=[Look()], **QUIET)
    assert seen == [False] and bool(model.coding.prior.estimated)


def test_lists_of_arrays_are_data():
    sets = [torch.rand(n, 5).numpy() for n in (3, 5, 2, 4)]
    for pooling in ("product", "mean"):
        model = ContextAwareLearner.for_data(
            sets, pooling=pooling, context_dim=2, z_dim=2, features=6, hidden=6, norm="layer"
        )
        record = fit(model, sets, epochs=2, sets={"batch": 3, "batches": 2}, **QUIET)
        assert all(torch.tensor(list(row.values())).isfinite().all() for row in record.history)
        assert all(value.isfinite().all() for value in model.state_dict().values())


def test_an_inferred_a_is_trained():
    model = build("mean", infer_a="any")
    data = FactorTable(table().items)
    with pytest.raises(DataError, match="digit"):
        fit(model, data, epochs=1, sets=SETS, **QUIET)
    before = model.a_posterior.after.output.weight.detach().clone()

    def without_a(programs):
        return default_objective(model)(programs.on(programs.batch.x))

    schedule = Annealed("inferred", start=100.0)
    fit(model, table(), epochs=2, sets=SETS, objective=without_a, schedule=schedule, **QUIET)
    assert not torch.equal(model.a_posterior.after.output.weight, before)


def test_bfloat16():
    for pooling in ("product", "mean"):
        record = fit(build(pooling), table(), steps=1, sets=SETS, precision="bf16-mixed", **QUIET)
        assert torch.tensor(list(record.history[0].values())).isfinite().all()


def test_worker_processes_draw_the_same_batches():
    here = fit(build(), table(), epochs=2, sets=SETS, **QUIET)
    there = fit(build(), table(), epochs=2, sets=SETS, workers=1, **QUIET)
    assert here.history == there.history


# --- validation and stopping early --------------------------------------------------------------------------


def test_validation_is_recorded_and_does_not_disturb_training():
    plain, model = build(), build()
    alone = fit(plain, table(), epochs=2, sets=SETS, **QUIET)
    record = fit(model, table(), validation=table(2), epochs=2, sets=SETS, **QUIET)
    assert [{k: v for k, v in row.items() if k != "validation"} for row in record.history] == alone.history
    assert all(row["validation"] < 0 for row in record.history)
    assert_same_weights(weights(plain), weights(model))


def test_too_few_items_to_validate_on_are_said_to_be_those():
    few = table()[[0, 1, 2]]
    with pytest.raises(DataError, match=r"validation, 3 items: sets: .* --data\.validation"):
        fit(build(), table(), validation=few, epochs=1, sets=SETS, **QUIET)


@pytest.mark.parametrize("validation", [None, table(2)])
def test_training_stops_where_the_bound_no_longer_rises(validation):
    record = fit(
        build(), table(), validation=validation, epochs=50, patience=1, learning_rate=1e-12, sets=SETS, **QUIET
    )
    assert len(record.history) < 50


# --- the folder of a run ------------------------------------------------------------------------------------


def test_a_run_leaves_its_record_its_curves_and_its_model(tmp_path):
    model = build()
    record = fit(model, table(), validation=table(2), epochs=2, sets=SETS, output=tmp_path / "run", **QUIET)
    assert record.output == tmp_path / "run"
    written = json.loads((tmp_path / "run" / "record.json").read_text())
    assert written["history"] == record.history and written["steps"] == 6
    with (tmp_path / "run" / "logs" / "metrics.csv").open() as file:
        columns = set(next(csv.reader(file)))
    assert {"train/bound", "train/z", "train/contrastive", "validation/bound", "step"} <= columns
    assert_same_weights(weights(model), weights(load(tmp_path / "run" / "model")))
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_nothing_is_written_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(build(), table(), steps=1, sets=SETS, **QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("validation", [None, table(2)])
@pytest.mark.parametrize("pooling", ["product", "mean"])
def test_resumed_training_equals_uninterrupted(pooling, validation, tmp_path):
    options = {"epochs": 4, "sets": SETS, "validation": validation, **QUIET}
    whole, broken = build(pooling), build(pooling)
    expected = fit(whole, table(), output=tmp_path / "whole", **options)
    with pytest.raises(Stop):
        fit(broken, table(), output=tmp_path / "broken", callbacks=[StopBefore(2)], **options)
    assert not (tmp_path / "broken" / "record.json").exists()
    fresh = build(pooling, norm=None)
    nn.init.zeros_(next(fresh.parameters()))  # whatever it holds, the checkpoint counts
    resumed = fit(fresh, table(), output=tmp_path / "broken", resume=True, **options)
    assert resumed.history == expected.history and len(expected.history) == 4
    curves = [tmp_path / "broken" / "logs" / name for name in ("metrics-1.csv", "metrics.csv")]
    assert all(path.is_file() for path in curves)
    assert_same_weights(weights(whole), weights(fresh))


def test_resumed_workers_draw_the_sets_of_their_epoch(tmp_path):
    options = {"epochs": 3, "sets": SETS, "workers": 1, **QUIET}
    expected = fit(build(), table(), **options)
    with pytest.raises(Stop):
        fit(build(), table(), output=tmp_path, callbacks=[StopBefore(2)], **options)
    assert fit(build(), table(), output=tmp_path, resume=True, **options).history == expected.history


def test_resuming_nothing_is_starting(tmp_path):
    record = fit(build(), table(), epochs=1, sets=SETS, output=tmp_path, resume=True, **QUIET)
    assert len(record.history) == 1


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    fit(build(), table(), steps=1, sets=SETS, output=tmp_path, **QUIET)
    with pytest.raises(ConfigurationError, match=r"already holds a run.*resume"):
        fit(build(), table(), steps=1, sets=SETS, output=tmp_path, **QUIET)


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    fit(build(), table(), steps=1, sets=SETS, output=tmp_path, **QUIET)
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"coset": {"format": 99}}, path)
    with pytest.raises(CheckpointError, match="format 99"):
        fit(build(), table(), steps=2, sets=SETS, output=tmp_path, resume=True, **QUIET)
    path.write_bytes(b"not a checkpoint")
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        fit(build(), table(), steps=2, sets=SETS, output=tmp_path, resume=True, **QUIET)


# --- what is refused ----------------------------------------------------------------------------------------


class Poison(lightning.Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 4:
            with torch.no_grad():
                module.model.z_prior.network.output.bias.fill_(torch.nan)


def test_a_term_that_is_not_finite_stops_training_and_is_named(tmp_path):
    with pytest.raises(NonFiniteError, match=r"site 'z' is nan at step 4; last good checkpoint: .*last\.ckpt"):
        fit(build("mean"), table(), epochs=5, sets=SETS, output=tmp_path, callbacks=[Poison()], **QUIET)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    with pytest.raises(NonFiniteError, match="none yet"):
        fit(build("mean"), table(), epochs=5, sets=SETS, callbacks=[Poison()], **QUIET)


@pytest.mark.parametrize(
    ("error", "message", "data", "options"),
    [
        (
            ConfigurationError,
            r"\[5\], the data has \[6\]",
            FactorTable(torch.rand(9, 6), digit=[0] * 9, rotation=[0] * 9),
            {},
        ),
        (DataError, r"\[0, 1\]", FactorTable(table().items * 3, digit=[0, 1] * 30, rotation=[0, 0, 1, 1] * 15), {}),
        (
            DataError,
            "no context 'rotation'.*'rotaton'",
            FactorTable(torch.rand(8, 5), digit=[0] * 8, rotaton=[0] * 8),
            {},
        ),
        (ConfigurationError, "expected a whole number from 1 up", table(), {"epochs": 0}),
        (ConfigurationError, "expected a whole number from 1 up", table(), {"steps": -1}),
        (ConfigurationError, "learning_rate_schedule: expected one of", table(), {"learning_rate_schedule": "cosine"}),
        (ConfigurationError, "'zz' that is not there", table(), {"schedule": Fixed({"zz": 1.0})}),
    ],
)
def test_what_does_not_fit_together_is_refused(error, message, data, options):
    with pytest.raises(error, match=message):
        fit(build(), data, sets=SETS, **{"steps": 1, **options, **QUIET})


# --- several processes --------------------------------------------------------------------------------------


class MeanBound(nn.Module):
    """Minus the weighted bound, averaged over sets; noiseless, so that it does not matter who draws."""

    def __init__(self, norm):
        super().__init__()
        self.model = build("mean", norm=norm)

    def forward(self, x, a):
        batch = SetBatch(x, a)
        q = Trace(observed={"a": a}, temperature=0.0)
        self.model.infer(q, batch)
        p = Trace(observed={"x": x}, replay=q)
        self.model.generate(p, batch.shape)
        return -elbo(q, p).weighted({"z": 0.5}).mean()


def gradients(module, x, a):
    module(x, a).backward()
    return {name.removeprefix("module."): part.grad for name, part in module.named_parameters()}


def sampler():
    return table().sets(["digit", "rotation"], batches=2, items=3, batch=4, seed=7)


NORMS = ("layer", "batch")


def one_of_two_processes(rank, folder):
    """What this file does when run as a script: the gradient of one shard, averaged by DistributedDataParallel."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    shard = sampler()
    (batch,) = iter(shard)  # the sampler finds its rank by itself
    assert len(shard) == 1
    for norm in NORMS:
        module = DistributedDataParallel(MeanBound(norm))
        found = gradients(module, batch.x, batch.constant)
        torch.save(found | dict(module.module.named_buffers()), folder / f"{norm}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    return folder


@pytest.mark.parametrize("norm", NORMS)
def test_two_processes_have_the_gradient_of_the_joint_batch(shards, norm):
    torch.set_default_dtype(torch.float64)
    batches = list(sampler())
    joint = torch.cat([batch.x for batch in batches]), torch.cat([batch.constant for batch in batches])
    module = MeanBound(norm)
    expected = gradients(module, *joint) | dict(module.named_buffers())
    first, second = (torch.load(shards / f"{norm}-{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, gradient in expected.items():
        torch.testing.assert_close(first[name], gradient, atol=1e-10, rtol=0)
        assert torch.equal(first[name], second[name])
    assert not torch.equal(batches[0].x, batches[1].x)


def test_a_schedule_of_learning_rates_has_a_name():
    with pytest.raises(ConfigurationError, match="learning rate schedule"):
        SetTraining(build(), EvidenceLowerBound(), Fixed(), learning_rate_schedule="cosine")  # type: ignore[arg-type]


if __name__ == "__main__":
    one_of_two_processes(int(sys.argv[1]), Path(sys.argv[2]))


def test_on_a_terminal_one_bar_tells_how_far_all_of_training_is(capsys):
    table = FactorTable(torch.rand(60, 4), kind=torch.arange(60) % 3)
    model = VAE((4,), z_dim=2, features=8)
    options = {"sets": {"batch": 5, "batches": 4}, "validation": table, "accelerator": "cpu"}
    fit(model, table, steps=10, enable_progress_bar=True, **options)
    shown = capsys.readouterr()
    last = shown.err.replace("\r", "\n").strip().splitlines()[-1]
    assert "100%" in last and "10/10" in last and "train bound -" in last and "validation bound -" in last
    assert shown.out == ""


def test_a_bar_of_the_users_own_takes_its_place(capsys):
    mine = TQDMProgressBar()
    options = {"sets": {"batch": 5, "batches": 2}, "accelerator": "cpu", "callbacks": [mine]}
    fit(VAE((4,), z_dim=2, features=8), torch.rand(20, 4), steps=2, enable_progress_bar=True, **options)
    assert "Epoch 0" in capsys.readouterr().out


def test_where_output_is_no_terminal_a_line_tells_how_far_it_is(capsys, monkeypatch):
    import coset.training.reporting as home

    table = FactorTable(torch.rand(40, 4), context=torch.arange(40) % 4)
    model = NeuralStatistician((4,), context_dim=2, z_dim=2, features=8, hidden=8)
    options = {"sets": {"items": 3, "batch": 4, "batches": 2}, "accelerator": "cpu"}
    monkeypatch.setattr(home, "SELDOM", 0.0)
    fit(model, table, epochs=3, validation=table, **options)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"epoch {epoch} of 3" for epoch in (1, 2, 3)]
    assert "train bound" in lines[0] and "validation bound" in lines[0]
    assert lines[-1].endswith("; 0 s left")
    monkeypatch.setattr(home, "SELDOM", 60.0)
    fit(model, table, epochs=3, **options)
    assert len(capsys.readouterr().out.splitlines()) == 1
    fit(model, table, epochs=1, enable_progress_bar=False, **options)
    assert capsys.readouterr().out == ""
