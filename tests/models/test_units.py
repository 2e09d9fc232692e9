"""Units of the data make no difference, to what is learned or to what is drawn."""

import numpy as np
import pytest
import torch

from coset import VAE, ClassStyle, ContextAwareLearner, FactorTable, IntrinsicFaces, NeuralStatistician, fit, load
from coset.errors import ConfigurationError, DataError
from coset.networks.likelihoods.base import build_likelihood
from coset.networks.units import units_of

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
OTHER_UNITS = [(0.01, 0.0), (1000.0, 5000.0)]
SIZES = {"features": 32, "hidden": 16, "context_dim": 3, "z_dim": 2, "architecture": "plain", "channels": []}


def table(factor=1.0, shift=0.0, shape=(12,)):
    generator = torch.Generator().manual_seed(0)
    row, column = torch.arange(400) % 4, torch.arange(400) // 4 % 5
    means = torch.randn(4, 12, generator=generator)[row] + torch.randn(5, 12, generator=generator)[column]
    x = (means + 0.1 * torch.randn(400, 12, generator=generator)).view(-1, *shape)
    return FactorTable(factor * x + shift, row=row, column=column)


def trained(kind, data, factor=1.0):
    torch.manual_seed(0)
    options = {
        "VAE": {"z_dim": 4, "features": 32},
        "NeuralStatistician": {"contexts": ["row"], "width": 0.2 * factor, **SIZES},
        "ContextAwareLearner": {"contexts": ["row", "column"], **SIZES},
        "ClassStyle": {"label": "row", "style_dim": 4, "features": 32},
        "IntrinsicFaces": {"label": "row", "features": 32, "shading_dim": 4, "reflectance_dim": 4},
    }[kind.__name__]
    model = kind.for_data(data, likelihood="gaussian", **options)
    steps = {"VAE": 300, "ClassStyle": 300}.get(kind.__name__, 150)
    fit(model, data, steps=steps, learning_rate=5e-3, sets={"batch": 8 if model.contexts else 16}, **QUIET)
    return model


def explained(model, x):
    if model.contexts:
        x = x[(torch.arange(400) % 4).argsort(stable=True)].view(40, 10, *x.shape[1:])  # ten of a row
    return 1 - float((model.reconstruct(x) - x).square().mean() / (x - x.flatten(0, -2).mean(0)).square().mean())


@pytest.mark.parametrize("kind", [VAE, NeuralStatistician, ContextAwareLearner, ClassStyle, IntrinsicFaces])
def test_units_do_not_matter(kind):
    plain = trained(kind, table())
    r2 = explained(plain, table().x())
    assert r2 > 0.15 or kind is ClassStyle  # which learns little of these in so few steps
    for factor, shift in OTHER_UNITS:
        data = table(factor, shift)
        model = trained(kind, data, factor)
        assert explained(model, data.x()) == pytest.approx(r2, abs=0.01)
        if kind is ContextAwareLearner:
            made = []
            for one, items in ((plain, table()), (model, data)):
                shown = {name: items.where(**{name: 2}).x()[:20] for name in ("row", "column")}
                torch.manual_seed(1)
                made.append(one.compose(**shown, n=50, temperature=0.0))
            expected = factor * made[0] + shift
            assert float((made[1] - expected).square().mean().sqrt()) < 0.01 * float(expected.std())


def test_a_column_in_units_of_its_own_is_learned():
    data = table()
    unit = torch.logspace(-3, 3, 12)
    model = trained(VAE, FactorTable(data.x() * unit + 5 * unit))
    made = (model.reconstruct(data.x() * unit + 5 * unit) - 5 * unit) / unit
    plain = trained(VAE, FactorTable(data.x()))
    torch.testing.assert_close(made, plain.reconstruct(data.x()), atol=0.02, rtol=0)


def test_densities_and_draws_are_in_the_units_of_the_data():
    plain = build_likelihood("gaussian", (3,), width=0.5)
    scaled = build_likelihood("gaussian", (3,), ([1.0, 2.0, 3.0], 10.0), 5.0)
    parameters, x = torch.randn(4, 3), torch.randn(4, 3)
    moved = 10 * x + torch.tensor([1.0, 2.0, 3.0])
    difference = plain(parameters).log_prob(x) - scaled(parameters).log_prob(moved)
    torch.testing.assert_close(difference, torch.full((4,), 3 * np.log(10.0)))
    assert float(scaled(parameters).stddev[0, 0].detach()) == pytest.approx(5.0)


def test_constant_elements_and_constant_data_have_a_unit():
    x = torch.rand(50, 3)
    x[:, 1] = 7.0
    model = VAE.for_data(x, likelihood="gaussian", z_dim=2)
    _, scale = units_of(x.mean(0), x.std(0, correction=0))
    torch.testing.assert_close(model.likelihood.scale, torch.tensor(scale))
    assert scale[1] == max(scale)
    assert bool(model.reconstruct(x).isfinite().all())
    assert float(VAE.for_data(torch.full((5, 3), 4.0), z_dim=2).likelihood.scale[0]) == 1.0
    picture = VAE.for_data(torch.randn(20, 8, 8) * 3 + 1, z_dim=2)
    assert picture.likelihood.scale.ndim == 0


def test_units_are_saved(tmp_path):
    data = table(0.01, 100.0)
    model = VAE.for_data(data, z_dim=2, features=8)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(load(tmp_path).embed(data.x()), model.embed(data.x()))
    assert torch.equal(load(tmp_path).likelihood.reading.location, model.likelihood.reading.location)


@pytest.mark.parametrize("units", [(0.0, 0.0), (0.0, -1.0), (np.nan, 1.0), (0.0,), "ab", ([1.0, 2.0], 1.0)])
def test_units_that_are_none_are_refused(units):
    with pytest.raises(ConfigurationError, match="units"):
        VAE((3,), z_dim=2, units=units)


# --- bytes ------------------------------------------------------------------------------------------------------


def test_bytes_of_zero_and_one_are_binary_in_every_door(tmp_path):
    pictures = (torch.rand(60, 8, 8) > 0.8).to(torch.uint8)
    data = FactorTable(pictures)
    assert data.range() == (0.0, 1.0)
    assert data[:3].x().unique().tolist() == [0.0, 1.0]
    model = VAE.for_data(data, z_dim=2, architecture="dense", features=8)
    torch.testing.assert_close(model.embed(pictures), model.embed(pictures.double()))
    model.save_pretrained(tmp_path)
    dark = torch.zeros(3, 8, 8, dtype=torch.uint8)
    torch.testing.assert_close(load(tmp_path).embed(pictures[:5]), model.embed(pictures[:5].double()))
    torch.testing.assert_close(load(tmp_path).embed(dark), model.embed(dark.double()))
    storage = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (60, 8, 8))
    storage[:] = pictures.numpy()
    assert torch.equal(FactorTable(storage).x(), data.x())


def test_dark_pictures_are_read_as_those_of_the_training_data():
    pictures = torch.randint(256, (60, 8, 8), dtype=torch.uint8)
    dark = (torch.rand(20, 8, 8) > 0.5).to(torch.uint8)
    model = VAE.for_data(pictures, z_dim=2, architecture="dense", features=8)
    torch.testing.assert_close(model.embed(dark), model.embed(dark.double() / 255))
    assert model.agree_with(FactorTable(dark)).range() == (0.0, 1 / 255)
    fresh = VAE((8, 8), z_dim=2, architecture="dense", features=8)
    fit(fresh, (pictures > 127).to(torch.uint8), steps=1, sets={"batch": 8}, **QUIET)
    assert fresh.full_scale == 1
    with pytest.raises(DataError, match=r"takes values in \[0, 1\], got \[0, 255\]"):
        fit(fresh, pictures, steps=1, **QUIET)


def test_pictures_that_overshoot_are_spoken_of():
    x = torch.rand(20, 8, 8) * 1.02 - 0.01
    with pytest.warns(UserWarning, match="a little beyond"):
        model = VAE.for_data(x, z_dim=2)
    assert model.likelihood.kind == "gaussian"
    with pytest.raises(DataError, match=r"takes values in \[0, 1\]"):
        VAE.for_data(x, z_dim=2, likelihood="bernoulli")
