import math

import pytest
import torch

from coset.distributions import normal_from_natural
from coset.errors import ConfigurationError
from coset.networks import (
    MLP,
    GaussianHead,
    ItemDecoder,
    ItemEncoder,
    NaturalHead,
    ResidualMLP,
    StatisticNetwork,
    build_likelihood,
)
from coset.networks.items import default_architecture


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (28, 28), (3, 16, 16), (1, 8, 13), (3, 11, 9)])
@pytest.mark.parametrize("architecture", ["convolutional", "dense"])
def test_decoder_gives_items_of_the_shape_that_the_encoder_takes(shape, architecture):
    encoder = ItemEncoder(shape, 6, architecture, channels=(2, 3, 4))
    decoder = ItemDecoder(6, shape, 7, architecture, channels=(2, 3, 4))
    features = encoder(torch.rand(2, 3, *shape))
    assert features.shape == (2, 3, 6) and decoder(features).shape == (2, 3, *shape)


@pytest.mark.parametrize(("shape", "architecture"), [((2, 29), None), ((12, 8), "series"), ((5, 9, 8), None)])
def test_series_and_pictures_of_any_channels_are_decoded_in_their_shape(shape, architecture):
    architecture = architecture or default_architecture(shape)
    encoder = ItemEncoder(shape, 6, architecture, channels=(2, 3, 4))
    decoder = ItemDecoder(6, shape, 7, architecture, channels=(2, 3, 4))
    features = encoder(torch.rand(2, 3, *shape))
    assert features.shape == (2, 3, 6) and decoder(features).shape == (2, 3, *shape)


def test_convolutions_of_a_series_see_neighbours_in_time_and_no_others():
    network = ItemEncoder((2, 40), 6, "series", channels=(3, 4), norm="none").network.layers[:-2].eval()  # [n, 4, 20]
    x = torch.rand(1, 2, 40, requires_grad=True)
    network(x)[0, :, 0].sum().backward()
    reached = x.grad[0].abs().sum(0) > 0
    assert reached[:9].sum() > 4 and not reached[9:].any()  # ± 3 steps before the stride, ± 5 after it


@pytest.mark.parametrize("architecture", ["convolutional", "dense"])
def test_each_item_is_encoded_and_decoded_by_itself(architecture):
    encoder = ItemEncoder((8, 8), 6, architecture, channels=(2, 3)).eval()
    decoder = ItemDecoder(6, (8, 8), 7, architecture, channels=(2, 3)).eval()
    x = torch.rand(2, 3, 8, 8)
    features = encoder(x)
    torch.testing.assert_close(encoder(x[1, 2]), features[1, 2], atol=1e-12, rtol=0)
    torch.testing.assert_close(decoder(features[1, 2]), decoder(features)[1, 2], atol=1e-12, rtol=0)


def test_images_that_are_transposed_in_memory_can_be_encoded():
    encoder = ItemEncoder((8, 8), 6, "dense").eval()
    x = torch.rand(2, 3, 8, 8).transpose(-1, -2)
    torch.testing.assert_close(encoder(x), encoder(x.contiguous()), atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(5,), (3, 3, 8, 8)])
def test_convolutions_refuse_what_is_no_image(shape):
    with pytest.raises(ConfigurationError, match="architecture='dense'"):
        ItemEncoder(shape, 6, "convolutional")


@pytest.mark.parametrize(("shape", "architecture"), [((7, 9), "convolutional"), ((3, 7), "series")])
def test_convolutions_refuse_tiny_images(shape, architecture):
    with pytest.raises(ConfigurationError, match="8 or more"):
        ItemEncoder(shape, 6, architecture)


def test_a_vector_is_no_series_until_it_has_a_channel():
    with pytest.raises(ConfigurationError, match=r"items\[:, None\]"):
        ItemEncoder((30,), 6, "series")


@pytest.mark.parametrize(
    "build",
    [
        lambda: ItemEncoder((8, 8), 6, "conv"),
        lambda: MLP(2, 3, 4, norm="batchnorm"),
        lambda: build_likelihood("binomial", (4,)),
    ],
)
def test_unknown_options_are_refused(build):
    with pytest.raises(ConfigurationError, match=r"unknown|nothing is called"):
        build()


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_fully_connected_networks_act_on_the_last_axis(norm):
    for network in (MLP(4, 5, 6, norm).eval(), ResidualMLP(4, 6, norm=norm).eval()):
        flat = torch.randn(6, 4)
        assert network(flat).shape == (6, 6)
    mlp = MLP(4, 5, 6, norm).eval()
    torch.testing.assert_close(mlp(flat.view(2, 3, 4)).view(6, 6), mlp(flat), atol=1e-12, rtol=0)


def test_layer_norm_does_not_look_across_items():
    network = ItemEncoder((8, 8), 6, "convolutional", channels=(2, 3), norm="layer").train()
    x = torch.rand(4, 8, 8)
    torch.testing.assert_close(network(x)[:1], network(x[:1]), atol=1e-12, rtol=0)


def test_a_head_gives_many_gaussians_at_once():
    several = GaussianHead(4, 5, dim=3, count=2)(torch.randn(6, 7, 4))
    assert several.batch_shape == (6, 7, 2) and several.event_shape == (3,)
    assert GaussianHead(4, 5, dim=3)(torch.randn(6, 4)).batch_shape == (6,)


# --- pooling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dispersion", [False, True])
def test_pooling_knows_neither_order_nor_padding(dispersion):
    network = StatisticNetwork(4, 5, 3, norm="none", dispersion=dispersion)
    features = torch.randn(2, 3, 4)
    first = network(features, None)
    torch.testing.assert_close(network(features[:, [2, 0, 1]], None), first, atol=1e-12, rtol=0)
    padded = torch.cat([features, torch.full((2, 2, 4), torch.nan)], 1)
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]] * 2)
    torch.testing.assert_close(network(padded, mask), first, atol=1e-12, rtol=0)


def test_dispersion_tells_sets_that_agree_from_sets_that_do_not():
    network = StatisticNetwork(1, 5, 3, norm="none", dispersion=True)
    network.before = torch.nn.Identity()  # pools the features themselves
    network.after = torch.nn.Identity()
    agree, differ = torch.tensor([[2.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    pooled = network(torch.stack([agree, differ]), None)
    torch.testing.assert_close(pooled, torch.tensor([[2.0, 1e-3], [2.0, (1 + 1e-6) ** 0.5]]), atol=1e-12, rtol=0)


# --- natural parameters -----------------------------------------------------------------------------------------------


def test_the_posterior_of_a_set_is_the_product_of_its_items_with_the_prior_counted_once():
    linear, precision = NaturalHead(4, 5, dim=3, count=2, norm="none")(torch.randn(6, 4))  # 6 items
    assert linear.shape == (6, 2, 3) and precision.gt(0).all()
    points = torch.randn(5, 1, 2, 3)
    experts = normal_from_natural(linear, precision).log_prob(points).sum(1)  # [5, 2]
    # The product of six posteriors has counted the prior five times too often.
    prior = normal_from_natural(torch.zeros(2, 3), torch.zeros(2, 3)).log_prob(points[:, 0])
    gap = experts - 5 * prior - normal_from_natural(linear.sum(0), precision.sum(0)).log_prob(points[:, 0])
    torch.testing.assert_close(gap, gap[:1].expand(5, 2), atol=1e-9, rtol=0)


def test_no_item_is_the_prior():
    prior = normal_from_natural(torch.zeros(2, 3), torch.zeros(2, 3))
    assert not prior.mean.any() and prior.stddev.eq(1).all()


# --- likelihoods --------------------------------------------------------------------------------------------


def test_likelihoods_are_over_whole_items():
    for kind in ("bernoulli", "gaussian"):
        distribution = build_likelihood(kind, (2, 3))(torch.zeros(5, 2, 3))
        assert distribution.batch_shape == (5,) and distribution.event_shape == (2, 3)
    bernoulli = build_likelihood("bernoulli", (2, 3))(torch.zeros(5, 2, 3))
    torch.testing.assert_close(
        bernoulli.log_prob(torch.rand(5, 2, 3)), torch.full((5,), -6 * math.log(2)), atol=1e-12, rtol=0
    )


def test_the_width_of_a_gaussian_likelihood_is_learned():
    likelihood = build_likelihood("gaussian", (3,))
    (-likelihood(torch.zeros(4, 3)).log_prob(torch.zeros(4, 3)).sum()).backward()
    assert likelihood.raw_scale.grad.gt(0).all()  # there is nothing to explain: narrower is better
    assert list(build_likelihood("bernoulli", (3,)).parameters()) == []


def test_likelihoods_are_never_in_half_precision():
    half = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert build_likelihood("bernoulli", (3,))(half).mean.dtype == torch.float32
