import pytest
import torch

from coset.datasets.families import FAMILIES, OneDimensionalFamilies, draw_families
from coset.errors import ConfigurationError


def test_each_family_has_the_mean_and_variance_that_were_drawn():
    x, family, mean, variance = draw_families(sets=40, items=100_000, seed=1)
    x = x.squeeze(-1).double()
    assert (x.mean(1) - mean).abs().max() < 0.03
    assert (x.var(1) / variance - 1).abs().max() < 0.08
    assert family.unique().tolist() == [0, 1, 2, 3]
    assert mean.abs().max() <= 1 and variance.min() >= 0.5 and variance.max() <= 2


def test_families_differ_in_shape():
    """Standardised third and fourth moments are those of the textbook."""
    x, family, mean, variance = draw_families(sets=80, items=50_000, seed=2)
    standard = (x.squeeze(-1).double() - mean[:, None]) / variance.sqrt()[:, None]
    skewness, kurtosis = standard.pow(3).mean(1), standard.pow(4).mean(1)
    # ½ N(±√¾, ¼): E x⁴ = d⁴ + 6 d² w² + 3 w⁴ with d² = ¾, w² = ¼
    expected = {"mixture": (0, 1.875), "laplace": (0, 6), "exponential": (2, 9), "reversed exponential": (-2, 9)}
    for code, name in enumerate(FAMILIES):
        rows = family == code
        assert abs(skewness[rows].mean() - expected[name][0]) < 0.1, name
        assert abs(kurtosis[rows].mean() / expected[name][1] - 1) < 0.1, name


def test_tables_hold_sets_with_what_they_were_drawn_from():
    splits = OneDimensionalFamilies(sets=30, items=20, validation=4, test=6, seed=3).load_splits()
    assert [len(table) for table in splits.values()] == [600, 80, 120]
    table = splits["train"]
    x, family, mean, _ = draw_families(30, 20, seed=9)
    batch = table.sets(["set"], items=None, batch=8, seed=1).draw(0)
    assert batch.x.shape == (8, 20, 1) and batch.mask is None
    for items, which in zip(batch.x, batch.factors["set"][:, 0].tolist(), strict=True):
        assert torch.equal(items.sort(0).values, x[which].sort(0).values)
    assert table.column("family")[::20] == [FAMILIES[code] for code in family]
    assert torch.equal(table.factors["mean"][::20], mean)
    again = OneDimensionalFamilies(sets=30, items=20, validation=4, test=6, seed=3).load_splits()
    assert torch.equal(again["test"].items, splits["test"].items)
    assert not torch.equal(splits["validation"].items, splits["train"].items[:80])


def test_no_sets_is_refused():
    with pytest.raises(ConfigurationError, match="items should be at least 1, got 0"):
        OneDimensionalFamilies(items=0)
