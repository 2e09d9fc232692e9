"""Objectives that other papers need: each is one file in `coset.objectives`, found by its name in a recipe."""

import itertools

import lightning
import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

import coset
from coset.data import FactorTable
from coset.discovery import find_class
from coset.objectives import Bound, EvidenceLowerBound, elbo
from coset.recipes import load_recipe
from coset.training import fit

pytestmark = pytest.mark.usefixtures("single")

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}

CRITIC = """
import torch
from torch import nn
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import elbo


class AdversarialCorrelation(Objective):
    # The bound less the total correlation of z, told by a critic of z and shuffled z (Kim & Mnih 2018).

    def bind(self, model, data_size):
        self.critic = nn.Sequential(nn.Linear(model.z_dim, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, programs):
        q = programs.infer()
        bound = elbo(q, programs.generate(q))
        correlation = self.critic(q["z"].value).squeeze(-1).sum(1)
        return Bound(bound.terms | {"correlation": correlation}, bound.gains, frozenset({"correlation"}))

    def critic_loss(self, programs):
        with torch.no_grad():
            z = programs.infer()["z"].value.flatten(0, 1)
        shuffled = torch.stack([column[torch.randperm(len(z))] for column in z.T], 1)
        both = self.critic(torch.cat([z, shuffled])).squeeze(-1)
        target = torch.cat([torch.ones(len(z)), torch.zeros(len(z))])
        return nn.functional.binary_cross_entropy_with_logits(both, target)
"""


@pytest.fixture
def table():
    return FactorTable(torch.rand(64, 6), kind=torch.arange(64) % 4)


def build(table):
    torch.manual_seed(0)
    return coset.VAE.for_data(table, z_dim=3, features=8, norm="layer")


def test_a_critic_is_trained_in_alternation_with_the_model(drop, table, tmp_path):
    drop("coset.objectives", "adversarial_correlation.py", CRITIC)
    objective = find_class("AdversarialCorrelation", "coset.objectives")()
    model, seen = build(table), []

    class Watch(lightning.Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            seen.append([p.detach().clone() for part in (model, objective.critic) for p in part.parameters()])

    options = {"sets": {"batch": 16}, "objective": objective, "gradient_clip_val": 1.0, **QUIET}
    record = fit(model, table, steps=6, callbacks=[Watch()], output=tmp_path / "run", **options)
    assert record.history[-1]["step"] == 6 and "correlation" in record.history[-1]
    for before, after in itertools.pairwise(seen):  # both move at every step
        for part in (slice(None, -4), slice(-4, None)):
            assert any(not torch.equal(x, y) for x, y in zip(before[part], after[part], strict=True))
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
    sizes = [sum(len(group["params"]) for group in each["param_groups"]) for each in state]
    assert sizes == [len(list(part.parameters())) for part in (model, objective.critic)]  # each has its own


def test_a_critic_is_resumed_with_the_model(drop, table, tmp_path):
    drop("coset.objectives", "adversarial_correlation.py", CRITIC)
    made = find_class("AdversarialCorrelation", "coset.objectives")
    options = {"epochs": 4, "sets": {"batch": 16}, **QUIET}
    whole = fit(build(table), table, objective=made(), output=tmp_path / "whole", **options)

    class Stop(lightning.Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 2:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(build(table), table, objective=made(), output=tmp_path / "broken", callbacks=[Stop()], **options)
    again = fit(build(table), table, objective=made(), output=tmp_path / "broken", resume=True, **options)
    assert again.history == whole.history


SIZE = """
import math
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import elbo


class MinibatchEntropy(Objective):
    # The entropy of the aggregate posterior by weighted sampling of a batch of N items (Chen et al. 2018).

    def bind(self, model, data_size):
        self.data_size = data_size

    def forward(self, programs):
        q = programs.infer()
        bound = elbo(q, programs.generate(q))
        z, posterior = q["z"].value, q["z"].distribution
        each = posterior.log_prob(z.unsqueeze(1)).sum(-1)  # [B, B]
        entropy = -(each.logsumexp(1) - math.log(len(z) * self.data_size))
        return Bound(bound.terms | {"entropy": entropy}, bound.gains, frozenset({"entropy"}))
"""


def test_the_size_of_the_data_is_known(drop, table):
    drop("coset.objectives", "minibatch_entropy.py", SIZE)
    objective = find_class("MinibatchEntropy", "coset.objectives")()
    record = fit(build(table), table, steps=2, sets={"batch": 16}, objective=objective, **QUIET)
    assert objective.data_size == 64 and torch.tensor(record.history[-1]["entropy"]).isfinite()


THRICE = """
import torch
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import elbo


class Lowest(Objective):
    # The lowest of the bounds of three runs of the inference program.

    def forward(self, programs):
        bounds = []
        for _ in range(3):
            q = programs.infer()
            bounds.append(elbo(q, programs.generate(q)))
        least = torch.stack([bound.value for bound in bounds]).argmin(0, keepdim=True)
        stacked = {name: torch.stack([bound.terms[name] for bound in bounds]) for name in bounds[0].terms}
        terms = {name: term.gather(0, least)[0] for name, term in stacked.items()}
        return Bound(terms, bounds[0].gains, q=bounds[0].q, p=bounds[0].p)
"""


@pytest.mark.parametrize("penalised", [False, True])
def test_infer_runs_three_times(drop, table, penalised):
    """Also beneath penalties, which are given the traces that the bound names, not the first ones that ran."""
    drop("coset.objectives", "lowest.py", THRICE)
    objective = find_class("Lowest", "coset.objectives")()
    model = coset.ContextAwareLearner.for_data(table, ["kind"], features=8, hidden=8, context_dim=2, z_dim=2)
    if penalised:
        penalties = [
            coset.objectives.ContrastiveSetIdentification(),
            coset.objectives.ContextCycleConsistency("context.constant", fresh=["z"]),
        ]
        objective = coset.objectives.Penalised(objective, penalties)
    record = fit(model, table, steps=2, sets={"batch": 8, "items": 3}, objective=objective, **QUIET)
    assert ("cycle" in record.history[-1]) == penalised and record.history[-1]["bound"] < 0


OTHER = """
from coset.batch import SetBatch
from coset.objectives.base import Bound, Objective
from coset.objectives.elbo import elbo


class Denoised(Objective):
    # Both programs run on the batch and on a noisy copy; how far the codes of both lie apart is a penalty.

    def forward(self, programs):
        q = programs.infer()
        bound = elbo(q, programs.generate(q))
        x = programs.batch.x
        noisy = programs.on(SetBatch((x + 0.1 * x.flip(0)).clamp(0, 1)))
        again = noisy.infer()
        other = elbo(again, noisy.generate(again))
        apart = (q["z"].distribution.mean - again["z"].distribution.mean).square().sum((1, 2))
        terms = bound.terms | {"apart": apart, "noisy": -other.value}
        return Bound(terms, bound.gains, frozenset({"apart", "noisy"}))
"""


def test_both_programs_run_on_another_batch(drop, table):
    drop("coset.objectives", "denoised.py", OTHER)
    objective = find_class("Denoised", "coset.objectives")()
    record = fit(build(table), table, steps=2, sets={"batch": 16}, objective=objective, **QUIET)
    assert record.history[-1]["apart"] >= 0 and record.history[-1]["noisy"] > 0


RECIPE = """# Digits whose class is drawn, with a learned baseline.
data: {class: Digits}
labels: {digit: 50}
model: {class: ClassStyle, label: digit, style_dim: 2, architecture: plain, channels: [], features: 8}
objective: {class: ScoreFunction}
sets: {items: 1, batch: 16, batches: 2}
training: {steps: 2}
"""


def test_a_recipe_names_an_objective_with_a_learned_baseline(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "mine.yaml")
    train = recipe.splits()["train"]
    options = recipe.fit_options()
    record = fit(recipe.model(train), train, **options, **QUIET)
    baseline = options["objective"].baseline
    assert isinstance(baseline, nn.Module) and baseline(train.x(torch.arange(3)).unsqueeze(1)).shape == (3,)
    assert record.history[-1]["score"] == 0.0


def test_a_is_enumerated_by_the_objectives_choice(table):
    """`a` takes all its values, although the model says nothing of how it is drawn."""
    model = coset.ContextAwareLearner((6,), ["one", "two"], features=8, hidden=8, context_dim=2, z_dim=2, infer_a="any")

    def enumerated(programs):
        return EvidenceLowerBound(discrete={"a": "enumerate"})(programs.on(programs.batch.x))

    before = model.a_posterior.classes.weight.detach().clone()
    columns = FactorTable(table.items, one=torch.arange(64) % 2, two=torch.arange(64) // 2 % 2)
    record = fit(model, columns, steps=3, sets={"batch": 8, "items": 3}, objective=enumerated, **QUIET)
    assert record.history[-1]["a"] >= 0 and not torch.equal(model.a_posterior.classes.weight, before)


def test_a_bound_is_still_a_function_of_two_traces(table):
    model = build(table)
    q, p = model.trace(coset.SetBatch(table.x()[:5].unsqueeze(1)))
    bound = elbo(q, p)
    assert isinstance(bound, Bound) and bound.q is q and bound.p is p
    expected = kl_divergence(q["z"].distribution, p["z"].distribution).sum(1)
    torch.testing.assert_close(bound.terms["z"], expected)
