import pytest
import torch

from coset.data import FactorTable, SetBatch
from coset.datasets.multi_mnist import MultiMNIST
from coset.errors import ConfigurationError, DataError
from coset.models import ClassStyle, MultiDigit
from coset.networks.placing import glimpse, place
from coset.objectives import Classified, EvidenceLowerBound, Penalised, SleepPhase, elbo
from coset.shapes import repetitions
from coset.trace import Trace
from coset.training import fit

SMALL = {"features": 16, "channels": (4, 4), "digit_features": 16, "digit_channels": (4,), "style_dim": 3}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MultiDigit((20, 20), **SMALL).eval()


def disc(side=28):
    """A soft spot in the middle of a piece, which survives being read on another grid."""
    axis = torch.linspace(-1, 1, side)
    return (-4 * (axis.square() + axis.square()[:, None])).exp()


# --- cutting and placing ------------------------------------------------------------------------------------


def test_a_piece_lies_where_it_was_placed():
    where = torch.tensor([[[0.3, 0.7, 0.4], [0.6, 0.2, 0.2]]])  # centre from the left, from the top, and side
    canvas = place(disc().expand(1, 2, -1, -1), where, side=50)[0]
    for piece, (across, down, side) in zip(canvas, where[0], strict=True):
        rows, columns = torch.meshgrid((torch.arange(50) + 0.5) / 50, (torch.arange(50) + 0.5) / 50, indexing="ij")
        assert abs((piece * columns).sum() / piece.sum() - across) < 0.01
        assert abs((piece * rows).sum() / piece.sum() - down) < 0.01
        outside = (columns - across).abs().maximum((rows - down).abs()) > side / 2 + 0.03
        assert piece[outside].abs().max() < 1e-6


def test_a_glimpse_takes_back_what_was_placed():
    where = torch.tensor([[[0.45, 0.6, 0.6]], [[0.3, 0.35, 0.5]]])
    canvas = place(disc().expand(2, 1, -1, -1), where, side=50).sum(1)
    assert (glimpse(canvas, where, side=28)[:, 0] - disc()).abs().mean() < 0.02
    assert glimpse(canvas, where + torch.tensor([0.9, 0.0, 0.0]), side=28).max() < 0.1  # beside the canvas


def test_gradients_find_the_place():
    target = place(disc().expand(1, 1, -1, -1), torch.tensor([[[0.6, 0.4, 0.5]]]), side=30)
    where = torch.tensor([[[0.5, 0.5, 0.5]]], requires_grad=True)
    (place(disc().expand(1, 1, -1, -1), where, side=30) - target).square().sum().backward()
    across, down, _ = where.grad[0, 0]
    assert across < 0 < down  # further right and higher up would be nearer


# --- the programs -------------------------------------------------------------------------------------------


def test_absent_digits_count_nothing(model):
    counts = torch.eye(4).unsqueeze(1)  # canvases of 0 to 3 digits
    torch.manual_seed(1)
    q = Trace(observed={"count": counts})
    x = torch.rand(4, 1, 20, 20)
    model.infer(q, SetBatch(x))
    for name in ("where", "digit.class", "digit.style"):
        assert torch.equal(q[name].mask, repetitions(counts)) and q[name].axes == "BNR"
        assert q[name].log_prob[0] == 0
    other = {name: value.clone() for name, value in q.values().items()}
    for name in ("where", "digit.class", "digit.style"):
        other[name][:3, :, 2] = 7.0  # the third digit of canvases that have two at most

    def score(latents):
        p = Trace(observed={"x": x}, replay=latents)
        model.generate(p, (4, 1))
        return p["x"].log_prob

    assert torch.equal(score(q.values())[:3], score(other)[:3]) and score(q.values())[3] == score(other)[3]


def test_a_blank_canvas_is_blank(model):
    assert model.sample(3, count=0).max() <= 0.01 < 0.2 < model.sample(3, count=3).max()


def test_enumerated_counts_average_the_bounds_given_each(model):
    x = torch.rand(2, 1, 20, 20)
    q = Trace(particles=4, discrete={"count": "enumerate", "digit.class": "plug-in"}, temperature=0.0)
    model.infer(q, SetBatch(x))
    p = Trace({"x": x}, q, particles=4)
    model.generate(p, (2, 1))
    found = elbo(q, p).terms["x"]
    expected = torch.zeros(2)
    for count in range(4):
        given = torch.eye(4)[count].expand(2, 1, 4)
        alone = Trace(observed={"count": given}, discrete={"digit.class": "plug-in"}, temperature=0.0)
        model.infer(alone, SetBatch(x))
        scored = Trace({"x": x}, alone)
        model.generate(scored, (2, 1))
        expected += q["count"].distribution.probs[:, 0, count] * scored["x"].log_prob
    torch.testing.assert_close(found, expected)


def test_fixed_digits_stay_as_they_are():
    model = MultiDigit((20, 20), fixed_digits=True, **SMALL)
    sleep = Penalised(EvidenceLowerBound(), [SleepPhase("where", given=["count"], sorted_by=0)])
    before = {name: value.clone() for name, value in model.digit.state_dict().items()}
    data = FactorTable(torch.rand(20, 20, 20), count=torch.arange(20) % 4)
    fit(model, data, steps=3, sets={"batch": 4}, objective=sleep, enable_progress_bar=False)
    assert all(torch.equal(value, before[name]) for name, value in model.digit.state_dict().items())
    assert any(part.grad is not None and part.grad.any() for part in model.where_posterior.parameters())


def test_it_learns_to_count(single):
    torch.manual_seed(0)
    train, test = MultiMNIST("digits", most=2, side=24, train=900, test=200).load()
    model = MultiDigit.for_data(train, **{**SMALL, "channels": (8, 16)})
    options = {"sets": {"batch": 50}, "objective": Classified(100, discrete={"digit.class": "plug-in"})}
    fit(model, train, steps=150, learning_rate=5e-3, enable_progress_bar=False, **options)
    read = model.count(test.x())
    assert read.shape == (200, 3) and (read.argmax(-1) == test.factors["count"]).double().mean() > 0.6


def test_what_users_get(model):
    x = torch.rand(5, 20, 20)
    places = model.places(x)
    counted = model.count(x).argmax(-1)
    assert places.shape == (5, 3, 3) and torch.equal((~places.isnan()).all(-1).sum(-1), counted)
    assert model.reconstruct(x).shape == (5, 20, 20) and model.embed(x).shape == (5, 3 * 6)
    assert isinstance(model.digit, ClassStyle) and model.sample(2, temperature=0.5).shape == (2, 20, 20)


# --- what is refused ----------------------------------------------------------------------------------------


def test_bad_counts_and_canvases_are_refused(model):
    with pytest.raises(ConfigurationError, match="count: expected a code, from 0 to 3 in this model, got 4"):
        model.sample(2, count=4)
    with pytest.raises(ConfigurationError, match="square"):
        MultiDigit((20, 30))
    with pytest.raises(ConfigurationError, match="1 digit or more"):
        MultiDigit((20, 20), most=0)
    with pytest.raises(DataError, match="from 0 up"):
        MultiDigit.for_data(FactorTable(torch.rand(4, 20, 20), count=[1, 2, 3, 1]))
    batch = SetBatch(torch.rand(2, 1, 20, 20), factors={"count": torch.tensor([[1], [4]])})
    with pytest.raises(DataError, match="has 4 values, but 'count' has the code 4"):
        model.known(batch)
