"""Main effects plus interaction: what the seen cells of a table say about its empty ones."""

import pytest
import torch

from coset.distributions.interaction import InteractionProcess
from coset.errors import DataError
from coset.metrics.simple_rules import predict_by_rules
from coset.queries.interaction import predict_by_interaction

ROWS, COLUMNS, SIZE = 12, 10, 12
SIZES = (ROWS, COLUMNS)


def made(kind, noise=0.05, missing=0.3, seed=1):
    """Levels and means of the seen and of the empty cells of a table that a formula made."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    a, b = draw(ROWS, 1, SIZE), draw(1, COLUMNS, SIZE)
    product = torch.einsum("adr,br->abd", draw(ROWS, SIZE, 2), draw(COLUMNS, 2))
    table = {
        "additive": a + b,
        "multiplicative": (a / 2 + b / 2).exp(),
        "rank 2": product,
        "rank 2 over additive": a + b + product,
        "noise": torch.zeros(ROWS, COLUMNS, SIZE),
    }[kind]
    means = (table + noise * draw(*table.shape)).flatten(0, 1)
    means = means.clamp_min(0.01) if kind == "multiplicative" else means
    levels = torch.cartesian_prod(torch.arange(ROWS), torch.arange(COLUMNS))
    order = torch.randperm(len(levels), generator=g)
    # The first column and row stay, so that every level is seen.
    empty = order[(levels[order] > 0).all(1)][: round(missing * len(levels))]
    out = torch.zeros(len(levels), dtype=torch.bool).index_fill(0, empty, True)
    return (levels[~out], means[~out]), (levels[out], means[out])


def r2(predicted, truth, seen):
    return 1 - float((predicted - truth).square().mean() / (seen.mean(0) - truth).square().mean())


@pytest.mark.parametrize(
    ("kind", "missing", "says"),
    [
        ("additive", 0.3, "interaction 0%"),
        ("additive", 0.6, "interaction 0%"),
        ("multiplicative", 0.3, "in the logarithm"),
        ("rank 2", 0.3, "adding up"),
        ("noise", 0.3, "levels tell nothing"),
    ],
)
def test_never_worse_than_the_best_simple_rule(kind, missing, says):
    (levels, means), (wanted, truth) = made(kind, missing=missing)
    found = predict_by_interaction(levels, means, torch.ones(len(levels)), wanted, SIZES)
    best = max(r2(rule, truth, means) for rule in predict_by_rules(levels, means, wanted).values())
    assert r2(found.mean, truth, means) > best - 0.02
    assert says in found.action
    inside = ((found.mean - truth).abs() < 1.645 * found.spread).double().mean()
    assert inside > 0.8


def test_an_additive_table_and_one_of_rank_two_are_found_to_one_percent():
    for kind in ("additive", "rank 2"):
        (levels, means), (wanted, truth) = made(kind, noise=0.01)
        mean, _ = InteractionProcess(levels, means, sizes=SIZES).predict(wanted)
        assert r2(mean, truth, means) > 0.99


def test_prediction_is_that_of_a_normal_distribution_over_all_cells():
    """What is conditioned on and what is predicted follow one joint covariance, written out here."""
    (levels, means), (wanted, _) = made("rank 2 over additive")
    process = InteractionProcess(levels, means, sizes=SIZES)
    cells = torch.cat([levels, wanted])
    kernels = process._kernels()
    row, column = (kernel[cells[:, k]][:, cells[:, k]] for k, kernel in enumerate(kernels))
    v = process.log_variance.exp()
    joint = v[0] * row + v[1] * column + v[2] * row * column
    noise = process.log_noise.exp().sum()
    n = len(levels)
    seen = joint[:n, :n] + (noise + 1e-6) * torch.eye(n)
    y = (means - process.centre) / process.scale
    expected = joint[n:, :n] @ torch.linalg.solve(seen, y) * process.scale + process.centre
    mean, variance = process.predict(wanted)
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-6)
    left = (joint[n:, n:] - joint[n:, :n] @ torch.linalg.solve(seen, joint[:n, n:])).diagonal() + noise
    ratio = variance / left[:, None]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-5, atol=1e-8)  # one number an element


def test_units_do_not_matter():
    (levels, means), (wanted, _) = made("rank 2 over additive")
    mean, variance = InteractionProcess(levels, means, sizes=SIZES).predict(wanted)
    other, other_variance = InteractionProcess(levels, 1000 * means + 5, sizes=SIZES).predict(wanted)
    torch.testing.assert_close(other, 1000 * mean + 5, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(other_variance, 1e6 * variance, rtol=1e-3, atol=1e-3)


def test_three_factors_have_effects_of_every_order():
    g = torch.Generator().manual_seed(0)
    effects = [torch.randn(size, 6, generator=g) for size in (5, 4, 3)]
    levels = torch.cartesian_prod(torch.arange(5), torch.arange(4), torch.arange(3))
    means = sum(effect[levels[:, k]] for k, effect in enumerate(effects))
    out = torch.arange(len(levels)) % 7 == 3
    process = InteractionProcess(levels[~out], means[~out], sizes=(5, 4, 3))
    assert len(process.orders) == 7
    assert r2(process.predict(levels[out])[0], means[out], means[~out]) > 0.99


def test_of_a_level_that_was_never_seen_its_effects_are_nothing():
    (levels, means), _ = made("additive")
    process = InteractionProcess(levels[levels[:, 0] != 3], means[levels[:, 0] != 3], sizes=SIZES)
    mean, variance = process.predict(torch.tensor([[3, 0], [4, 0]]))
    assert bool(mean.isfinite().all())
    assert bool((variance[0] > 2 * variance[1]).all())


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"expected levels \[cells, K\]"):
        InteractionProcess(torch.zeros(4, 2, dtype=torch.long), torch.zeros(5, 3))
    with pytest.raises(DataError, match="two cells or more"):
        InteractionProcess(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 3))
    few = torch.tensor([[0, 0], [1, 1]])
    with pytest.raises(DataError, match="three seen cells"):
        predict_by_interaction(few, torch.rand(2, 3), torch.ones(2), few, (2, 2))


def test_what_never_changes_is_predicted_as_it_is():
    (levels, means), (wanted, _) = made("additive")
    means[:, 0] = 5.0
    found = predict_by_interaction(levels, means, torch.ones(len(levels)), wanted, SIZES)
    assert bool(found.mean.isfinite().all() and found.spread.isfinite().all())
    torch.testing.assert_close(found.mean[:, 0], torch.full((len(wanted),), 5.0), rtol=1e-6, atol=1e-6)
    same = predict_by_interaction(levels, torch.ones(len(levels), 3), torch.ones(len(levels)), wanted, SIZES)
    torch.testing.assert_close(same.mean, torch.ones(len(wanted), 3), rtol=1e-6, atol=1e-6)
    assert float(same.spread.max()) < 1e-3


def test_three_cells_are_enough():
    levels = torch.tensor([[0, 0], [0, 1], [1, 0]])
    found = predict_by_interaction(levels, torch.rand(3, 2), torch.ones(3), torch.tensor([[1, 1]]), (2, 2))
    assert bool(found.mean.isfinite().all() and found.spread.isfinite().all())
