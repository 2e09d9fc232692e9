import math
import pickle
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from coset.data import FactorTable, SetBatch, SetCollection, as_table_or_sets, read_patterns
from coset.errors import ConfigurationError, DataError, ShapeError


def numbered(n=120, digits=3, angles=4):
    """Items that are their own row number, with every digit at every angle."""
    rows = torch.arange(n)
    return FactorTable(rows.float(), digit=rows % digits, rotation=rows // digits % angles * 90)


def factors_of(table, batch, name):
    """A factor looked up again from the items of a batch, independent of what the batch says."""
    return table.factors[name][batch.x.long()]


def same(left, right):
    return torch.equal(left.x, right.x) and all(torch.equal(left.factors[k], right.factors[k]) for k in left.factors)


# --- batches ------------------------------------------------------------------------------------------------


def test_batch_moves_and_casts_floating_point_only():
    batch = SetBatch(torch.rand(2, 3), torch.ones(2, 1), torch.ones(2, 3), {"digit": torch.ones(2, 3).long()})
    cast = batch.to("cpu", torch.float64)
    assert {cast.x.dtype, cast.constant.dtype, cast.mask.dtype} == {torch.float64}
    assert cast.factors["digit"].dtype == torch.int64
    assert cast.shape == (2, 3) and len(cast) == 2


@pytest.mark.parametrize(
    ("error", "message", "fields"),
    [
        (ShapeError, "at least one set of one item", {"x": torch.rand(5)}),
        (ShapeError, "at least one set of one item", {"x": torch.rand(5, 0, 3)}),
        (DataError, "floating point", {"x": torch.ones(2, 3).long()}),
        (ShapeError, "constant", {"constant": torch.ones(3, 1)}),
        (ShapeError, "constant", {"constant": torch.ones(2)}),
        (ShapeError, "mask", {"mask": torch.ones(2, 4)}),
        (ShapeError, "digit", {"factors": {"digit": torch.ones(2)}}),
        (DataError, r"constant should hold only 0 and 1, got 0\.5", {"constant": torch.full((2, 1), 0.5)}),
        (DataError, "constant should hold only 0 and 1, got nan", {"constant": torch.tensor([[1.0, torch.nan]] * 2)}),
        (DataError, "mask should hold only 0 and 1, got 2", {"mask": torch.full((2, 3), 2.0)}),
        (DataError, "set 1 has no item", {"mask": torch.tensor([[1.0, 0, 0], [0, 0, 0]])}),
    ],
)
def test_batch_refuses(error, message, fields):
    with pytest.raises(error, match=message):
        SetBatch(**{"x": torch.rand(2, 3), **fields})


# --- tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "codes", "values"),
    [
        ([5, 3, None, 5], [1, 0, -1, 1], [3, 5]),
        ([5, 3, math.nan, 5], [1, 0, -1, 1], [3, 5]),
        (["b", "a", None, "b"], [1, 0, -1, 1], ["a", "b"]),
        (np.array(["b", "a", "c", "b"]), [1, 0, 2, 1], ["a", "b", "c"]),
        (np.array([7, 7, 9, 8], dtype=np.uint8), [0, 0, 2, 1], [7, 8, 9]),
        ([True, False, None, True], [1, 0, -1, 1], [False, True]),
        (torch.tensor([2, 0, 2, 0]), [1, 0, 1, 0], [0, 2]),
        ([None, None, None, None], [-1, -1, -1, -1], []),
    ],
)
def test_discrete_factor_reads_back(given, codes, values):
    table = FactorTable(torch.zeros(4, 1), factor=given)
    assert table.factors["factor"].tolist() == codes
    assert table.values["factor"] == values
    assert table.column("factor") == [None if code < 0 else values[code] for code in codes]


@pytest.mark.parametrize(
    "given",
    [
        [0.5, None, 2],
        [0.5, np.float32("nan"), 2],
        np.array([0.5, math.nan, 2]),
        torch.tensor([0.5, math.nan, 2]),
    ],
)
def test_continuous_factor_reads_back(given):
    table = FactorTable(torch.zeros(3, 1), factor=given)
    assert table.column("factor") == [0.5, None, 2.0]
    assert "factor" not in table.values
    assert len(table.where(factor=0.5)) == 1


@pytest.mark.parametrize(
    ("message", "items", "factors"),
    [
        ("4 items, but 'digit' has 3 values", torch.zeros(4, 2), {"digit": [1, 2, 3]}),
        ("'pose' should have one value per item", torch.zeros(4, 2), {"pose": np.zeros((4, 2))}),
        ("all whole numbers.*got integer, string", torch.zeros(2, 1), {"digit": [1, "two"]}),
        ("got set", torch.zeros(2, 1), {"digit": [{1}, {2}]}),
        ("datetime64", torch.zeros(2, 1), {"day": np.array(["2020-01-01", "2020-01-02"], "M8[D]")}),
        ("cannot be called 'a[+]b'", torch.zeros(2, 1), {"a+b": [1, 2]}),
        ("item 2 holds NaN", torch.tensor([[0.0], [1.0], [math.nan], [2.0]]), {}),
        ("item 1 holds NaN or infinity", np.array([[0.0], [math.inf]]), {}),
        ("n of at least 1", np.zeros((0, 3)), {}),
        ("n of at least 1", np.zeros((3, 0)), {}),
        ("n of at least 1", 3.0, {}),
        ("SetCollection", [[1.0], [1.0, 2.0]], {}),
        ("array of numbers", np.array(["a", "b"]), {}),
        ("complex", torch.zeros(2, 1, dtype=torch.complex64), {}),
        ("uint16", np.zeros((2, 1), np.uint16), {}),
    ],
)
def test_table_refuses(message, items, factors):
    with pytest.raises(DataError, match=message):
        FactorTable(items, **factors)


def test_items_come_back_as_floats():
    intensities = FactorTable(np.array([[0, 51, 255]], np.uint8))
    assert torch.equal(intensities.x(), torch.tensor([[0.0, 0.2, 1.0]]))
    assert intensities.items.dtype == torch.uint8
    assert FactorTable(torch.rand(2, 3).double()).x().dtype == torch.float64
    assert FactorTable(np.ones((2, 3), ">f4")).x().dtype == torch.float32
    assert FactorTable(torch.tensor([[True]])).x().item() == 1.0
    assert FactorTable(np.array([[300]])).x().item() == 300.0


def test_read_only_and_reversed_arrays_are_taken():
    array = np.arange(6.0).reshape(3, 2)[::-1]
    array.flags.writeable = False
    assert FactorTable(array).x()[0].tolist() == [4.0, 5.0]


def test_rows_are_chosen_by_index_mask_slice():
    table = numbered(12)
    for rows in (
        [1, 3],
        torch.tensor([1, 3]),
        np.array([1, 3]),
        slice(1, 4, 2),
        table.x() % 2 * (table.x() < 4) == 1,
    ):
        subset = table[rows]
        assert subset.x().tolist() == [1.0, 3.0]
        assert subset.column("digit") == [1, 0]
    assert table[5].x().tolist() == [5.0]
    with pytest.raises(DataError, match="no row was chosen"):
        table[[]]
    with pytest.raises(DataError, match="mask over 12 items"):
        table[torch.ones(3, dtype=torch.bool)]


def test_where_finds_exactly_the_rows():
    table = numbered(24)
    rows = torch.arange(24)
    wanted = rows[(rows % 3 == 2) & (rows // 3 % 4 == 1)]
    assert torch.equal(table.where(digit=2, rotation=90).x().long(), wanted)


def test_where_says_what_is_missing():
    table = FactorTable(torch.zeros(3, 1), digit=[1, 2, 2], rotation=[0, 0, 90])
    with pytest.raises(DataError, match=r"'rotaton'.*did you mean 'rotation'"):
        table.where(rotaton=0)
    with pytest.raises(DataError, match=r"'digit' is never 7; there are: '1', '2'"):
        table.where(digit=7)
    with pytest.raises(DataError, match="no item has digit=1, rotation=90"):
        table.where(digit=1, rotation=90)


def test_range_is_on_the_scale_of_x():
    assert FactorTable(np.array([[0], [51]], np.uint8)).range() == (0.0, 0.2)
    assert FactorTable(np.array([[-3], [51]])).range() == (-3.0, 51.0)


def test_split_partitions_and_repeats():
    table = numbered(50)
    kept, held_out = table.split(0.2, seed=3)
    assert len(held_out) == 10
    assert sorted(kept.x().tolist() + held_out.x().tolist()) == table.x().tolist()
    assert torch.equal(table.split(0.2, seed=3)[1].x(), held_out.x())
    assert not torch.equal(table.split(0.2, seed=4)[1].x(), held_out.x())
    assert len(table.split(7)[1]) == 7
    for held_out in (0, 0.0, 50, 0.001, -3):
        with pytest.raises(DataError, match="leaves one part empty"):
            table.split(held_out)


def test_stratified_split_takes_equal_shares():
    digit = torch.tensor([0] * 40 + [1] * 20 + [2] * 10)[torch.randperm(70)]
    _, held_out = FactorTable(torch.arange(70.0), digit=digit).split(0.1, stratify="digit")
    assert [held_out.column("digit").count(value) for value in (0, 1, 2)] == [4, 2, 1]


# --- memory maps --------------------------------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    array = np.memmap(tmp_path / "items.bin", dtype=np.float32, mode="w+", shape=(30, 2))
    array[:] = np.arange(60).reshape(30, 2)
    array.flush()
    return np.memmap(tmp_path / "items.bin", dtype=np.float32, mode="r", shape=(30, 2))


def test_memory_map_behaves_like_an_array(mapped):
    digit = np.arange(30) % 3
    lazy, eager = FactorTable(mapped, digit=digit), FactorTable(np.array(mapped), digit=digit)
    assert lazy.item_shape == eager.item_shape and lazy.range() == eager.range()
    assert same(lazy.sets(items=4, batch=5).draw(2), eager.sets(items=4, batch=5).draw(2))
    for part, expected in zip(lazy.split(0.3), eager.split(0.3), strict=True):
        assert torch.equal(part.x(), expected.x())
        assert part.items.storage is mapped  # chosen, not read
        assert torch.equal(part.where(digit=1).x(), expected.where(digit=1).x())


def test_memory_map_is_pickled_by_its_place(mapped):
    table = FactorTable(mapped).split(0.3)[0]
    again = pickle.loads(pickle.dumps(table))
    assert torch.equal(again.x(), table.x())
    assert isinstance(again.items.storage, np.memmap)
    view = FactorTable(mapped[3:])
    assert torch.equal(pickle.loads(pickle.dumps(view)).x(), view.x())


def test_range_reads_maps_in_blocks_and_names_the_row(tmp_path, monkeypatch):
    monkeypatch.setattr("coset.data.table.BLOCK", 8)
    array = np.memmap(tmp_path / "items.bin", dtype=np.float32, mode="w+", shape=(30, 2))
    array[17, 1] = 5
    table = FactorTable(array)
    assert table.range() == (0.0, 5.0)
    array[21, 0] = math.nan
    with pytest.raises(DataError, match="item 21 holds NaN"):
        table.range()


# --- drawing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patterns", ["exactly-one", "any", 2, {"digit": 2, "digit+rotation": 1, "": 1}])
def test_constant_factors_are_constant(patterns):
    table = numbered()
    for batch in table.sets(["digit", "rotation"], patterns, items=6, batch=40, batches=3):
        assert batch.x.shape == (40, 6) and batch.constant.shape == (40, 2) and batch.mask is None
        for position, name in enumerate(["digit", "rotation"]):
            factor = factors_of(table, batch, name)
            assert torch.equal(factor, batch.factors[name])
            spread = factor.amax(1) - factor.amin(1)
            assert not spread[batch.constant[:, position] == 1].any()
        nothing = batch.factors["digit"][batch.constant.sum(1) == 0]
        assert not len(nothing) or (nothing.amax(1) > nothing.amin(1)).any()


def test_patterns_come_in_the_proportions_asked_for():
    sampler = numbered().sets(patterns={"digit": 5, "rotation": 1, "rotation+digit": 1, "": 1}, items=2, batch=8000)
    constant = sampler.draw(0).constant
    shares = {
        flags: (constant == torch.tensor(flags)).all(1).double().mean().item()
        for flags in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)]
    }
    assert list(shares.values()) == pytest.approx([5 / 8, 1 / 8, 1 / 8, 1 / 8], abs=0.02)


def test_groups_then_items_are_drawn_uniformly():
    table = FactorTable(torch.arange(20.0), digit=[0] * 15 + [1] * 5)
    batch = table.sets(items=4, batch=5000).draw(0)
    assert batch.factors["digit"][:, 0].double().mean() == pytest.approx(0.5, abs=0.03)
    counts = batch.x.flatten().long().bincount(minlength=20).double() / batch.x.numel()
    expected = torch.tensor([0.5 / 15] * 15 + [0.5 / 5] * 5, dtype=torch.float64)
    torch.testing.assert_close(counts, expected, atol=0.005, rtol=0)


def test_items_of_unknown_constant_are_left_out_only_there():
    table = FactorTable(torch.arange(6.0), digit=[0, 0, None, 1, 1, None])
    batch = table.sets(patterns="any", items=8, batch=200).draw(0)
    held, free = (
        batch.factors["digit"][batch.constant[:, 0] == 1],
        batch.factors["digit"][batch.constant[:, 0] == 0],
    )
    assert (held >= 0).all() and (free == -1).any()


def test_continuous_factor_can_be_held_constant():
    table = FactorTable(torch.arange(6.0), angle=[0.5, math.nan, 0.5, 1.5, 1.5, math.nan])
    angle = table.sets(items=3, batch=50).draw(0).factors["angle"]
    assert torch.equal(angle, angle[:, :1].expand(50, 3)) and set(angle.flatten().tolist()) == {0.5, 1.5}


def test_table_without_contexts_gives_items():
    for sampler in (
        FactorTable(torch.rand(7, 2)).sets(items=1, batch=3),
        numbered().sets((), items=1, batch=3),
    ):
        batch = sampler.draw(0)
        assert batch.constant is None and batch.shape == (3, 1)


def test_one_context_may_be_named_without_a_list():
    assert numbered().sets("digit").contexts == ("digit",)


def test_lengths_from_a_range_are_masked():
    table = FactorTable(torch.arange(1.0, 61.0), digit=torch.arange(60) % 3, angle=torch.rand(60))
    batch = table.sets(["digit"], items=(2, 6), batch=400).draw(0)
    assert batch.shape == (400, 6)
    assert set(batch.mask.sum(1).tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0}
    assert torch.equal(batch.mask, batch.mask.sort(1, descending=True).values)  # padding comes last
    assert torch.equal(batch.x > 0, batch.mask == 1)
    assert torch.equal(batch.factors["digit"] >= 0, batch.mask == 1)
    assert torch.equal(~batch.factors["angle"].isnan(), batch.mask == 1)


def test_batches_are_a_function_of_seed_epoch_and_index():
    sampler = numbered().sets(items=3, batch=4, batches=6, seed=1)
    batches = list(sampler)
    assert all(same(first, again) for first, again in zip(batches, sampler, strict=True))
    assert same(sampler.draw(4), batches[4])  # resumed in the middle
    assert not same(batches[0], batches[1])
    assert not same(numbered().sets(items=3, batch=4, seed=2).draw(0), batches[0])
    sampler.epoch = 1
    assert not same(sampler.draw(0), batches[0])
    torch.manual_seed(123)
    sampler.epoch = 0
    assert same(sampler.draw(0), batches[0])


def test_length_of_an_epoch():
    assert len(numbered(120).sets(items=10, batch=4)) == 3
    assert len(numbered(120).sets(items=7, batch=4)) == 5
    assert len(numbered(120).sets(items=10, batch=400)) == 1
    assert len(numbered(120).sets(batches=17)) == 17
    assert len(list(numbered(120).sets(batches=17))) == 17


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_global_batches(world_size):
    alone = numbered().sets(items=3, batch=4, batches=6)
    shared = {}
    for rank in range(world_size):
        sampler = numbered().sets(items=3, batch=4, batches=6)
        sampler.rank, sampler.world_size = rank, world_size
        assert len(sampler) == 6 // world_size
        shared.update({step * world_size + rank: batch for step, batch in enumerate(sampler)})
    assert all(same(shared[index], batch) for index, batch in enumerate(alone))


def test_workers_change_nothing_even_across_epochs():
    sampler = numbered().sets(items=3, batch=4, batches=5)
    loader = DataLoader(sampler, batch_size=None, num_workers=2, persistent_workers=True)
    for epoch in (0, 1):
        sampler.epoch = epoch
        batches = list(loader)
        assert len(batches) == len(loader) == 5
        assert all(same(batch, sampler.draw(index)) for index, batch in enumerate(batches))


def test_sampler_survives_pickling():
    sampler = numbered().sets(items=3, batch=4)
    sampler.epoch = 2
    assert same(pickle.loads(pickle.dumps(sampler)).draw(1), sampler.draw(1))


def test_drawing_is_fast():
    table = FactorTable(
        np.zeros((2000, 28, 28), np.uint8), digit=np.arange(2000) % 10, rotation=np.arange(2000) // 10 % 4
    )
    sampler = table.sets(items=10, batch=32)
    torch.set_num_threads(1)  # and time of this process alone: neither waits for a busy machine
    sampler.draw(0)
    times = []
    for index in range(30):
        start = time.process_time()
        sampler.draw(index)
        times.append(time.process_time() - start)
    assert min(times) < 5e-3  # about a tenth of that on an idle machine; a Python loop over items takes longer


# --- what cannot be drawn -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (DataError, "did you mean 'rotation'", {"contexts": ["rotaton"]}),
        (ConfigurationError, "named once", {"contexts": ["digit", "digit"]}),
        (ConfigurationError, "3 contexts cannot be constant", {"patterns": 3}),
        (ConfigurationError, "-1 contexts", {"patterns": -1}),
        (ConfigurationError, "patterns: expected one of", {"patterns": "all"}),
        (ConfigurationError, "no pattern a proportion", {"patterns": {}}),
        (ConfigurationError, "no pattern a proportion", {"patterns": {"digit": 0}}),
        (ConfigurationError, "did you mean 'digit'", {"patterns": {"digits": 1}}),
        (ConfigurationError, "proportion of 'digit'", {"patterns": {"digit": -1}}),
        (ConfigurationError, "proportion of 'digit'", {"patterns": {"digit": math.nan}}),
        (ConfigurationError, "proportion of 'digit'", {"patterns": {"digit": "much"}}),
        (ConfigurationError, "items should be", {"items": 0}),
        (ConfigurationError, "items should be", {"items": (0, 3)}),
        (ConfigurationError, "items should be", {"items": (4, 3)}),
        (ConfigurationError, "items should be", {"items": (1, 2, 3)}),
        (ConfigurationError, "items: expected a whole number or", {"items": 2.5}),
        (ConfigurationError, "batch should be at least 1", {"batch": 0}),
        (ConfigurationError, "batches should be at least 1", {"batches": 0}),
        (ConfigurationError, "incomplete", {"incomplete": "ignore"}),
    ],
)
def test_sets_refuses_options(error, message, options):
    with pytest.raises(error, match=message):
        numbered().sets(**options)


def test_scarce_group_is_named_or_left_out():
    table = FactorTable(torch.arange(5.0), digit=[3, 3, 7, 9, 9])
    with pytest.raises(DataError, match=r"at least 2 items.*digit=7 has 1"):
        table.sets()
    drawn = table.sets(incomplete="skip", items=3, batch=100).draw(0)
    assert set(drawn.x.flatten().tolist()) == {0.0, 1.0, 3.0, 4.0}
    assert len(table.sets(items=1, batch=4).draw(0)) == 4  # of a set of one nothing can vary


def test_continuous_factor_suggests_binning():
    table = FactorTable(torch.arange(5.0), angle=torch.rand(5))
    for incomplete in ("error", "skip"):
        with pytest.raises(DataError, match=r"'angle' is continuous: bin it.*numpy\.digitize"):
            table.sets(incomplete=incomplete)


def test_missing_combination_is_named_or_left_out():
    rows = torch.arange(72)
    table = FactorTable(rows.float(), digit=rows % 3 + 1, rotation=rows // 3 % 4 * 90)
    lacking = table[~((rows % 3 + 1 == 3) & (rows // 3 % 4 == 1))]
    lacking.sets(patterns="exactly-one")
    with pytest.raises(DataError, match=r"no item has digit=3, rotation=90.*incomplete='skip'"):
        lacking.sets(patterns=2)
    batch = lacking.sets(patterns=2, incomplete="skip", items=2, batch=3000).draw(0)
    cells = {tuple(cell) for cell in zip(*(batch.factors[name][:, 0].tolist() for name in batch.factors), strict=True)}
    assert len(cells) == 11 and (2, 1) not in cells


@pytest.mark.parametrize("absent", [(0, 0), (1, 2), (2, 3)])
def test_first_missing_combination_is_found_anywhere(absent):
    rows = torch.arange(48)
    keep = ~((rows % 3 == absent[0]) & (rows // 3 % 4 == absent[1]))
    table = FactorTable(rows.float(), digit=rows % 3, place=rows // 3 % 4)[keep]
    with pytest.raises(DataError, match=f"no item has digit={absent[0]}, place={absent[1]}"):
        table.sets(patterns=2)


def test_factor_that_is_never_known_is_refused():
    with pytest.raises(DataError, match="no item has a known 'digit'"):
        FactorTable(torch.zeros(3, 1), digit=[None, None, None]).sets()


def test_many_contexts_do_not_overflow():
    rows = torch.arange(2000)
    table = FactorTable(rows.float(), **{f"f{i}": rows // 2 for i in range(10)})  # 1000^10 cells
    batch = table.sets(patterns=10, items=4, incomplete="skip").draw(0)
    assert ((batch.x // 2) == (batch.x[:, :1] // 2)).all()


def test_read_patterns_sums_to_one():
    contexts = ["a", "b", "c"]
    any_subset = read_patterns("any", contexts)
    assert len(any_subset) == 8 and sum(any_subset.values()) == pytest.approx(1)
    assert set(read_patterns(2, contexts)) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert read_patterns({"c + a": 1, "a+c": 2}, contexts) == {("a", "c"): 1.0}


# --- collections --------------------------------------------------------------------------------------------


def ragged():
    """Four sets of differing length, whose items say which set they are of."""
    return [
        torch.full((length, 2), 10.0 * (index + 1)) + torch.arange(length)[:, None]
        for index, length in enumerate((2, 5, 1, 3))
    ]


def test_whole_sets_come_back_padded():
    sets = ragged()
    constant = [[1, 0], [0, 1], [1, 1], [0, 0]]
    sampler = SetCollection(sets, constant, ["digit", "rotation"]).sets(batch=3)
    seen = set()
    for index in range(20):
        batch = sampler.draw(index)
        assert batch.shape[1] == int(batch.mask.sum(1).max())
        for x, mask, flags in zip(batch.x, batch.mask, batch.constant, strict=True):
            which = int(x[0, 0] // 10) - 1
            seen.add(which)
            assert torch.equal(x[mask == 1], sets[which])
            assert not x[mask == 0].any()
            assert flags.tolist() == constant[which]
    assert seen == {0, 1, 2, 3}


def test_items_of_a_set_can_be_drawn():
    batch = SetCollection(ragged()).sets(items=6, batch=50).draw(0)
    assert batch.shape == (50, 6) and batch.mask is None
    assert (batch.x // 10 == batch.x[:, :1, :1] // 10).all()
    assert batch.constant.shape == (50, 1) and batch.constant.all()
    assert SetCollection(ragged()).sets(items=(1, 3), batch=50).draw(0).mask is not None


def test_collection_knows_its_sets():
    collection = SetCollection([np.array([[0], [255]], np.uint8), np.array([[51]], np.uint8)])
    assert len(collection) == 2 and collection.item_shape == (1,) and collection.range() == (0.0, 1.0)
    assert collection[1].tolist() == [[pytest.approx(0.2)]] and collection[-2].shape == (2, 1)
    assert [len(items) for items in collection] == [2, 1]
    assert collection.contexts == ("context",)
    assert SetCollection(ragged(), torch.ones(4, 2)).contexts == ("context_1", "context_2")
    assert len(collection.sets(batch=1)) == 2


@pytest.mark.parametrize(
    ("message", "sets", "options"),
    [
        ("expected a list of sets", [], {}),
        ("set 1 cannot be used.*n of at least 1", [np.zeros((2, 3)), np.zeros((0, 3))], {}),
        (r"set 1 has items of shape \[4\]", [np.zeros((2, 3)), np.zeros((2, 4))], {}),
        ("set 1 has items.*uint8", [np.zeros((2, 3)), np.zeros((2, 3), np.uint8)], {}),
        ("set 1 cannot be used.*item 0 holds NaN", [np.zeros((1, 1)), np.full((1, 1), np.nan)], {}),
        ("only 0 and 1, got 2", [np.zeros((2, 3))], {"constant": [[2]]}),
        (r"1 sets, but constant is \[2, 1\]", [np.zeros((2, 3))], {"constant": [[1], [1]]}),
        (r"constant is \[1\]", [np.zeros((2, 3))], {"constant": [1]}),
        ("1 columns, but the contexts", [np.zeros((2, 3))], {"constant": [[1]], "contexts": ["a", "b"]}),
        ("cannot be guessed", [np.zeros((2, 3))], {"contexts": ["a", "b"]}),
    ],
)
def test_collection_refuses(message, sets, options):
    with pytest.raises(DataError, match=message):
        SetCollection(sets, **options)


def test_collection_refuses_options():
    with pytest.raises(ConfigurationError, match="items should be"):
        SetCollection(ragged()).sets(items=0)


def test_data_is_taken_in_every_form():
    table, collection = numbered(), SetCollection(ragged())
    assert as_table_or_sets(table, ["digit"]) is table
    assert as_table_or_sets(collection) is collection
    assert as_table_or_sets(ragged(), ["person"]).contexts == ("person",)
    assert len(as_table_or_sets(np.zeros((4, 2)))) == 4
    with pytest.raises(DataError, match="did you mean 'digit'"):
        as_table_or_sets(table, ["digits"])
    with pytest.raises(DataError, match="'digit'; there are: 'context'"):
        as_table_or_sets(collection, ["digit"])


# --- independent items --------------------------------------------------------------------------------------


def test_an_epoch_of_single_items_goes_through_all_of_them():
    table = FactorTable(torch.arange(50.0).view(50, 1), digit=torch.arange(50) % 5)
    sampler = table.sets((), items=1, batch=8, seed=3)
    drawn = torch.cat([batch.x.flatten() for batch in sampler])
    assert len(sampler) == 7 and len(drawn) == 56
    assert sorted(drawn[:50].tolist()) == list(range(50)) and torch.equal(drawn[50:], drawn[:6])
    batch = sampler.draw(2)
    assert batch.constant is None and torch.equal(batch.factors["digit"], batch.x[..., 0].long() % 5)
    sampler.epoch = 1
    again = torch.cat([batch.x.flatten() for batch in sampler])
    assert sorted(again[:50].tolist()) == list(range(50)) and not torch.equal(again, drawn)
    sampler.epoch = 0
    assert torch.equal(torch.cat([batch.x.flatten() for batch in sampler]), drawn)


def test_binarised_items_are_drawn_afresh_with_their_intensity():
    table = FactorTable(torch.tensor([[0.0, 0.3, 1.0]]).repeat(4000, 1))
    sampler = table.sets((), items=1, batch=4000, binarize=True)
    first, second = sampler.draw(0).x, sampler.draw(1).x
    assert set(first.unique().tolist()) == {0.0, 1.0} and not torch.equal(first, second)
    torch.testing.assert_close(first.mean((0, 1)), torch.tensor([0.0, 0.3, 1.0]), atol=0.03, rtol=0)
    assert torch.equal(sampler.draw(0).x, first)
    with pytest.raises(DataError, match=r"binarize takes intensities in \[0, 1\].*got \[0, 2\]"):
        FactorTable(torch.tensor([[0.0], [2.0]])).sets((), items=1, binarize=True)


def test_whole_sets_of_a_table():
    table = FactorTable(torch.arange(9.0).view(9, 1), group=[0, 0, 0, 1, 1, 2, 2, 2, 2])
    batch = table.sets(["group"], items=None, batch=30, seed=1).draw(0)
    assert batch.mask is not None and batch.x.shape[1] == 4
    for x, mask, codes in zip(batch.x, batch.mask, batch.factors["group"], strict=True):
        present = x[mask > 0].flatten().tolist()
        assert sorted(present) == {0: [0, 1, 2], 1: [3, 4], 2: [5, 6, 7, 8]}[int(codes[0])]
