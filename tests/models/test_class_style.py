"""Class and style."""

import math

import pytest
import torch
import torch.nn.functional as F

from coset.data import FactorTable, SetBatch
from coset.data.labels import hide_labels
from coset.datasets.digits import Digits
from coset.errors import ConfigurationError, DataError, ShapeError
from coset.models import ClassStyle, load
from coset.networks import RandomCopies
from coset.objectives import (
    AuxiliaryVariable,
    ClassCycleConsistency,
    Classified,
    ConsistencyRegularisation,
    Penalised,
    classified,
    elbo,
)
from coset.programs import Programs
from coset.training import fit


def build(item_shape=(6,), **options):
    options = {"classes": 3, "style_dim": 2, "features": 8, "channels": (3, 4)} | options
    model = ClassStyle(item_shape, **options)
    for name, buffer in model.named_buffers():  # batch norm as after training: no identity
        if name.endswith("running_mean"):
            buffer.normal_(std=0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def batch_of(x, *codes, label="class", mask=None):
    return SetBatch(x, mask=mask, factors={label: torch.tensor(codes)})


SHAPES = [
    ((6,), "dense"),
    ((6,), "plain"),
    ((8, 8), "convolutional"),
    ((8, 8), "strided"),
    ((3, 8, 8), "strided"),
    ((8, 8), "plain"),
]


# --- shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item_shape", "architecture"), SHAPES)
def test_shapes_of_what_users_are_given(item_shape, architecture):
    model = build(item_shape, architecture=architecture)
    x = torch.rand(5, *item_shape)
    assert model.classify(x).shape == (5, 3) and model.embed(x).shape == model.embed(x, sample=True).shape == (5, 2)
    assert model.reconstruct(x).shape == x.shape and model.analogies(x).shape == (5, 3, *item_shape)
    assert model.sample(n=4).shape == model.sample(n=4, code=1, draw=True).shape == (4, *item_shape)
    assert model.decode_styles(2, torch.randn(7, 2)).shape == (7, *item_shape)
    torch.testing.assert_close(model.classify(x).sum(1), torch.ones(5))
    for picture in (model.reconstruct(x), model.analogies(x), model.sample(n=4)):
        assert picture.min() >= 0 and picture.max() <= 1
    assert set(model.sample(n=4, draw=True).unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("how", ["sample", "enumerate", "plug-in", "relaxed", "straight-through"])
def test_bounds_are_one_number_a_set(how):
    model = build((8, 8), architecture="strided").train()
    batch = batch_of(torch.rand(4, 2, 8, 8), [0, -1], [-1, -1], [2, 1], [-1, 0])
    penalties = [ConsistencyRegularisation("class", RandomCopies()), ClassCycleConsistency("class", RandomCopies())]
    penalties[0].bind(model, data_size=4)
    for bound in (AuxiliaryVariable(discrete={"class": how}), Classified(discrete={"class": how})):
        found = Penalised(bound, penalties)(Programs(model, batch))
        assert found.value.shape == found.weighted({}).shape == (4,)
        assert {name: term.shape for name, term in found.terms.items()} == dict.fromkeys(found.terms, (4,))
        assert found.penalties == {"consistency.class", "cycle"}
        model.zero_grad()
        found.weighted({}).sum().backward()
        missing = [name for name, part in model.named_parameters() if part.grad is None or not part.grad.any()]
        # what batch normalisation takes away again has no gradient but rounding error
        assert not [name for name in missing if not name.endswith("bias")], missing
        assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)


# --- class and style ----------------------------------------------------------------------------------------


def test_a_sample_of_a_class_is_decoded_from_it():
    model = build()
    style = torch.randn(5, 2)
    for code in range(3):
        label = F.one_hot(torch.full((5,), code), 3)
        torch.manual_seed(3)
        drawn = torch.randn(5, 1, 2)[:, 0]
        expected = model.likelihood(model.decode_latents(label, drawn)).mean
        torch.manual_seed(3)
        torch.testing.assert_close(model.sample(n=5, code=code), expected)
        expected = model.likelihood(model.decode_latents(label, style)).mean
        torch.testing.assert_close(model.decode_styles(code, style), expected)
    assert (model.decode_styles(0, style) - model.decode_styles(1, style)).abs().max() > 1e-3
    none = model.sample(n=3, code=1, temperature=0.0)
    torch.testing.assert_close(none, model.decode_styles(1, torch.zeros(3, 2)))


@pytest.mark.parametrize(("item_shape", "architecture"), SHAPES)
def test_the_analogy_of_an_items_own_class_is_its_reconstruction(item_shape, architecture):
    model = build(item_shape, architecture=architecture)
    x = torch.rand(9, *item_shape)
    analogies, predicted = model.analogies(x), model.classify(x).argmax(-1)
    torch.testing.assert_close(analogies[torch.arange(9), predicted], model.reconstruct(x), atol=1e-12, rtol=0)
    for code in range(3):
        torch.testing.assert_close(analogies[:, code], model.decode_styles(code, model.embed(x)), atol=1e-12, rtol=0)


def test_a_known_class_is_the_one_that_is_used():
    model = build(label="kind")
    x = torch.rand(3, 2, 6)
    batch = batch_of(x, [0, -1], [2, 1], [-1, -1], label="kind")
    for how in ("sample", "plug-in", "relaxed", "straight-through"):
        programs = Programs(model, batch)
        q = programs.infer(discrete={"class": how})
        value = q["class"].value
        assert torch.equal(value[0, 0], torch.eye(3)[0]) and torch.equal(value[1], torch.eye(3)[[2, 1]])
        assert q["class"].known.tolist() == [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
        assert torch.equal(programs.generate(q)["class"].value, value)
        posterior = model.style_posterior(torch.cat([model.encoder(x), value], -1))
        torch.testing.assert_close(q["style"].distribution.mean, posterior.mean)
    weight = Programs(model, batch).infer(discrete={"class": "enumerate"})["class"].weight
    assert weight[:, 0, 0].tolist() == [1.0, 0.0, 0.0] and weight[:, 1, 1].tolist() == [0.0, 1.0, 0.0]
    torch.testing.assert_close(weight[:, 2, 0], model.classify(x[2, :1])[0])


def test_factors_of_another_name_tell_nothing():
    model = build(label="kind")
    x = torch.rand(2, 1, 6)
    assert model.known(batch_of(x, [0], [1], label="other")) == {}
    assert set(model.known(batch_of(x, [0], [1], label="kind"))) == {"class"}


# --- training -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    train, test = Digits().load()
    return hide_labels(train, "digit", 50), test


def trained(digits, rate, steps):
    torch.manual_seed(0)
    few, _ = digits
    model = ClassStyle.for_data(few, style_dim=4, architecture="plain", channels=[], features=32)
    fit(
        model,
        few,
        steps=steps,
        objective=Classified(weight=10.0, discrete={"class": "enumerate"}),
        sets={"batch": 50, "supervision": {"factors": ["digit"], "rate": rate, "mixed": True}},
        learning_rate=4e-3,
        accelerator="cpu",
        enable_progress_bar=False,
    )
    return model


def error(model, table):
    return float((model.classify(table.x()).argmax(-1) != table.factors["digit"]).float().mean())


def test_fifty_labels_teach_the_digits_and_none_do_not(digits, tmp_path):
    _, test = digits
    model = trained(digits, rate=0.5, steps=100)
    assert error(model, test) < 0.3
    assert error(trained(digits, rate=0.0, steps=40), test) > 0.7
    # an analogy reads as the class that it was decoded from
    analogies = model.analogies(test.x()[:50])
    read = model.classify(analogies.flatten(0, 1)).argmax(-1).view(50, 10)
    assert (read == torch.arange(10)).float().mean() > 0.5
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, ClassStyle) and again.labels == {"class": ["digit"]} and again.discrete == {"class": 10}
    assert torch.equal(again.classify(test.x()), model.classify(test.x()))
    assert torch.equal(again.analogies(test.x()[:5]), model.analogies(test.x()[:5]))


# --- for data -----------------------------------------------------------------------------------------------


@pytest.fixture
def table():
    rows = torch.arange(20)
    return FactorTable(torch.rand(20, 6), angle=rows * 0.5, kind=rows % 5, side=rows % 2)


def test_classes_and_label_are_read_from_the_data(table):
    model = ClassStyle.for_data(table, style_dim=2, features=4)
    assert model.discrete == {"class": 5} and model.labels == {"class": ["kind"]}  # the first that is discrete
    model = ClassStyle.for_data(table, label="side", style_dim=2, features=4)
    assert model.discrete == {"class": 2} and model.labels == {"class": ["side"]}
    model = ClassStyle.for_data(table, label="side", classes=7, style_dim=2, features=4)
    assert model.discrete == {"class": 7} and model.labels == {"class": ["side"]}
    assert ClassStyle.for_data(torch.rand(20, 6), classes=4, style_dim=2, features=4).discrete == {"class": 4}


def test_a_given_number_of_classes_does_not_lose_the_label(table):
    """By default the label is the first discrete factor, whether or not the number of its values is given too."""
    assert ClassStyle.for_data(table, classes=7, style_dim=2, features=4).labels == {"class": ["kind"]}


@pytest.mark.parametrize("options", [{}, {"classes": 5}])
def test_a_label_that_is_continuous_or_missing_is_refused(options, table):
    with pytest.raises(DataError, match=r"label: no discrete factor 'angle' in the data; there are: 'kind', 'side'"):
        ClassStyle.for_data(table, label="angle", **options)
    with pytest.raises(DataError, match=r"label: no discrete factor 'knid' in the data.*did you mean 'kind'"):
        ClassStyle.for_data(table, label="knid", **options)


def test_data_without_labels_need_the_number_of_classes():
    with pytest.raises(DataError, match="label: no discrete factor 'class' in the data"):
        ClassStyle.for_data(torch.rand(20, 6))


def test_labels_beyond_the_classes_are_refused(table):
    model = build(label="kind")
    batch = batch_of(torch.rand(2, 1, 6), [3], [-1], label="kind")
    with pytest.raises(DataError, match=r"site 'class' has 3 values, but 'kind' has the code 3; build the model for"):
        model.known(batch)
    with pytest.raises(DataError, match="site 'class' has 3 values"):
        fit(model, table, steps=1, accelerator="cpu", enable_progress_bar=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes: too small; a class has 2 values or more"),
        ({"classes": 0}, "classes: too small"),
        ({"style_dim": 0}, "style_dim: too small"),
        ({"features": 0}, "features: too small"),
        ({"likelihood": "binomial"}, "likelihood: nothing is called"),
        ({"architecture": "strided"}, "convolutions take images"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        ClassStyle((6,), **({"classes": 3} | options))


def test_codes_and_styles_that_do_not_exist_are_refused():
    model = build()
    for code in (-1, 3):
        with pytest.raises(ConfigurationError, match=f"code: expected a code, from 0 to 2 in this model, got {code}"):
            model.sample(code=code)
    with pytest.raises(ConfigurationError, match=r"sample: nothing is called 'cod'.*did you mean 'code'"):
        model.sample(cod=1)
    assert model.sample(n=3, code=[2, 0, 1]).shape == (3, 6)  # one an item
    with pytest.raises(ShapeError, match=r"style: expected codes \[n, 2\].*got \[5, 3\]"):
        model.decode_styles(0, torch.randn(5, 3))


def test_enumeration_of_the_class_is_the_mean_of_its_draws():
    """With a style that is nearly certain, draws differ by their class alone."""
    model = build(classes=3)
    with torch.no_grad():
        model.style_posterior.network.weight[2:] = 0.0
        model.style_posterior.network.bias[2:] = -20.0
    batch = batch_of(torch.rand(2, 1, 6), [-1], [1])
    programs = Programs(model, batch)
    with torch.no_grad():
        q = programs.infer(discrete={"class": "enumerate"})
        exact = classified(q, programs.generate(q)).value
        drawn = programs.infer(particles=4_000)
        draws = elbo(drawn, programs.generate(drawn)).value  # [S, B]
    spread = draws.std(0) / math.sqrt(4_000)
    assert ((draws.mean(0) - exact).abs() < 4 * spread + 1e-3)[0]
