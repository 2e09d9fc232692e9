"""How often training sees what is known of a factor."""

import math

import pytest
import torch

from coset.data import FactorTable
from coset.data.labels import hide_labels
from coset.data.sampler import Supervision
from coset.errors import ConfigurationError, CosetError, DataError

N, KNOWN = 200, 12


@pytest.fixture
def table():
    """Items that are their own row number; the digit of twelve is known, and the side and the angle of all."""
    rows = torch.arange(N)
    full = FactorTable(rows.double().unsqueeze(1), digit=rows % 4, side=rows % 2, angle=rows * 0.5)
    return hide_labels(full, "digit", KNOWN)


def sampler(table, rate, factors=("digit",), mixed=False, **options):
    options = {"items": 1, "batch": 10, "batches": 40, "seed": 3} | options
    return table.sets((), supervision=Supervision(factors, rate, mixed), **options)


def rows_of(batch):
    return batch.x[:, 0, 0].long()


def labelled(batch, factor="digit"):
    codes = batch.factors[factor][:, 0]
    return ~codes.isnan() if codes.is_floating_point() else codes >= 0


def same(left, right):
    return torch.equal(left.x, right.x) and all(
        torch.equal(left.factors[name].nan_to_num(-1), right.factors[name].nan_to_num(-1)) for name in left.factors
    )


# --- how many -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.07, 0.1, 0.25, 0.29, 0.5, 0.57, 0.58, 0.99, 1.0])
def test_batches_are_supervised_at_exactly_the_rate(rate, table):
    shares = [float(labelled(batch).float().mean()) for batch in sampler(table, rate, batches=100)]
    assert set(shares) <= {0.0, 1.0}
    assert sum(shares) == round(rate * 100)


@pytest.mark.parametrize("rate", [0.1, 0.25, 1 / 3, 0.8])
def test_supervised_batches_are_spread_evenly(rate, table):
    supervised = [bool(labelled(batch).all()) for batch in sampler(table, rate, batches=60)]
    for index in range(1, 61):
        assert abs(sum(supervised[:index]) - rate * index) < 1 + 1e-9


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0.2, 2), (0.5, 5), (1.0, 10)])
def test_mixed_batches_all_have_the_share(rate, count, table):
    assert {int(labelled(batch).sum()) for batch in sampler(table, rate, mixed=True)} == {count}


@pytest.mark.parametrize("rate", [0.05, 0.02, 0.15, 0.33])
def test_mixed_batches_have_a_share_that_is_no_whole_number_on_average(rate, table):
    counts = [int(labelled(batch).sum()) for batch in sampler(table, rate, mixed=True, batches=100)]
    assert sum(counts) == pytest.approx(rate * 1000, abs=1)
    assert max(counts) - min(counts) <= 1


# --- which --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
def test_labelled_items_are_shown_equally_often(mixed, table):
    draws = sampler(table, 0.3, mixed=mixed)
    for epoch in range(2):
        draws.epoch = epoch
        shown = torch.cat([rows_of(batch)[labelled(batch)] for batch in draws])
        assert len(shown) == 120
        count = shown.bincount(minlength=N)
        assert set(count.nonzero()[:, 0].tolist()) == set((table.factors["digit"] >= 0).nonzero()[:, 0].tolist())
        assert int(count[count > 0].max() - count[count > 0].min()) <= 1
        first = shown[:KNOWN]  # in turn: none twice before all were shown
        assert len(first.unique()) == KNOWN


def test_orders_differ_between_epochs_and_seeds(table):
    def order(seed, epoch):
        draws = sampler(table, 1.0, seed=seed)
        draws.epoch = epoch
        return torch.cat([rows_of(batch) for batch in draws]).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)


@pytest.mark.parametrize("mixed", [False, True])
def test_labels_are_right_where_shown_and_other_factors_always(mixed, table):
    for batch in sampler(table, 0.3, mixed=mixed):
        rows, shown = rows_of(batch), labelled(batch)
        assert torch.equal(batch.factors["digit"][:, 0], torch.where(shown, table.factors["digit"][rows], -1))
        assert torch.equal(batch.factors["side"][:, 0], table.factors["side"][rows])
        assert torch.equal(batch.factors["angle"][:, 0], table.factors["angle"][rows])
        assert shown[: int(shown.sum())].all()  # the first of the batch


def test_unsupervised_items_are_drawn_from_all_and_hidden(table):
    """Also labelled items come without their label, and every item comes equally often."""
    batches = list(sampler(table, 0.0, batches=N // 10))
    assert torch.cat([rows_of(batch) for batch in batches]).bincount(minlength=N).tolist() == [1] * N
    assert not any(labelled(batch).any() for batch in batches)
    plain = list(table.sets((), items=1, batch=10, batches=N // 10, seed=3))
    assert all(torch.equal(batch.x, other.x) for batch, other in zip(batches, plain, strict=True))
    assert sum(int(labelled(batch).sum()) for batch in plain) == KNOWN


def test_rate_one_shows_nothing_but_labels(table):
    batches = list(sampler(table, 1.0))
    assert all(labelled(batch).all() for batch in batches)
    assert len(torch.cat([rows_of(batch) for batch in batches]).unique()) == KNOWN


def test_rate_nought_needs_no_label(table):
    hidden = hide_labels(table, "digit", 0, balanced=False)
    assert not any(labelled(batch).any() for batch in sampler(hidden, 0.0))
    assert not any(labelled(batch).any() for batch in sampler(hidden, 0.0, mixed=True))


def test_an_item_is_labelled_if_one_of_the_factors_is_known(table):
    """Angles, numbers, are known of the last twenty rows; the side stays known throughout."""
    angle = torch.where(torch.arange(N) >= 180, torch.arange(N) * 0.5, math.nan)
    both = FactorTable(table.items, digit=table.column("digit"), side=table.column("side"), angle=angle)
    known = (both.factors["digit"] >= 0) | ~both.factors["angle"].isnan()
    seen = torch.zeros(N, dtype=torch.bool)
    for batch in sampler(both, 0.5, factors=["digit", "angle"], batches=100):
        rows, shown = rows_of(batch), labelled(batch) | labelled(batch, "angle")
        assert shown.all() or not shown.any()
        assert labelled(batch, "side").all()
        if shown.all():
            seen[rows] = True
            assert torch.equal(batch.factors["digit"][:, 0], both.factors["digit"][rows])
            assert torch.equal(labelled(batch, "angle"), ~both.factors["angle"][rows].isnan())
    assert torch.equal(seen, known)


def test_the_table_is_left_as_it_was(table):
    before = {name: codes.clone() for name, codes in table.factors.items()}
    items = table.items.clone()
    for mixed in (False, True):
        for _ in sampler(table, 0.5, mixed=mixed):
            pass
    assert torch.equal(table.items, items)
    assert all(torch.equal(codes, before[name]) for name, codes in table.factors.items())


# --- repeating, resuming, sharing ---------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
def test_any_batch_can_be_drawn_again_in_any_order(mixed, table):
    whole = list(sampler(table, 0.3, mixed=mixed))
    other = sampler(table, 0.3, mixed=mixed)
    for index in (17, 3, 39, 0, 17):
        assert same(other.draw(index), whole[index])
    other.epoch = 1
    assert not same(other.draw(3), whole[3])
    other.epoch = 0
    assert same(other.draw(3), whole[3])


@pytest.mark.parametrize("mixed", [False, True])
def test_processes_share_the_batches_of_an_epoch(mixed, table):
    whole, parts = list(sampler(table, 0.3, mixed=mixed)), []
    for rank in range(3):
        part = sampler(table, 0.3, mixed=mixed)
        part.rank, part.world_size = rank, 3
        parts.append(list(part))
    for index, batch in enumerate(whole):
        assert same(parts[index % 3][index // 3], batch)


def test_options_may_be_given_as_a_mapping(table):
    options = {"factors": ["digit"], "rate": 0.3, "mixed": True}
    given = table.sets((), items=1, batch=10, batches=40, seed=3, supervision=options)
    assert given.supervision == Supervision(["digit"], 0.3, True)
    assert same(given.draw(7), sampler(table, 0.3, mixed=True).draw(7))


def test_intensities_are_binarised_as_without(table):
    grey = FactorTable(torch.rand(N, 6), digit=table.column("digit"))
    batch = sampler(grey, 0.3, mixed=True, binarize=True).draw(0)
    assert batch.x.unique().tolist() == [0.0, 1.0] and int(labelled(batch).sum()) == 3


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ConfigurationError, match=r"supervision: rate should be between 0 and 1, got"):
        Supervision(["digit"], rate)


@pytest.mark.parametrize("factors", ["digit", [], ()])
def test_factors_that_are_no_list_are_refused(factors):
    with pytest.raises(ConfigurationError, match="supervision: factors should be a list of names, got"):
        Supervision(factors, 0.5)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_an_unknown_factor_names_the_nearest(rate, table):
    with pytest.raises(DataError, match=r"supervision: no factor is called 'digits'.*did you mean 'digit'"):
        sampler(table, rate, factors=["digits"])


def test_labels_that_nobody_knows_are_refused(table):
    with pytest.raises(DataError, match=r"no item has a known value of digit; set rate to 0"):
        sampler(hide_labels(table, "digit", 0, balanced=False), 0.5)


@pytest.mark.parametrize(
    ("contexts", "items"), [(("side",), 1), (("side",), 5), ((), 5), ((), [1, 4]), ((), None), (("side",), None)]
)
def test_it_is_for_single_items_without_contexts(contexts, items, table):
    with pytest.raises(ConfigurationError, match=r"single items, with contexts=\(\) and items=1, or .*got \['digit'\]"):
        table.sets(contexts, items=items, supervision=Supervision(["digit"], 0.5))


@pytest.mark.parametrize(("rate", "mixed"), [(0.25, True), (0.25, False), (0.0, True), (1.0, False)])
def test_some_sets_come_with_what_they_hold_constant(rate, mixed, table):
    contexts = ("side", "angle")
    options = {"items": 3, "batch": 8, "batches": 12, "seed": 3, "incomplete": "skip"}
    table = FactorTable(table.x(), side=table.factors["side"], angle=torch.arange(N) // 2 % 5)
    whole = table.sets(contexts, **options)
    told = table.sets(contexts, **options, supervision=Supervision(contexts, rate, mixed))
    count = []
    for index in range(12):
        batch, expected = told.draw(index), whole.draw(index)
        assert torch.equal(batch.x, expected.x)
        known = torch.zeros(8) if batch.constant is None else (~batch.constant.isnan()).all(1).double()
        count.append(int(known.sum()))
        if batch.constant is not None:
            assert torch.equal(batch.constant[known > 0], expected.constant[known > 0])
            assert batch.constant[known == 0].isnan().all()
    assert sum(count) == rate * 96 and (len(set(count)) == 1 or not mixed) and (mixed or set(count) <= {0, 8})


def test_a_misspelt_option_is_refused(table):
    with pytest.raises(CosetError, match="ratio"):
        table.sets((), items=1, supervision={"factors": ["digit"], "ratio": 0.5})


def test_a_class_without_any_label_is_refused(table):
    codes = table.factors["digit"]
    lacking = FactorTable(table.x(), digit=[None if code in (-1, 2) else code for code in codes.tolist()])
    lacking = lacking.recode(digit=range(4))  # the value exists, but no item is known to have it
    with pytest.raises(DataError, match="no item is known to have digit=2"):
        sampler(lacking, 0.5)
    assert len(sampler(lacking, 0.0)) == 40  # nothing is to be shown
