"""Bounds for data of which some latent variables are known."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Normal, OneHotCategorical, kl_divergence

from coset.data import FactorTable, SetBatch
from coset.errors import ConfigurationError, TraceError
from coset.models import ClassStyle
from coset.objectives import (
    AuxiliaryVariable,
    Classified,
    ItemBaseline,
    ScoreFunction,
    auxiliary_variable,
    classified,
    elbo,
)
from coset.programs import Programs
from coset.trace import Partial, Trace
from coset.training import fit

VALUES, WIDTH, NOISE = 3, 2, 0.6


def normal(location, scale):
    return Independent(Normal(location, scale, validate_args=False), 1)


class Program:
    """The paper's pair: q(y | x; phi_y) q(z | x, y; phi_z), and p(y) p(z) p(x | y, z; theta), of items of 4 numbers.

    z is drawn with the noise `eps` `[B, N, Z]` that it is given, the same whatever y is. y is a class, or two numbers.
    """

    def __init__(self, discrete, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def parameter(*shape):
            return (0.7 * torch.randn(*shape, generator=generator)).requires_grad_()

        self.discrete, size = discrete, VALUES if discrete else 2
        self.phi_y, self.phi_z = parameter(4, size if discrete else 2 * size), parameter(4 + size, 2 * WIDTH)
        self.theta, self.size = parameter(size + WIDTH, 4), size

    def parameters(self):
        return {"theta": self.theta, "phi_z": self.phi_z, "phi_y": self.phi_y}

    def q_y(self, x):
        if self.discrete:
            return OneHotCategorical(logits=x @ self.phi_y, validate_args=False)
        location, raw = (x @ self.phi_y).chunk(2, -1)
        return normal(location, F.softplus(raw))

    def p_y(self, shape):
        if self.discrete:
            return OneHotCategorical(logits=torch.tensor([0.3, -0.2, 0.5]).expand(*shape, 3), validate_args=False)
        return normal(torch.zeros(*shape, 2), torch.ones(()))

    def q_z(self, x, y):
        location, raw = (torch.cat([x.expand(*y.shape[:-1], 4), y], -1) @ self.phi_z).chunk(2, -1)
        return normal(location, F.softplus(raw))

    def p_z(self, shape):
        return normal(torch.zeros(*shape, WIDTH), torch.ones(()))

    def p_x(self, y, z):
        return normal(torch.cat([y.expand(*z.shape[:-1], self.size), z], -1) @ self.theta, NOISE)

    def run(self, x, eps, observed=None, **options):
        q = Trace(observed, **options)
        posterior = self.q_z(x, q.sample("y", self.q_y(x)))
        q.replay["z"] = posterior.mean + posterior.stddev * eps
        q.sample("z", posterior)
        p = Trace({"x": x}, q, particles=q.particles)
        y = p.sample("y", self.p_y(x.shape[:2]))
        p.sample("x", self.p_x(y, p.sample("z", self.p_z(x.shape[:2]))))
        return q, p

    def conditional(self, x, y, eps):
        """L_{x|y} (equation 3) of each item: `[..., N]`."""
        posterior = self.q_z(x, y)
        z = posterior.mean + posterior.stddev * eps
        return self.p_x(y, z).log_prob(x) - kl_divergence(posterior, self.p_z(z.shape[:-1]))

    def gradients(self, value):
        found = torch.autograd.grad(value, list(self.parameters().values()), retain_graph=True, allow_unused=True)
        return {
            name: torch.zeros_like(part) if gradient is None else gradient
            for (name, part), gradient in zip(self.parameters().items(), found, strict=True)
        }


ENUMERATE = {"particles": VALUES, "discrete": {"y": "enumerate"}}
OPTIONS = {True: ENUMERATE, False: {}}


@pytest.fixture(params=[True, False], ids=["discrete", "continuous"])
def program(request):
    return Program(request.param)


def items(program, sets, number=1):
    """Items, their noise, and their labels `[B, N, ...]`."""
    x, eps = torch.randn(sets, number, 4), torch.randn(sets, number, WIDTH)
    y = torch.eye(3)[torch.randint(3, (sets, number))] if program.discrete else torch.randn(sets, number, 2)
    return x, eps, y


def close(left, right):
    torch.testing.assert_close(left, right, atol=1e-10, rtol=0)


# --- equation 4 ---------------------------------------------------------------------------------------------


def test_value_is_that_of_equation_four(program):
    x, eps, y = items(program, 5)
    value = auxiliary_variable(*program.run(x, eps, {"y": Partial(y, torch.ones(5, 1))}, **OPTIONS[program.discrete]))
    log_q = program.q_y(x).log_prob(y)
    expected = log_q.exp() * (program.conditional(x, y, eps) + program.p_y((5, 1)).log_prob(y) - log_q)
    close(value.value, expected[:, 0])


def test_gradients_are_those_of_the_appendix(program):
    """They are, with q = q(y | x) of the label and L = L_{x|y} of each item, these three.

    ∇_θ = q ∇_θ L        ∇_φz = q ∇_φz L        ∇_φy = q [L + log p(y) − log q − 1] ∇_φy log q
    """
    x, eps, y = items(program, 5)
    options = OPTIONS[program.discrete]
    for b in range(5):
        of = slice(b, b + 1)
        given = {"y": Partial(y[of], torch.ones(1, 1))}
        bound = auxiliary_variable(*program.run(x[of], eps[of], given, **options))
        found = program.gradients(bound.value.sum())
        conditional, log_q = program.conditional(x[of], y[of], eps[of]).sum(), program.q_y(x[of]).log_prob(y[of]).sum()
        inner, classifier = program.gradients(conditional), program.gradients(log_q)
        assert not inner["phi_y"].any() and not classifier["theta"].any() and not classifier["phi_z"].any()
        q = log_q.exp().detach()
        bracket = (conditional + program.p_y((1, 1)).log_prob(y[of]).sum() - log_q).detach()
        close(found["theta"], q * inner["theta"])
        close(found["phi_z"], q * inner["phi_z"])
        close(found["phi_y"], q * (bracket - 1) * classifier["phi_y"])
        assert all(part.any() for part in found.values())


def test_factor_of_a_set_is_that_of_all_its_labels(program):
    x, eps, y = items(program, 2, number=3)
    bound = auxiliary_variable(*program.run(x, eps, {"y": Partial(y, torch.ones(2, 3))}, **OPTIONS[program.discrete]))
    log_q = program.q_y(x).log_prob(y)
    each = program.conditional(x, y, eps) + program.p_y((2, 3)).log_prob(y) - log_q
    close(bound.value, log_q.sum(1).exp() * each.sum(1))


def test_with_nothing_known_it_is_the_evidence_lower_bound(program):
    x, eps, y = items(program, 4)
    options = OPTIONS[program.discrete]
    for given in ({}, {"y": Partial(torch.full_like(y, math.nan), torch.zeros(4, 1))}):
        for objective in (auxiliary_variable, classified):
            torch.manual_seed(1)
            bound = objective(*program.run(x, eps, given, **options))
            torch.manual_seed(1)
            expected = elbo(*program.run(x, eps, **options))
            close(bound.value, expected.value)
            left, right = program.gradients(bound.value.sum()), program.gradients(expected.value.sum())
            for name in left:
                close(left[name], right[name])
    if program.discrete:
        each = torch.stack([program.conditional(x, code.expand(4, 1, 3), eps) for code in torch.eye(3)], -1)
        q = program.q_y(x)
        by_hand = (q.probs * each).sum(-1) - kl_divergence(q, program.p_y((4, 1)))
        close(expected.value, by_hand[:, 0])


@pytest.mark.parametrize("objective", [elbo, auxiliary_variable, classified])
def test_a_mixed_batch_is_a_supervised_and_an_unsupervised_one(objective, program):
    x, eps, y = items(program, 6)
    options = OPTIONS[program.discrete]
    known = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]).unsqueeze(1)
    torch.manual_seed(1)
    q, p = program.run(x, eps, {"y": Partial(y.masked_fill(known.unsqueeze(-1) == 0, math.nan), known)}, **options)
    mixed = objective(q, p)
    total = program.gradients(mixed.value.sum())
    labelled, rest = known[:, 0] == 1, known[:, 0] == 0
    supervised = objective(*program.run(x[labelled], eps[labelled], {"y": y[labelled]}))
    # numbers drawn for the unlabelled are taken over: their classes are not drawn at all
    drawn = {} if program.discrete else {"y": q["y"].value[rest].detach()}
    alone, generated = program.run(x[rest], eps[rest], replay=drawn, **options)
    unsupervised = objective(alone, generated)
    close(mixed.value[labelled], supervised.value)
    close(mixed.value[rest], unsupervised.value)
    parts = [program.gradients(part.value.sum()) for part in (supervised, unsupervised)]
    close(total["theta"], parts[0]["theta"] + parts[1]["theta"])
    close(total["phi_z"], parts[0]["phi_z"] + parts[1]["phi_z"])
    if program.discrete:
        close(total["phi_y"], parts[0]["phi_y"] + parts[1]["phi_y"])


def test_numbers_that_are_not_known_are_drawn_with_their_gradient():
    """By hand for a pair of sets of one item, one known: the other is the evidence lower bound of a drawn y."""
    program = Program(discrete=False)
    x, eps, y = items(program, 2)
    q, p = program.run(x, eps, {"y": Partial(y, torch.tensor([[1.0], [0.0]]))})
    posterior = program.q_y(x[1:])
    noise = ((q["y"].value[1:] - posterior.mean) / posterior.stddev).detach()
    drawn = posterior.mean + posterior.stddev * noise
    close(q["y"].value[1:], drawn)
    log_q = program.q_y(x[:1]).log_prob(y[:1])
    known = log_q.exp() * (program.conditional(x[:1], y[:1], eps[:1]) + program.p_y((1, 1)).log_prob(y[:1]) - log_q)
    unknown = program.conditional(x[1:], drawn, eps[1:]) - kl_divergence(posterior, program.p_y((1, 1)))
    bound = auxiliary_variable(q, p)
    close(bound.value, torch.cat([known, unknown])[:, 0])
    left, right = program.gradients(bound.value.sum()), program.gradients(known.sum() + unknown.sum())
    for name in left:
        close(left[name], right[name])


@pytest.mark.parametrize("how", ["sample", "plug-in", "relaxed", "straight-through"])
def test_ways_to_draw_change_nothing_where_the_label_is_known(how):
    program = Program(discrete=True)
    x, eps, y = items(program, 4)
    given = {"y": Partial(y, torch.ones(4, 1))}
    for objective in (auxiliary_variable, classified):
        drawn = objective(*program.run(x, eps, given, discrete={"y": how}))
        enumerated = objective(*program.run(x, eps, given, **ENUMERATE))
        close(drawn.value, enumerated.value)
        left, right = program.gradients(drawn.value.sum()), program.gradients(enumerated.value.sum())
        for name in left:
            close(left[name], right[name])


@pytest.mark.parametrize("objective", [auxiliary_variable, classified])
def test_a_known_value_whose_posterior_reads_an_enumerated_one_is_refused(objective):
    q = Trace({"w": torch.zeros(2, 1, 1)}, **ENUMERATE)
    y = q.sample("y", OneHotCategorical(logits=torch.zeros(2, 1, 3)))
    q.sample("w", normal(y[..., :1], torch.ones(())))
    p = Trace({"x": torch.zeros(2, 1, 1)}, q, particles=3)
    p.sample("y", OneHotCategorical(logits=torch.zeros(2, 1, 3)))
    p.sample("x", normal(p.sample("w", normal(torch.zeros(2, 1, 1), torch.ones(()))), NOISE))
    elbo(q, p)  # which doesn't teach q of what is known
    with pytest.raises(TraceError, match="'w': q of its known value depends on an enumerated site; draw that one"):
        objective(q, p)


# --- the classification term --------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 1.0, 25.0])
def test_classified_by_hand(weight, program):
    x, eps, y = items(program, 4, number=2)
    known = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    q, p = program.run(x, eps, {"y": Partial(y, known)}, **OPTIONS[program.discrete])
    bound, plain = classified(q, p, weight), elbo(q, p)
    prior, log_q = (program.p_y((4, 2)).log_prob(y) * known).sum(1), (program.q_y(x).log_prob(y) * known).sum(1)
    close(bound.value, plain.value + prior + weight * log_q)
    close(bound.terms["classification"], -weight * log_q)
    labelled = program.run(x[:1], eps[:1], {"y": y[:1]})
    equation = (program.conditional(x[:1], y[:1], eps[:1]) + program.p_y((1, 2)).log_prob(y[:1])).sum(1)
    close(classified(*labelled, 0.0).value, equation)  # −L(x, y) of Kingma et al.
    close(bound.value[:1], equation + weight * log_q[:1])


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigurationError, match=r"weight: expected 0 or more, got -0\.1"):
        Classified(weight=-0.1)
    assert Classified(weight=0).weight == 0


# --- as training objectives ---------------------------------------------------------------------------------


def semisupervised(n=24, classes=3):
    """A table of vectors of `classes` kinds, of which three in four are unknown; and a model for it."""
    kind = torch.arange(n) % classes
    centre = F.one_hot(kind, classes).float().repeat(1, 2)  # [n, 2V]
    known = [code if row % 4 == 0 else None for row, code in enumerate(kind.tolist())]
    table = FactorTable(0.7 * centre + 0.3 * torch.rand(n, 2 * classes), kind=known)
    torch.manual_seed(1)
    return table, ClassStyle.for_data(table, style_dim=2, features=8, architecture="plain", channels=[], norm="none")


def test_objectives_run_the_programs_of_a_model():
    table, model = semisupervised()
    model = model.double()
    batch = SetBatch(table.x()[:6].unsqueeze(1).double(), factors={"kind": table.factors["kind"][:6].unsqueeze(1)})
    programs = Programs(model, batch)
    for how in ("sample", "enumerate", "plug-in", "relaxed", "straight-through"):
        discrete = {"class": how}
        for objective, function in ((AuxiliaryVariable, auxiliary_variable), (Classified, classified)):
            torch.manual_seed(2)
            bound = objective(discrete=discrete)(programs)
            torch.manual_seed(2)
            q = programs.infer(discrete=discrete)
            assert q.particles == (3 if how == "enumerate" else None) and q["class"].provenance == "partial"
            close(bound.value, function(q, programs.generate(q)).value)
            assert bound.value.shape == (6,)
    torch.manual_seed(2)
    weighted = Classified(weight=7.0, discrete={"class": "enumerate"})(programs).terms["classification"]
    code = batch.factors["kind"]
    log_q = model.class_posterior(model.encoder(batch.x)).log_softmax(-1)
    expected = -7 * torch.where(code >= 0, log_q.gather(-1, code.clamp_min(0).unsqueeze(-1)).squeeze(-1), 0.0)
    close(weighted, expected[:, 0])


def test_relaxation_reaches_the_draw():
    table, model = semisupervised()
    programs = Programs(model.double(), SetBatch(table.x().unsqueeze(1).double()))

    def sharpness(temperature):
        q = programs.infer(discrete={"class": "relaxed"}, relaxation=temperature)
        return float(q["class"].value.detach().amax(-1).mean())

    assert sharpness(0.05) > 0.95 > 0.6 > sharpness(5.0)


@pytest.mark.parametrize("bound", [elbo, auxiliary_variable, classified])
def test_score_function_trains_its_baseline(bound):
    table, model = semisupervised()
    objective = ScoreFunction(ItemBaseline(6, hidden=8), bound)
    before = {name: part.detach().clone() for name, part in objective.baseline.named_parameters()}
    classifier = model.class_posterior.weight.detach().clone()
    record = fit(model, table, epochs=2, objective=objective, sets={"batch": 8}, accelerator="cpu")
    assert len(record.history) == 2 and all(math.isfinite(row["bound"]) for row in record.history)
    assert all(row["score"] == 0.0 for row in record.history)
    assert all(not torch.equal(part, before[name]) for name, part in objective.baseline.named_parameters())
    assert not torch.equal(model.class_posterior.weight, classifier)


def test_baseline_of_a_score_function_learns_the_bound():
    """With the model held fixed, it approaches the bound's mean, and the variance of the gradient falls."""
    table, model = semisupervised()
    model = model.double().requires_grad_(False)
    batch = SetBatch(table.x().unsqueeze(1).double())
    programs, objective = Programs(model, batch), ScoreFunction(ItemBaseline(6, hidden=8).double())
    optimizer = torch.optim.Adam(objective.parameters(), 0.1)

    def miss():
        with torch.no_grad():
            return float((objective.baseline(batch.x) - elbo(*model.trace(batch)).value).square().mean())

    first = miss()
    for _ in range(60):
        optimizer.zero_grad()
        (-objective(programs).value.mean()).backward()
        optimizer.step()
    assert miss() < 0.2 * first
