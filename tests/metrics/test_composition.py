import json

import pytest
import torch

from coset.data import FactorTable
from coset.data.rotation import rotate
from coset.datasets.black_white import read_background, without_background
from coset.errors import ConfigurationError, DataError
from coset.metrics import (
    agreement,
    agreement_of,
    composition_accuracy,
    conditional_accuracy,
)
from coset.models import ContextAwareLearner

DIGITS, ANGLES = [3, 5, 7], [0, 90, 180, 270]


def mark(digit, angle, brightness):
    """A digit is how far along the top row one pixel shines; turning the image moves it along another side."""
    x = torch.zeros(8, 8)
    x[0, 1 + digit] = brightness
    return rotate(x, angle)


def marks(copies=6):
    brightness = torch.linspace(0.5, 1.0, copies)
    cells = [(digit, angle, value) for digit in range(3) for angle in ANGLES for value in brightness]
    return FactorTable(
        torch.stack([mark(*cell) for cell in cells]),
        digit=[DIGITS[digit] for digit, _, _ in cells],
        rotation=[angle for _, angle, _ in cells],
    )


def read_upright(x):
    """Codes of digits in upright marks: 0, 1, 2; −1 where there is none."""
    top = x[:, 0, 1:4]
    return torch.where(top.amax(1) > 0.25, top.argmax(1), -1)


def read_angle(x):
    """Codes of angles: which side the mark is on."""
    return torch.stack([rotate(x, -angle)[:, 0, 1:4].amax(1) for angle in ANGLES], 1).argmax(1)


def read_digit(x):
    """Codes of digits at any angle."""
    return torch.stack([rotate(x, -angle)[:, 0, 1:4] for angle in ANGLES], 1).amax(1).argmax(1)


READERS = {"digit": read_digit, "rotation": read_angle}


class Perfect:
    """Reads what each set holds constant and makes exactly that, of varying brightness; notes how it was called."""

    def __init__(self):
        self.calls = []

    def make(self, digit, angle):
        bright = 0.5 + 0.5 * torch.rand(1).item()
        return mark(digit, ANGLES[angle], bright)

    def constant(self, items, reader):
        found = reader(items).unique()
        assert len(found) == 1, "a set was drawn that does not hold its factor constant"
        return int(found)

    def compose(self, *, digit, rotation, n, temperature):
        self.calls.append({"pairs": len(digit), "items": digit.shape[1], "n": n, "temperature": temperature})
        assert digit.shape == rotation.shape
        made = [
            [
                self.make(*self.pair(self.constant(first, read_digit), self.constant(second, read_angle)))
                for _ in range(n)
            ]
            for first, second in zip(digit, rotation, strict=True)
        ]
        return torch.stack([torch.stack(row) for row in made])

    def pair(self, digit, angle):
        return digit, angle


class ForgetsDigit(Perfect):
    def pair(self, digit, angle):
        return int(torch.randint(3, ())), angle


class FailsInOneCell(Perfect):
    """Right, except that a 5 at 180 degrees becomes a 7 every time, and a 3 at 90 degrees half the time."""

    def pair(self, digit, angle):
        wrong = (digit, angle) == (1, 2) or ((digit, angle) == (0, 1) and torch.rand(()) < 0.5)
        return (2 if wrong else digit), angle


def score(model, **options):
    return composition_accuracy(model, marks(), read_upright, **({"samples": 20, "runs": 2, "set_size": 5} | options))


def test_perfect_model_is_right_in_every_cell():
    result = score(Perfect())
    assert result.rows == ANGLES and result.columns == DIGITS
    assert result.cells == [[100.0] * 3] * 4 == result.ceiling
    assert result.mean == result.worst == result.ceiling_mean == result.ceiling_worst == 100
    assert result.sd == 0 and result.cell_sds == [[0.0] * 3] * 4
    assert result.diversity > 0 and result.real_diversity > 0


def test_model_that_forgets_the_digit_is_at_chance():
    result = score(ForgetsDigit(), samples=200, runs=1)
    assert abs(result.mean - 100 / 3) < 5
    assert result.ceiling_mean == 100


def test_worst_cell_and_the_spread_over_runs():
    result = score(FailsInOneCell(), samples=150, runs=4)
    assert result.worst == result.cells[ANGLES.index(180)][DIGITS.index(5)] == 0
    doubtful = result.cells[ANGLES.index(90)][DIGITS.index(3)]
    assert 30 < doubtful < 70
    assert result.mean == pytest.approx((10 * 100 + doubtful) / 12)
    sds = torch.tensor(result.cell_sds)
    assert sds[1, 0] > 0 and (sds > 0).sum() == 1
    # Only one of 12 cells differs between runs, so the mean spreads a twelfth as much.
    assert result.sd == pytest.approx(float(sds[1, 0]) / 12, rel=1e-4)
    assert len(result.run_means) == 4 and result.mean == pytest.approx(sum(result.run_means) / 4)


def test_the_protocol_of_the_paper_by_default():
    model = Perfect()
    model.make = lambda digit, angle: mark(digit, ANGLES[angle], 1.0)
    result = composition_accuracy(model, marks(), read_upright, runs=1, temperature=0.5)
    assert {call["temperature"] for call in model.calls} == {0.5} and result.temperature == 0.5
    assert {(call["items"], call["n"]) for call in model.calls} == {(10, 10)}
    assert sum(call["pairs"] for call in model.calls) == 12 * 25
    assert result.diversity == pytest.approx(0, abs=1e-9) and result.real_diversity > 0


def test_pairs_are_composed_in_blocks(monkeypatch):
    monkeypatch.setattr("coset.metrics.composition.BLOCK", 3)
    model = Perfect()
    assert score(model).mean == 100
    assert max(call["pairs"] for call in model.calls) == 3
    assert sum(call["pairs"] for call in model.calls) == 12 * 2 * 4


def test_equal_seeds_score_equally_and_leave_the_generator_alone():
    before = torch.get_rng_state()
    first, second, other = (score(ForgetsDigit(), seed=seed) for seed in (4, 4, 5))
    assert first == second and first != other
    assert torch.equal(torch.get_rng_state(), before)


def test_another_factor_is_left_as_it_is_or_undone_as_told():
    table = marks()
    renamed = FactorTable(table.x(), digit=table.column("digit"), turn=table.column("rotation"))

    class Renamed(Perfect):
        def compose(self, *, digit, turn, n, temperature):
            return super().compose(digit=digit, rotation=turn, n=n, temperature=temperature)

    options = {"factors": ("digit", "turn"), "samples": 10, "runs": 1, "set_size": 5}
    left = composition_accuracy(Renamed(), renamed, read_upright, **options)
    assert left.cells[0] == left.ceiling[0] == [100.0] * 3
    assert left.ceiling_worst == 0
    undone = composition_accuracy(
        Renamed(), renamed, read_upright, upright=lambda x, angle: rotate(x, -angle), **options
    )
    assert undone.mean == undone.ceiling_mean == 100


def test_result_as_text_and_as_json():
    result = score(FailsInOneCell())
    lines = result.table().splitlines()
    assert lines[0].split() == ["3", "5", "7"]
    assert [line.split()[0] for line in lines[1:5]] == ["0", "90", "180", "270"]
    assert lines[3].split()[1:] == ["100.0", "0.0", "100.0"]
    assert "worst cell 0.0 %" in lines[5]
    kept = json.loads(json.dumps(result.as_dict()))
    assert kept["rows"] == ANGLES and kept["worst"] == 0 and kept["ceiling_mean"] == 100
    assert kept["mean"] == round(result.mean, 2) and len(kept["cell_sds"]) == 4


def test_composition_refuses_what_it_cannot_score():
    with pytest.raises(DataError, match="did you mean 'rotation'"):
        score(Perfect(), factors=("digit", "rotatoin"))
    for wrong in ({"samples": 4}, {"runs": 0}, {"set_size": 0}):
        with pytest.raises(ConfigurationError, match="from 1 up"):
            score(Perfect(), **wrong)
    model = Perfect()
    with pytest.raises(DataError, match="digit=5, rotation=180"):
        composition_accuracy(model, with_a_gap(), read_upright)
    assert not model.calls


def with_a_gap():
    table = marks()
    return table[~((table.factors["digit"] == 1) & (table.factors["rotation"] == 2))]


def test_cells_without_held_out_items_are_left_out_when_told():
    options = {"runs": 2, "set_size": 5, "samples": 10, "incomplete": "skip"}
    result = composition_accuracy(Perfect(), with_a_gap(), read_upright, **options)
    assert result.mean == result.worst == result.ceiling_mean == result.ceiling_worst == 100.0
    assert [cell for row in result.as_dict()["cells"] for cell in row].count(None) == 1
    assert "·" in result.table()


def test_a_real_model_is_scored():
    model = ContextAwareLearner(
        (8, 8), ["digit", "rotation"], context_dim=2, z_dim=2, features=8, hidden=8, channels=[4]
    )
    result = score(model, samples=10, runs=1)
    assert result.mean < 100 == result.ceiling_mean
    shares = agreement(model, READERS, ["digit"], sets=4, n=3)
    assert set(shares) == {"digit", "rotation"}
    assert conditional_accuracy(model, marks(), "digit", READERS, samples=60, set_size=5).right < 100


def test_agreement_of_constant_and_of_mixed_sets():
    constant = torch.stack([torch.stack([mark(digit, 90, b / 4) for b in (2, 3, 4)]) for digit in range(3)])
    assert agreement_of(constant, READERS) == {"digit": 100.0, "rotation": 100.0}
    mixed = torch.stack([mark(0, 0, 1.0), mark(1, 90, 1.0), mark(0, 180, 1.0), mark(0, 270, 1.0)])[None]
    assert agreement_of(mixed, READERS) == {"digit": 75.0, "rotation": 25.0}
    both = torch.cat([mixed, constant[:1].repeat(1, 2, 1, 1)[:, :4]])
    assert agreement_of(both, READERS) == {"digit": 87.5, "rotation": 62.5}


def test_agreement_of_samples_with_what_is_constant_passed_on():
    class Sampler:
        def sample(self, *, n, sets, constant, temperature):
            self.called = (n, sets, constant, temperature)
            digit = torch.randint(3, (sets, 1)).expand(-1, n) if "digit" in constant else torch.randint(3, (sets, n))
            return torch.stack([torch.stack([mark(int(code), 0, 1.0) for code in row]) for row in digit])

    model = Sampler()
    assert agreement(model, READERS, ("digit",), sets=20, n=6, temperature=0.3) == {"digit": 100.0, "rotation": 100.0}
    assert model.called == (6, 20, ["digit"], 0.3)
    free, again, other = (agreement(model, READERS, [], sets=20, n=6, seed=seed) for seed in (0, 0, 1))
    assert free == again != other
    assert 100 / 3 < free["digit"] < 75


class Conditioner(Perfect):
    def condition(self, x, *, constant, n, temperature):
        (factor,) = constant
        self.calls.append((factor, n, temperature, tuple(x.shape)))
        made = []
        for items in x:
            known = self.constant(items, READERS[factor])
            free = torch.randint(3 if factor == "rotation" else 4, (n,)).tolist()
            made.append(
                torch.stack(
                    [mark(*((known, ANGLES[v]) if factor == "digit" else (v, ANGLES[known])), 1.0) for v in free]
                )
            )
        return torch.stack(made)


def test_conditioning_keeps_the_constant_factor_and_spreads_the_other():
    model = Conditioner()
    result = conditional_accuracy(model, marks(), "rotation", READERS, samples=2000, set_size=5, temperature=0.7)
    assert result.right == 100
    assert result.shares["rotation"] == {str(angle): 25.0 for angle in ANGLES}
    assert result.entropy_bits["rotation"] == pytest.approx(2)
    assert result.entropy_bits["digit"] == pytest.approx(torch.tensor(3.0).log2().item(), abs=0.01)
    assert sum(result.shares["digit"].values()) == pytest.approx(100)
    assert {call[:3] for call in model.calls} == {("rotation", 5, 0.7)}
    assert sum(call[3][0] for call in model.calls) == 400
    json.dumps(result.as_dict())


def test_conditioning_that_ignores_the_set_is_at_chance_and_repeatable():
    class Ignorant:
        def condition(self, x, *, constant, n, temperature):
            return torch.stack([torch.stack([mark(int(torch.randint(3, ())), 0, 1.0) for _ in range(n)]) for _ in x])

    first, again = (conditional_accuracy(Ignorant(), marks(), "digit", READERS, samples=600) for _ in range(2))
    assert abs(first.right - 100 / 3) < 6
    assert first == again
    assert first.shares["rotation"] == {"0": 100.0, "90": 0.0, "180": 0.0, "270": 0.0}
    assert first.entropy_bits["rotation"] == pytest.approx(0, abs=1e-9)


def test_conditioning_refuses_unknown_factors_and_missing_readers():
    with pytest.raises(DataError, match="did you mean 'digit'"):
        conditional_accuracy(Conditioner(), marks(), "digits", READERS)
    with pytest.raises(ConfigurationError, match="no reader for 'digit'"):
        conditional_accuracy(Conditioner(), marks(), "digit", {"rotation": read_angle})
    with pytest.raises(DataError, match="no discrete factor 'background'"):
        conditional_accuracy(Conditioner(), marks(), "digit", {**READERS, "background": read_background})


def test_backgrounds_are_read_and_removed():
    shown = (torch.rand(6, 8, 8) > 0.5).float()
    shown[:, 0], shown[:, -1], shown[:, :, 0], shown[:, :, -1] = 0.0, 0.0, 0.0, 0.0
    shown[:, 3, 0] = 1.0  # something may touch the border
    both = torch.cat([shown, 1 - shown])
    assert read_background(both).tolist() == [0] * 6 + [1] * 6
    assert torch.equal(without_background(both), torch.cat([shown, shown]))


class FromSets:
    """Gives back the digits of the set, turned as asked; all alike where it is told to be stuck."""

    def __init__(self, stuck):
        self.stuck = stuck

    def compose(self, *, digit, rotation, n, temperature):
        codes, angles = read_digit(digit[:, 0]), read_angle(rotation[:, 0])
        values = digit.amax((-2, -1))[:, :n]
        values = values.mean() + 0 * values if self.stuck else values
        return torch.stack(
            [
                torch.stack([mark(int(code), ANGLES[int(angle)], value) for value in row])
                for code, angle, row in zip(codes, angles, values, strict=True)
            ]
        )


def test_coverage_and_density_stand_beside_what_real_items_reach():
    table = marks(copies=24)
    options = dict(samples=24, runs=1, set_size=4, features=lambda x: x.flatten(1))
    varied, stuck = (composition_accuracy(FromSets(stuck), table, read_upright, **options) for stuck in (False, True))
    assert varied.mean == stuck.mean == 100  # accuracy tells nothing of it
    assert varied.coverage > 0.8 * varied.real_coverage > 0.5
    assert stuck.coverage < 0.75 * varied.coverage
    assert stuck.real_coverage == varied.real_coverage  # the same halves of the same items
    assert "coverage" in varied.table() and varied.as_dict()["coverage"] == round(varied.coverage, 4)
    plain = composition_accuracy(FromSets(False), table, read_upright, samples=24, runs=1, set_size=4)
    assert plain.coverage is None and "coverage" not in plain.as_dict()
    assert plain.cells == varied.cells and plain.diversity == varied.diversity


def test_conditioning_sets_come_from_the_seen_table_alone():
    table = marks()
    out = (torch.as_tensor(table.factors["digit"]) == 1) & (torch.as_tensor(table.factors["rotation"]) == 2)

    class Looking(FromSets):
        def compose(self, *, digit, rotation, n, temperature):
            for sets in (digit, rotation):
                codes, angles = read_digit(sets.flatten(0, 1)), read_angle(sets.flatten(0, 1))
                assert not bool(((codes == 1) & (angles == 2)).any())
            return super().compose(digit=digit, rotation=rotation, n=n, temperature=temperature)

    result = composition_accuracy(Looking(False), table, read_upright, seen=table[~out], samples=12, runs=1, set_size=4)
    assert result.cells[2][1] == 100  # and the cell is scored, beside its real items
    assert result.ceiling[2][1] == 100
