"""What goes wrong with a table is said before anything is trained, and nothing is said of what is well."""

from contextlib import nullcontext

import pytest
import torch

from coset.data import FactorTable
from coset.data.inspection import inspect_table
from coset.errors import DataError

COUNT = 240
CROSSED = {"person": torch.arange(COUNT) % 6, "light": torch.arange(COUNT) // 6 % 4}


def table(items=None, **factors):
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(COUNT, 5, generator=generator) if items is None else items
    with pytest.warns() if _suspect(factors) else nullcontext():
        return FactorTable(items, **(CROSSED | factors))


def _suspect(factors):
    return any(-1 in values or "NA" in values for values in factors.values() if isinstance(values, list))


def rare(common, odd, count):
    return [odd] * count + [common[index // 24 % len(common)] for index in range(COUNT - count)]


def skewed(scale=2.0):
    return (scale * torch.randn(COUNT, 5, generator=torch.Generator().manual_seed(1))).exp()


def stretched(factor):
    return torch.randn(COUNT, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 1, 1, 1, factor])


FAULTS = {
    "one level": lambda: table(site=["north"] * COUNT),
    "identifier": lambda: table(sample=list(range(COUNT))),
    "minus one": lambda: table(batch=rare([0, 1, 2], -1, 20)),
    "word for unknown": lambda: table(batch=rare(["a", "b"], "NA", 20)),
    "mostly unknown": lambda: table(batch=[None] * 150 + [index // 24 % 2 for index in range(90)]),
    "continuous with few values": lambda: table(dose=(torch.arange(COUNT) % 3 + 0.5).tolist()),
    "few items": lambda: table(batch=rare([0, 1, 2], 9, 3)),
    "the same": lambda: table(name=[f"person {index % 6}" for index in range(COUNT)]),
    "nested": lambda: table(family=[index % 6 // 2 for index in range(COUNT)]),
    "never meet": lambda: table(
        camera=[2 * (index % 6 >= 3) + index // 24 % 2 for index in range(COUNT)],
    ),
    "one combination": lambda: table(light=torch.where(CROSSED["person"] == 2, 3, CROSSED["light"])),
    "repeated items": lambda: table(torch.randn(60, 5).repeat(4, 1)),
    "constant": lambda: table(stretched(0.0)),
    "scales": lambda: table(stretched(1e5)),
    "wants a logarithm": lambda: table(skewed()),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_and_no_other(kind):
    found = inspect_table(FAULTS[kind]())
    assert [each["kind"] for each in found.findings] == [kind]
    assert "! " in found.table()


CLEAN = {
    "numbers": table,
    "pictures": lambda: table(torch.randint(0, 256, (COUNT, 8, 8), dtype=torch.uint8)),
    "with gaps": lambda: table(
        batch=[None if index % 7 == 0 else index // 24 % 3 for index in range(COUNT)], age=torch.rand(COUNT)
    ),
    "counts": lambda: table(torch.poisson(torch.full((COUNT, 5), 4.0))),
    "with holes": lambda: table()[(CROSSED["person"] + CROSSED["light"]) % 4 > 0],
}


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_said_of_what_is_well(name):
    found = inspect_table(CLEAN[name]())
    assert found.findings == []
    assert "nothing stands out" in found.table()


def test_the_grid_is_counted_and_written():
    found = inspect_table(table()[CROSSED["person"] + CROSSED["light"] > 0], ["light", "person"])
    assert found.pair == ["light", "person"]
    assert found.counts[0] == [0, 10, 10, 10, 10, 10]
    assert "light × person: 23 of 24 combinations are seen, with 10 to 10 items each" in found.table()
    assert found.as_dict()["factors"]["person"] == {"levels": 6, "unknown": 0}


def test_contexts_have_to_be_discrete_factors():
    with pytest.raises(DataError, match=r"no discrete factor 'persons'.*person"):
        inspect_table(table(), ["persons"])


def test_factors_of_which_nothing_is_known_and_single_items():
    unknown = torch.arange(COUNT) < COUNT // 2
    codes = [[index % 2 if here == side else None for index, here in enumerate(unknown)] for side in (True, False)]
    found = inspect_table(FactorTable(torch.randn(COUNT, 5), one=codes[0], other=codes[1]))
    assert "0 of 4 combinations are seen" in found.table()
    assert inspect_table(FactorTable(torch.rand(1, 3), batch=[0])).items == 1
