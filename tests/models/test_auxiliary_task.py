import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from coset import AuxiliaryTaskVAE, FactorTable, fit, load
from coset.batch import SetBatch
from coset.errors import CheckpointError, ConfigurationError, DataError, ShapeError
from coset.networks.transforms import Blur, Grey, PatchShuffle
from coset.objectives import elbo
from coset.programs import Programs
from coset.trace import Trace
from coset.training import default_objective

SMALL = {"lost_dim": 2, "kept_dim": 3, "features": 8, "architecture": "plain", "channels": []}


@pytest.mark.parametrize("item_shape", [(6, 4), (3, 6, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_shuffled_patches_are_the_patches_that_were_there(item_shape, training):
    x = torch.arange(float(5 * torch.Size(item_shape).numel())).view(5, *item_shape)
    made = PatchShuffle(item_shape, side=2).train(training)(x)
    assert made.shape == x.shape

    def patches(images):
        images = images.reshape(5, -1, *item_shape[-2:])
        cut = [images[:, :, i : i + 2, j : j + 2].flatten(1) for i in range(0, 6, 2) for j in range(0, 4, 2)]
        return torch.stack(cut, 1).tolist()  # [5, 6, C·4]

    for before, after in zip(patches(x), patches(made), strict=True):
        assert sorted(before) == sorted(after)  # and within a patch, in order


def test_patches_are_shuffled_anew_for_each_item_in_training_and_alike_afterwards():
    x = torch.arange(64.0).view(1, 8, 8).expand(50, 8, 8)
    transform = PatchShuffle((8, 8), side=2)
    one, two = transform(x), transform(x)
    assert len({tuple(item.flatten().tolist()) for item in torch.cat([one, two])}) == 100
    places = torch.stack([(item == 0).nonzero()[0] for item in transform(x.repeat(40, 1, 1))])
    assert (places // 2).unique(dim=0, return_counts=True)[1].min() > 2000 / 16 * 0.7  # every place is as likely
    transform.eval()
    again = transform(x)
    assert torch.equal(again, transform(x)) and (again == again[:1]).all() and not torch.equal(again, x)


def test_grey_has_the_luminance_of_all_colours():
    x = torch.rand(4, 3, 5, 6)
    made = Grey((3, 5, 6))(x)
    assert made.shape == x.shape and torch.equal(made[:, 0], made[:, 2])
    torch.testing.assert_close(made[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])


def test_blur_keeps_what_is_even_and_evens_out_what_is_not():
    x = torch.rand(4, 3, 20, 20)
    made = Blur((3, 20, 20), width=1.5)(x)
    assert made.shape == x.shape and made.var() < 0.2 * x.var()
    torch.testing.assert_close(Blur((20, 20))(torch.full((2, 20, 20), 0.3)), torch.full((2, 20, 20), 0.3))


@pytest.mark.parametrize(
    ("item_shape", "options", "message"),
    [
        ((8, 8), {"transform": {"class": "PatchShuffle", "side": 3}}, "side 3 do not divide images of 8 × 8"),
        ((8, 8), {"transform": {"class": "PatchShuffle", "side": 8}}, "is the whole image"),
        ((8,), {}, "expected images"),
        ((1, 8, 8), {"transform": "grey"}, r"expected images \[3, H, W\]"),
        ((8, 8), {"transform": {"class": "blur", "width": 4.0}}, "below a third of the side"),
        ((8, 8), {"transform": "patch-shufle"}, "did you mean 'patch-shuffle'"),
        ((8, 8), {"transform": None}, "that is a VAE"),
        ((8, 8), {"clusters": 1}, "expected 2 or more"),
        ((8, 8), {"kept_dim": 0}, "kept_dim: expected a whole number from 1 up"),
    ],
)
def test_what_does_not_fit_is_refused(item_shape, options, message):
    with pytest.raises(ConfigurationError, match=message):
        AuxiliaryTaskVAE(item_shape, **options)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :4], r"expected items like those that it is given, torch.float64 \[6, 8, 8\]"),
        (lambda x: x.float(), "got torch.float32"),
        (lambda x: None, "got NoneType"),
        (lambda x: 255 * x, "the items that it makes: a Bernoulli likelihood takes values in"),
        (lambda x: x / 0, "the items that it makes: contain NaN or infinity"),
    ],
)
def test_a_transform_that_makes_other_items_is_refused(function, message):
    model = AuxiliaryTaskVAE((8, 8), transform=function, **SMALL)
    with pytest.raises(DataError, match=message):
        model.trace(SetBatch(torch.rand(2, 3, 8, 8) + 0.1))


def test_bound_is_that_of_the_paper():
    """Equation 6, written out with the model's networks."""
    torch.manual_seed(0)
    model = AuxiliaryTaskVAE((8, 8), **SMALL).eval()
    batch = SetBatch(torch.rand(4, 1, 8, 8))
    q, p = model.trace(batch)
    shuffled = model.transform(batch.x[:, 0]).unsqueeze(1)
    assert torch.equal(p["transformed"].value, shuffled) and p["transformed"].provenance == "observed"
    lost, kept = q["lost"].value, q["kept"].value
    of_x = model.likelihood(model.decoder(torch.cat([lost, kept], -1))).log_prob(batch.x)
    of_shuffled = model.kept_likelihood(model.kept_decoder(kept)).log_prob(shuffled)
    bound = elbo(q, p)
    divergences = [
        0.5 * (d.mean.square() + d.variance - d.variance.log() - 1).sum((1, 2))
        for d in (q["lost"].distribution, q["kept"].distribution)
    ]
    torch.testing.assert_close(bound.value, (of_x + of_shuffled).sum(1) - sum(divergences))
    assert bound.gains == {"x", "transformed"}


def test_what_is_kept_is_read_from_the_transformed_item_alone():
    model = AuxiliaryTaskVAE((8, 8), transform=lambda x: x.flip(-1), **SMALL).eval()
    x = torch.rand(4, 1, 8, 8, requires_grad=True)
    q = Programs(model, SetBatch(x, views={"transformed": torch.rand(4, 1, 8, 8)})).infer(temperature=0.0)
    assert torch.autograd.grad(q["kept"].value.sum(), x, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(q["lost"].value.sum(), x)[0].abs().sum() > 0
    p = Trace()
    model.generate(p, (4, 1))
    assert set(p.values()) == {"lost", "kept", "transformed", "x"}


def test_a_view_of_the_batch_takes_the_place_of_the_transform():
    model = AuxiliaryTaskVAE((8, 8), **SMALL).eval()
    view = torch.rand(4, 1, 8, 8)
    _, p = model.trace(SetBatch(torch.rand(4, 1, 8, 8), views={"transformed": view}))
    assert torch.equal(p["transformed"].value, view)


def test_clusters_are_summed_over_exactly():
    torch.manual_seed(0)
    model = AuxiliaryTaskVAE((4,), transform=None, clusters=3, **SMALL).eval()
    batch = SetBatch(torch.rand(5, 1, 4))
    bound = default_objective(model)(Programs(model, batch))
    assert bound.q["lost"].value.shape == (5, 1, 2)  # drawn, and decoded, once for all clusters
    probabilities = bound.q["cluster"].distribution.probs  # [B, N, k]
    entropy = -(probabilities * probabilities.log()).sum(-1)
    posterior, priors = bound.q["lost"].distribution, model.lost_prior(torch.eye(3))
    each = [Independent(Normal(*one), 1) for one in zip(priors.mean, priors.stddev, strict=True)]
    apart = torch.stack([kl_divergence(posterior, prior) for prior in each])
    expected = bound.p["x"].score - (math.log(3) - entropy) - (probabilities * apart.permute(1, 2, 0)).sum(-1)
    torch.testing.assert_close(bound.value, expected[:, 0])
    assert list(elbo(*model.trace(batch)).terms) == ["cluster", "lost", "x"]


def test_composed_items_take_one_code_from_each():
    model = AuxiliaryTaskVAE((8, 8), **SMALL).eval()
    one, other = torch.rand(2, 6, 8, 8)
    torch.testing.assert_close(model.compose(lost=one, kept=one), model.reconstruct(one))
    swapped = model.compose(lost=one, kept=other)
    codes = torch.cat([model.embed(one)[:, :2], model.embed(other)[:, 2:]], 1)
    torch.testing.assert_close(swapped, model.likelihood(model.decoder(codes)).mean)
    torch.manual_seed(0)
    first = model.compose(lost=one)
    assert first.shape == one.shape and not torch.equal(first, model.compose(lost=one))  # the other is drawn


def test_what_is_lost_is_drawn_from_the_cluster_that_is_asked_for():
    model = AuxiliaryTaskVAE((8, 8), clusters=3, **SMALL).eval()
    with torch.no_grad():
        model.lost_prior.network.weight[0] = torch.tensor([-9.0, 0.0, 9.0])  # where a code's first number lies
    model.decoder = Told(model.decoder)
    kept = torch.rand(50, 8, 8)
    for code, place in ((0, -9), (1, 0), (2, 9)):
        model.compose(kept=kept, code=code)
        assert abs(model.decoder.latent[..., 0].mean() - place) < 2
    model.compose(kept=kept, code=[0, 2] * 25)
    assert (model.decoder.latent[:, 0, 0].sign() == torch.tensor([-1.0, 1.0] * 25)).double().mean() > 0.9


class Told(torch.nn.Module):
    """A decoder that keeps what it was given."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, latent, mask=None):
        self.latent = latent
        return self.decoder(latent, mask)


def test_questions_that_have_no_answer_are_refused():
    model, grouped = (AuxiliaryTaskVAE((8, 8), **SMALL, **more) for more in ({}, {"transform": None, "clusters": 4}))
    x = torch.rand(3, 8, 8)
    with pytest.raises(ShapeError, match="as many items for lost as for kept, got"):
        model.compose(lost=x, kept=x[:2])
    with pytest.raises(ConfigurationError, match="give items to take something from"):
        model.compose()
    for refused in (model, AuxiliaryTaskVAE((8, 8), clusters=4, **SMALL)):
        with pytest.raises(ConfigurationError, match="leave lost out, and build the model with clusters"):
            refused.compose(lost=x, code=1)
    with pytest.raises(ConfigurationError, match="without a transform nothing is kept"):
        grouped.compose(lost=x)
    with pytest.raises(ConfigurationError, match="this model has no clusters"):
        model.classify(x)
    assert grouped.classify(x).shape == (3, 4) and grouped.sample(n=5, code=2).shape == (5, 8, 8)


@pytest.mark.usefixtures("single")
def test_it_trains_is_saved_and_read_back(tmp_path):
    table = FactorTable(torch.rand(40, 3, 8, 8))
    quick = {"steps": 2, "sets": {"batch": 8}, "enable_progress_bar": False}
    model = AuxiliaryTaskVAE.for_data(table, transform={"class": "PatchShuffle", "side": 2}, clusters=3, **SMALL)
    fit(model, table, **quick)
    with pytest.raises(DataError, match="'cluster' has 3 values, but there are 2 items to learn from"):
        fit(model, table[:2], **quick)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert torch.equal(again.reconstruct(table.x()), model.eval().reconstruct(table.x()))
    own = AuxiliaryTaskVAE.for_data(table, transform=lambda x: x.flip(-1), **SMALL)
    fit(own, table, **quick)
    with pytest.raises(CheckpointError, match="its argument 'transform' cannot be written"):
        own.save_pretrained(tmp_path)
