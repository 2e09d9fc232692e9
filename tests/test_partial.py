"""Values that are known of some items only."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Normal, OneHotCategorical

from coset.errors import DataError, ShapeError
from coset.objectives import (
    DoublyReparametrized,
    auxiliary_variable,
    classified,
    elbo,
    importance_weighted,
    score_function,
)
from coset.trace import Partial, Trace

VALUES = 3
OBJECTIVES = [elbo, auxiliary_variable, classified]
CODES = torch.eye(VALUES)[torch.tensor([[0, 1], [2, 0]])]
ENUMERATE = {"particles": VALUES, "discrete": {"y": "enumerate"}}
DRAWS = [
    {},
    {"particles": 2},
    ENUMERATE,
    {"discrete": {"y": "plug-in"}},
    {"discrete": {"y": "relaxed"}},
    {"discrete": {"y": "straight-through"}},
]


def normal(location, scale=1.0):
    return Independent(Normal(location, scale), 1)


class Mixture:
    """Two programs over items `[B, N, 2]`: a class y, a number w that depends on it, and x given both."""

    def __init__(self, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def parameter(*shape):
            return torch.randn(*shape, generator=generator).requires_grad_()

        self.classifier, self.regressor = parameter(2, VALUES), parameter(2, 1)
        self.levels, self.means, self.slope = parameter(VALUES, 1), parameter(VALUES, 2), parameter(1, 2)
        self.parameters = (self.classifier, self.regressor, self.levels, self.means, self.slope)

    def infer(self, q, x):
        q.sample("y", OneHotCategorical(logits=x @ self.classifier, validate_args=False))
        q.sample("w", normal(x @ self.regressor, 0.5))
        return q

    def generate(self, p, shape):
        prior = torch.zeros(*shape, VALUES)
        y = p.sample("y", OneHotCategorical(logits=prior, validate_args=False))
        w = p.sample("w", normal(y @ self.levels))
        p.sample("x", normal(y @ self.means + w @ self.slope, 0.7))
        return p

    def run(self, x, observed=None, mask=None, **options):
        q = self.infer(Trace(observed, mask=mask, **options), x)
        p = self.generate(Trace({"x": x}, q, mask, q.particles), x.shape[:2])
        return q, p

    def gradients(self, bound):
        found = torch.autograd.grad(bound.value.sum(), self.parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, found, strict=True)]


@pytest.fixture
def mixture():
    return Mixture()


def labels(*codes):
    """Of one-hot codes `[B, N]`: the values, NaN where the code is −1, and where they are known."""
    codes = torch.tensor(codes)
    value = F.one_hot(codes.clamp_min(0), VALUES).to(torch.get_default_dtype())
    known = (codes >= 0).to(value.dtype)
    return Partial(torch.where(known.unsqueeze(-1) > 0, value, math.nan), known)


# --- known everywhere, and nowhere --------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_known_everywhere_is_a_full_observation(objective, mixture):
    x, given = torch.randn(2, 2, 2), labels([0, 2], [1, 1])
    w = torch.randn(2, 2, 1)
    partial = objective(*mixture.run(x, {"y": given, "w": Partial(w, torch.ones(2, 2))}))
    full = objective(*mixture.run(x, {"y": given.value, "w": w}))
    assert set(partial.terms) == set(full.terms) and partial.gains == full.gains
    for name in full.terms:
        torch.testing.assert_close(partial.terms[name], full.terms[name], atol=1e-12, rtol=0)
    for left, right in zip(mixture.gradients(partial), mixture.gradients(full), strict=True):
        torch.testing.assert_close(left, right, atol=1e-12, rtol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_known_everywhere_and_enumerated_is_a_full_observation(objective, mixture):
    x, given, w = torch.randn(2, 2, 2), labels([0, 2], [1, 1]), torch.randn(2, 2, 1)
    q, p = mixture.run(x, {"y": given, "w": w}, **ENUMERATE)
    bound = elbo(q, p)
    torch.testing.assert_close(bound.value, elbo(*mixture.run(x, {"y": given.value, "w": w})).value)
    assert not bound.terms["y"].any()
    only_y = Mixture.infer(mixture, Trace({"y": given}, **ENUMERATE), x)
    assert only_y["y"].provenance == "partial" and torch.equal(only_y["y"].weight.sum(0), torch.ones(2, 2))
    assert torch.equal(only_y["y"].weight.argmax(0), given.value.argmax(-1))


@pytest.mark.parametrize("options", DRAWS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_known_nowhere_is_nothing_observed(objective, options, mixture):
    x = torch.randn(2, 3, 2)
    nothing = {"y": labels([-1] * 3, [-1] * 3), "w": Partial(torch.full((2, 3, 1), math.nan), torch.zeros(2, 3))}

    def run(observed):
        torch.manual_seed(3)
        bound = objective(*mixture.run(x, observed, **options))
        return bound, mixture.gradients(bound)

    (bound, gradients), (expected, expected_gradients) = run(nothing), run(None)
    assert torch.equal(bound.value, expected.value)
    assert all(torch.equal(*pair) for pair in zip(gradients, expected_gradients, strict=True))
    torch.manual_seed(3)
    torch.testing.assert_close(bound.value, elbo(*mixture.run(x, **options)).value)


def test_a_known_value_is_taken_and_the_rest_is_drawn_as_before(mixture):
    x, w = torch.randn(2, 3, 2), torch.randn(2, 3, 1)
    known = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    torch.manual_seed(5)
    free, _ = mixture.run(x, particles=4)
    torch.manual_seed(5)
    q, p = mixture.run(x, {"w": Partial(w, known)}, particles=4)
    present = known.unsqueeze(-1).bool().expand(4, 2, 3, 1)
    assert torch.equal(q["w"].value[present], w.expand(4, 2, 3, 1)[present])
    assert torch.equal(q["w"].value[~present], free["w"].value[~present])
    assert torch.equal(p["w"].value, q["w"].value) and q["w"].provenance == "partial"
    again = mixture.infer(Trace({"w": Partial(w, known)}, free, particles=4), x)  # and what is replayed fills in too
    assert torch.equal(again["w"].value, q["w"].value)


# --- known of some ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_mixed_batch_is_its_sets_one_by_one(objective, mixture):
    x, given, w = torch.randn(4, 2, 2), labels([0, -1], [-1, -1], [2, 1], [-1, 0]), torch.randn(4, 2, 1)
    whole = objective(*mixture.run(x, {"y": given, "w": w}, **ENUMERATE))
    gradients = mixture.gradients(whole)
    parts, each = [], []
    for b in range(4):
        of = slice(b, b + 1)
        part = objective(*mixture.run(x[of], {"y": Partial(given.value[of], given.known[of]), "w": w[of]}, **ENUMERATE))
        parts.append(part)
        each.append(mixture.gradients(part))
    for name, term in whole.terms.items():
        torch.testing.assert_close(term, torch.cat([part.terms[name] for part in parts]), atol=1e-12, rtol=0)
    for total, summands in zip(gradients, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(total, torch.stack(summands).sum(0), atol=1e-12, rtol=0)


@pytest.mark.parametrize("options", [{}, ENUMERATE])
def test_the_bound_of_a_set_is_the_sum_over_its_items(options, mixture):
    x, given, w = torch.randn(1, 3, 2), labels([0, -1, 2]), torch.randn(1, 3, 1)
    torch.manual_seed(2)
    whole = elbo(*mixture.run(x, {"y": given, "w": w}, **options)).value
    torch.manual_seed(2)  # sets of one draw in the same order
    turned = {"y": Partial(given.value.transpose(0, 1), given.known.T), "w": w.transpose(0, 1)}
    items = elbo(*mixture.run(x.transpose(0, 1), turned, **options)).value
    torch.testing.assert_close(whole, items.sum(0, keepdim=True), atol=1e-12, rtol=0)


@pytest.mark.parametrize("junk", [math.nan, math.inf, 7.0])
@pytest.mark.parametrize("options", DRAWS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_stands_where_nothing_is_known_is_never_seen(objective, options, junk, mixture):
    x = torch.randn(2, 2, 2)
    w, known = torch.randn(2, 2, 1), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    codes = labels([-1, 2], [1, -1])

    def run(fill):
        torch.manual_seed(3)
        y = Partial(torch.where(codes.known.unsqueeze(-1) > 0, codes.value, fill), codes.known)
        q, p = mixture.run(x, {"y": y, "w": Partial(w.masked_fill(known.unsqueeze(-1) == 0, fill), known)}, **options)
        bound = objective(q, p)
        return q, bound, mixture.gradients(bound)

    q, bound, gradients = run(junk)
    _, clean, expected = run(0.0)
    assert all(site.value.isfinite().all() and site.score.isfinite().all() for site in q)
    assert bound.value.isfinite().all() and torch.equal(bound.value, clean.value)
    assert all(torch.equal(*pair) for pair in zip(gradients, expected, strict=True))


def test_padding_is_neither_known_nor_counted(mixture):
    x, mask = torch.randn(2, 3, 2), torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    given, w = labels([0, -1, -1], [1, -1, -1]), torch.randn(2, 3, 1)
    padded = x.masked_fill(mask.unsqueeze(-1) == 0, 9.0)
    for objective in OBJECTIVES:
        left = objective(*mixture.run(x, {"y": given, "w": w}, mask, **ENUMERATE)).value
        right = objective(*mixture.run(padded, {"y": given, "w": w}, mask, **ENUMERATE)).value
        torch.testing.assert_close(left, right, atol=1e-12, rtol=0)
        alone = {"y": Partial(given.value[1:, :1], given.known[1:, :1]), "w": w[1:, :1]}
        by_itself = objective(*mixture.run(x[1:, :1], alone, **ENUMERATE)).value
        torch.testing.assert_close(left[1:], by_itself, atol=1e-12, rtol=0)


def test_what_is_known_may_be_told_in_truth_values(mixture):
    x, given, w = torch.randn(2, 2, 2), labels([0, -1], [-1, 1]), torch.randn(2, 2, 1)
    yes_no = Partial(given.value, given.known > 0)
    for objective in OBJECTIVES:
        expected = objective(*mixture.run(x, {"y": given, "w": w}, **ENUMERATE)).value
        torch.testing.assert_close(objective(*mixture.run(x, {"y": yes_no, "w": w}, **ENUMERATE)).value, expected)


# --- importance weights, and score functions ----------------------------------------------------------------


def test_importance_weights_condition_on_what_is_known(mixture):
    x, given = torch.randn(2, 2, 2), labels([0, -1], [-1, -1])
    w, known = torch.randn(2, 2, 1), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    q, p = mixture.run(x, {"y": given, "w": Partial(w, known)}, particles=5)
    free_y, free_w = 1 - given.known, 1 - known
    log_weight = (
        p["x"].distribution.log_prob(x)
        + free_y * (p["y"].distribution.log_prob(p["y"].value) - q["y"].distribution.log_prob(q["y"].value))
        + free_w * (p["w"].distribution.log_prob(p["w"].value) - q["w"].distribution.log_prob(q["w"].value))
    ).sum(-1)  # [S, B]
    expected = log_weight.logsumexp(0) - math.log(5)
    torch.testing.assert_close(importance_weighted(q, p).value, expected, atol=1e-12, rtol=0)


class Programs:
    """The programs of a `Mixture` whose y is known, on one batch, as an objective is given them."""

    def __init__(self, mixture, x, observed):
        self.mixture, self.x, self.observed = mixture, x, observed

    def infer(self, particles=None, replay=None, fixed_parameters=False):
        with held(self.mixture, fixed_parameters):
            return self.mixture.infer(Trace(self.observed, replay, particles=particles), self.x)

    def generate(self, q, replay=None, fixed_parameters=False):
        p = Trace({"x": self.x}, q if replay is None else replay, particles=q.particles)
        with held(self.mixture, fixed_parameters):
            return self.mixture.generate(p, self.x.shape[:2])


class held:
    """Run with a mixture's parameters held fixed, or not."""

    def __init__(self, mixture, fixed):
        self.mixture, self.fixed = mixture, fixed

    def __enter__(self):
        for part in self.mixture.parameters:
            part.requires_grad_(not self.fixed)

    def __exit__(self, *_):
        for part in self.mixture.parameters:
            part.requires_grad_(True)


def test_the_doubly_reparametrised_gradient_is_that_of_the_same_draws(mixture):
    x, y, w = torch.randn(2, 2, 2), labels([0, 1], [2, 1]).value, torch.randn(2, 2, 1)

    def run(observed):
        torch.manual_seed(3)
        bound = DoublyReparametrized(4)(Programs(mixture, x, {"y": y, **observed}))
        return bound.value, mixture.gradients(bound)

    value, gradients = run({"w": Partial(w, torch.zeros(2, 2))})
    expected, expected_gradients = run({})
    torch.testing.assert_close(value, expected, atol=1e-12, rtol=0)
    for left, right in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(left, right, atol=1e-12, rtol=0)


def test_what_is_known_has_no_score_function(mixture):
    x, w = torch.randn(3, 1, 2), torch.randn(3, 1, 1)
    given = labels([0], [-1], [2])
    q, p = mixture.run(x, {"y": given, "w": w})
    bound = score_function(q, elbo(q, p))
    signal = bound.value.detach()
    expected = signal[1] * q["y"].distribution.log_prob(q["y"].value)[1, 0] + elbo(q, p).value.sum()
    (left,) = torch.autograd.grad(bound.value.sum(), mixture.classifier, retain_graph=True)
    (right,) = torch.autograd.grad(expected, mixture.classifier)
    torch.testing.assert_close(left, right, atol=1e-12, rtol=0)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Partial(torch.ones(2, 2, 4), torch.ones(2, 2)), ShapeError, r"site 'y'.*event \[3\].*got \[2, 2, 4\]"),
        (Partial(torch.ones(2, 3, 3), torch.ones(2, 3)), ShapeError, r"site 'y': expected the axes \[B=2, N=2\]"),
        (Partial(torch.ones(3), torch.ones(())), ShapeError, r"site 'y': expected the axes \[B=2, N=2\]"),
        (Partial(CODES.long(), torch.ones(2, 2)), ShapeError, r"site 'y'.*int64.*one_hot"),
        (Partial(CODES, torch.ones(2)), ShapeError, r"site 'y'.*known.*\[2, 2\], got \[2\]"),
        (Partial(CODES, torch.ones(2, 2, 3)), ShapeError, r"'y'.*\[2, 2\], got \[2, 2, 3\]"),
        (Partial(torch.full((2, 2, 3), 0.5), torch.eye(2)), DataError, r"site 'y': 2 of.*support.*\[0.5, 0.5, 0.5\]"),
        (Partial(torch.full((2, 2, 3), math.nan), torch.eye(2)), DataError, r"site 'y': 2 of .* nan"),
    ],
)
@pytest.mark.parametrize("options", [{}, ENUMERATE])
def test_an_unfit_value_names_its_site(given, error, message, options, mixture):
    with pytest.raises(error, match=message):
        mixture.run(torch.zeros(2, 2, 2), {"y": given}, **options)


def test_a_number_that_is_not_finite_is_not_known(mixture):
    w = torch.tensor([[[math.nan]], [[1.0]]])
    with pytest.raises(DataError, match=r"site 'w': 1 of the values.*\[nan\]"):
        mixture.run(torch.zeros(2, 1, 2), {"w": Partial(w, torch.ones(2, 1))})
    mixture.run(torch.zeros(2, 1, 2), {"w": Partial(w, torch.tensor([[0.0], [1.0]]))})
