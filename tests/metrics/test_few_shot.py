import pytest
import torch

from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError
from coset.metrics import context_accuracy, draw_episodes, neighbour_accuracy
from coset.models import NeuralStatistician


def letters(classes=8, items=6):
    codes = torch.arange(classes).repeat(items)
    return FactorTable(torch.rand(len(codes), 4), letter=codes)


def test_episodes_ask_about_other_items_of_the_same_classes():
    table = letters()
    episodes = draw_episodes(table, "letter", ways=5, shots=2, queries=3, episodes=200)
    assert episodes.examples.shape == (200, 5, 2) and episodes.queries.shape == (200, 5, 3)
    both = torch.cat([episodes.examples, episodes.queries], -1)
    codes = table.factors["letter"][both]
    assert (codes == codes[..., :1]).all()
    assert all(len(set(rows.tolist())) == 25 for rows in both.flatten(1))
    assert all(len(set(row.tolist())) == 5 for row in codes[..., 0])
    assert len(both.unique()) == len(table)  # every item has its turn
    again = draw_episodes(table, "letter", ways=5, shots=2, queries=3, episodes=200)
    other = draw_episodes(table, "letter", ways=5, shots=2, queries=3, episodes=200, seed=1)
    assert torch.equal(again.queries, episodes.queries) and not torch.equal(other.queries, episodes.queries)


def test_episodes_draw_from_classes_of_different_sizes():
    codes = torch.cat([torch.full((size,), size) for size in (3, 5, 9)])
    table = FactorTable(torch.rand(17, 4), letter=codes)
    episodes = draw_episodes(table, "letter", ways=3, shots=1, queries=2, episodes=500)
    assert len(torch.cat([episodes.examples, episodes.queries], -1).unique()) == 17


@pytest.mark.parametrize("pooling", ["product", "size", "mean"])
def test_accuracy_is_that_of_classifying_episode_by_episode(pooling):
    table = letters()
    table = FactorTable(table.items.double(), letter=table.factors["letter"])
    model = NeuralStatistician((4,), pooling=pooling, context_dim=3, z_dim=2, features=8, hidden=8).double().eval()
    episodes = draw_episodes(table, "letter", ways=4, shots=2, queries=2, episodes=60)
    right = 0
    for examples, queries in zip(episodes.examples, episodes.queries, strict=True):
        found = model.classify(table.x(queries.flatten()), table.x(examples.flatten()).view(4, 2, 4))
        right += int((found == torch.arange(4).repeat_interleave(2)).sum())
    assert context_accuracy(model, table, episodes).mean == pytest.approx(100 * right / (60 * 8))


def test_nearest_neighbour_knows_what_the_codes_know():
    table = letters(classes=8, items=10)
    episodes = draw_episodes(table, "letter", ways=5, shots=1, episodes=400)
    perfect = torch.nn.functional.one_hot(table.factors["letter"]).float()
    assert neighbour_accuracy(perfect, episodes).mean == 100
    assert neighbour_accuracy(perfect, episodes).interval == 0
    chance = neighbour_accuracy(torch.rand(80, 3), episodes)
    assert abs(chance.mean - 20) < 2 * chance.interval + 1 and 0.5 < chance.interval < 4


def test_bad_input_is_refused():
    table = letters(classes=4, items=3)
    with pytest.raises(DataError, match="did you mean 'letter'"):
        draw_episodes(table, "leter", ways=2, shots=1)
    with pytest.raises(DataError, match="5 ways need as many classes, but 'letter' has 4"):
        draw_episodes(table, "letter", ways=5, shots=1)
    with pytest.raises(DataError, match="3 shots and 1 queries need 4 items of each class, but letter=0 has 3"):
        draw_episodes(table, "letter", ways=2, shots=3)
    with pytest.raises(ConfigurationError, match="shots: expected a whole number from 1 up, got 0"):
        draw_episodes(table, "letter", ways=2, shots=0)
