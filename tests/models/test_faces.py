import pytest
import torch

from coset.data import FactorTable
from coset.errors import ConfigurationError, DataError, ShapeError
from coset.models import IntrinsicFaces
from coset.objectives import Classified, Fixed, classified, elbo
from coset.programs import Programs
from coset.training import fit

LIGHTS = torch.nn.functional.normalize(
    torch.tensor([[1.0, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]], dtype=torch.float64), dim=-1
)


def lit_patches(copies=12):
    """Three "people", fields of normals of their own, under four lights: 8 × 8 images (n · l)+ and their labels."""
    random = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(3, 8, 8, 3, generator=random), dim=-1)
    person, place = torch.arange(12).repeat(copies) % 3, torch.arange(12).repeat(copies) // 3
    images = torch.einsum("nhwc,nc->nhw", normals[person], LIGHTS[place]).clamp_min(0)
    images = images + 0.02 * torch.rand(images.shape, generator=random)
    return images / images.max(), person, LIGHTS[place]


def table(lights=True):
    images, person, light = lit_patches()
    columns = dict(zip(("light_x", "light_y", "light_z"), light.T, strict=True)) if lights else {}
    return FactorTable(images, identity=person, **columns)


def small(data, **options):
    options = dict(shading_dim=6, reflectance_dim=2, features=32, architecture="plain", channels=()) | options
    return IntrinsicFaces.for_data(data, likelihood="gaussian", **options)


def whole(data):
    return next(iter(data.sets(items=1, batch=len(data), seed=0)))


def test_people_and_lights_are_read_and_faces_lit_anew():
    data = table()
    model = small(data)
    options = dict(objective=Classified(weight=1000.0), schedule=Fixed({"reflectance": 30.0}), learning_rate=1e-2)
    fit(model, data, steps=200, sets={"batch": 36, "items": 1}, enable_progress_bar=False, **options)
    x, person, light = lit_patches(copies=1)
    assert (model.classify(x).argmax(-1) == person).all()
    assert ((model.light(x) * light).sum(-1) > 0.97).all()
    last = [int(((person == code) & (light == LIGHTS[3]).all(-1)).nonzero()) for code in range(3)]
    relit = model.relight(x[:3], LIGHTS[3])  # the three people, from the first light to the last
    left = (x[:3] - x[last]).abs().mean()
    assert (relit - x[last]).abs().mean() < 0.3 * left
    swapped = model.swap(x[:1], [2])[0, 0]  # the first person becomes the third, under the same light
    assert (swapped - x[2]).abs().mean() < 0.3 * (x[0] - x[2]).abs().mean()
    drawn = model.sample(n=4, identity=1, light=LIGHTS[3], temperature=0.0)
    assert (drawn - x[last[1]]).abs().mean() < 0.3 * left


def test_what_is_known_is_conditioned_on_and_the_rest_is_latent():
    data = table()
    data.factors["identity"][::2] = -1
    for name in ("light_x", "light_y", "light_z"):
        data.factors[name][1::2] = torch.nan
    batch, model = whole(data), small(data)
    q = Programs(model, batch).infer(discrete={"identity": "plug-in"})
    identity, light = q["identity"], q["light"]
    known = (batch.factors["identity"] >= 0).float()
    assert torch.equal(identity.known, known) and torch.equal(light.known, 1 - known)
    codes = batch.factors["identity"][known > 0]
    assert torch.equal(identity.value[known > 0].argmax(-1), codes)
    direction = torch.stack([batch.factors[name] for name in ("light_x", "light_y", "light_z")], -1)
    assert torch.equal(light.value[known == 0], direction[known == 0]) and light.value.isfinite().all()
    bound = elbo(q, Programs(model, batch).generate(q))
    assert (bound.terms["identity"][known[:, 0] > 0] == 0).all() and (
        bound.terms["identity"][known[:, 0] == 0] > 0
    ).all()
    taught = classified(q, Programs(model, batch).generate(q)).terms["classification"]
    assert torch.allclose(taught[:5], -(identity.score * known + light.score * (1 - known))[:5, 0], atol=1e-5)


def test_light_is_latent_in_data_without_directions():
    data = table(lights=False)
    model = small(data)
    q, p = model.trace(whole(data))
    assert q["light"].provenance == "sampled" and q["identity"].provenance == "partial"
    assert (elbo(q, p).terms["light"] > 0).all()


def test_shading_is_told_from_identity_and_light_alone():
    data = table()
    model = small(data)
    q, p = model.trace(whole(data))
    assert torch.allclose(elbo(q, p).terms["shading"], torch.zeros(len(data)), atol=1e-6)
    alike = (data.factors["identity"] == 0) & (data.factors["light_y"] > 0.5)
    same = whole(data[alike])
    shading = Programs(model.eval(), same).infer()["shading"].distribution.mean  # photographs differ by noise
    assert torch.allclose(shading, shading[:1].expand_as(shading), atol=1e-6)


def test_wrong_requests_are_refused_with_what_was_expected():
    model = small(table())
    x = torch.rand(2, 8, 8)
    with pytest.raises(ShapeError, match=r"\[2, 3\], got \[3, 3\]"):
        model.relight(x, torch.eye(3))
    with pytest.raises(ConfigurationError, match="a code, from 0 to 2 in this model, got 3"):
        model.swap(x, [3])
    with pytest.raises(ConfigurationError, match="people: too small"):
        IntrinsicFaces((4,), people=1)
    with pytest.raises(DataError, match="did you mean 'identity'"):
        IntrinsicFaces.for_data(table(), label="identitty")


def test_a_given_number_of_people_does_not_lose_the_label():
    named = FactorTable(torch.rand(6, 4), who=["a", "b", "c"] * 2)
    assert IntrinsicFaces.for_data(named, people=5, features=8).labels["identity"] == ["who"]
    assert IntrinsicFaces.for_data(torch.rand(6, 4), people=5, features=8).discrete == {"identity": 5}
    with pytest.raises(DataError, match="no discrete factor 'identity' in the data"):
        IntrinsicFaces.for_data(torch.rand(6, 4))
