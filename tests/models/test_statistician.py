import time

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from coset.data import FactorTable, SetBatch
from coset.distributions import linear_parameter, normal_from_natural
from coset.errors import ConfigurationError, DataError, ShapeError
from coset.models import VAE, NeuralStatistician
from coset.objectives import elbo
from coset.trace import Trace

POOLINGS = ["product", "size", "mean"]


def build(pooling="product", item_shape=(4,), **options):
    options = {"context_dim": 3, "z_dim": 2, "layers": 2, "features": 8, "hidden": 9, "channels": (2, 3)} | options
    model = NeuralStatistician(item_shape, pooling=pooling, **options)
    for name, buffer in model.named_buffers():  # batch norm as after training: no identity
        if name.endswith("running_mean"):
            buffer.normal_(std=0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def divergence(q, p):
    return kl_divergence(Normal(*q), Normal(*p)).sum(-1)


def parameters(distribution):
    return distribution.mean, distribution.stddev


@pytest.mark.parametrize("skips", [True, False])
def test_terms_are_those_of_the_thesis(skips):
    """Equations 5.4-5.7 and 5.10-5.13, set by set and item by item, for a set of three and a set of two."""
    for layers in (1, 3):
        model = build("size", layers=layers, skips=skips, likelihood="gaussian", norm="none").double()
        x, mask = torch.randn(2, 3, 4), torch.tensor([[1.0, 1, 1], [1, 1, 0]])
        q, p = model.trace(SetBatch(x, mask=mask))
        terms = elbo(q, p).terms
        for b, size in enumerate((3, 2)):
            features = model.encoder(x[b, :size])
            context = q["context"].value[b]
            posterior = parameters(model.context_posterior(features.unsqueeze(0), None))
            c_d = divergence(posterior, (torch.zeros(3), torch.ones(3))).squeeze()
            r_d, l_d = torch.zeros(()), [torch.zeros(())] * layers
            for n in range(size):
                above = context
                for layer in range(layers):
                    inferred = model.z_posteriors[layer](
                        torch.cat([features[n], context, *([above] if layer else [])]).unsqueeze(0)
                    )
                    prior = model.z_priors[layer](torch.cat([context, *([above] if layer else [])]).unsqueeze(0))
                    l_d[layer] = l_d[layer] + divergence(parameters(inferred), parameters(prior)).squeeze()
                    above = q[f"z.{layer + 1}"].value[b, n]
                values = [q[f"z.{layer + 1}"].value[b, n] for layer in range(layers)]
                decoded = model.decoder(torch.cat([context, *values] if skips else values[-1:]).unsqueeze(0))
                r_d = r_d + model.likelihood(decoded).log_prob(x[b, n]).squeeze()
            torch.testing.assert_close(terms["x"][b], r_d)
            torch.testing.assert_close(terms["context"][b], c_d)
            for layer in range(layers):
                torch.testing.assert_close(terms[f"z.{layer + 1}"][b], l_d[layer])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_order_and_padding_change_nothing(pooling):
    model = build(pooling).double()
    x, order = torch.rand(3, 6, 4), torch.randperm(6)
    torch.testing.assert_close(model.embed_sets(x), model.embed_sets(x[:, order]))
    padded, mask = torch.full((3, 9, 4), 0.5), torch.zeros(3, 9)
    padded[:, :6], mask[:, :6] = x, 1
    torch.testing.assert_close(model.embed_sets(x), model.embed_sets(padded, mask))
    listed = model.embed_sets([x[0], x[1, :2]])
    torch.testing.assert_close(listed, torch.stack([model.embed_sets(x[0]), model.embed_sets(x[1, :2])]))
    with pytest.raises(ShapeError, match="give no mask"):
        model.embed_sets([x[0], x[1, :2]], mask)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_posterior_narrows_as_the_set_grows(pooling):
    model = build(pooling).double()
    x = torch.rand(1, 7, 4)
    widths = [model.posterior(x.repeat(1, times, 1)).stddev for times in (1, 10, 100)]
    if pooling == "mean":  # the papers': the same items a hundred times over say no more than once
        torch.testing.assert_close(widths[0], widths[2])
    else:
        assert (widths[1] < widths[0]).all() and (widths[2] < widths[1]).all()
        # As the standard error of a mean does, once the items outweigh the prior.
        precision = [width.pow(-2) - 1 for width in widths]
        torch.testing.assert_close(precision[2], 100 * precision[0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_sets_of_one_and_of_ten_thousand(pooling):
    model = build(pooling)
    for items in (1, 10_000):
        codes = model.embed_sets(torch.rand(2, items, 4))
        assert codes.shape == (2, 3) and codes.isfinite().all()
    assert model.condition(torch.rand(1, 4), n=3).shape == (3, 4)


def slow_summary(model, x, keep):
    """One pass of the whole network for each candidate."""
    left = list(range(len(x)))
    whole = model.posterior(x)
    while len(left) > keep:
        losses = []
        for item in left:
            rest = model.posterior(x[[other for other in left if other != item]])
            losses.append(float(kl_divergence(whole, rest)))
        left.pop(min(range(len(left)), key=losses.__getitem__))
    return left


@pytest.mark.parametrize("pooling", POOLINGS)
def test_summary_is_that_of_one_pass_per_candidate(pooling):
    model = build(pooling, item_shape=(8, 8), architecture="dense").double()
    sets = torch.rand(2, 12, 8, 8)
    fast = model.summarise(sets, keep=4)
    for part, found in zip(sets, fast, strict=True):
        assert found.tolist() == slow_summary(model, part, keep=4)
        assert torch.equal(model.summarise(part, keep=4), found)


def test_summary_of_fifty_takes_no_pass_per_candidate():
    model = build("size").double()
    x = torch.rand(50, 4)
    started = time.perf_counter()
    fast = model.summarise(x, keep=6)
    between = time.perf_counter()
    assert fast.tolist() == slow_summary(model, x, keep=6)
    assert time.perf_counter() - between > 5 * (between - started)  # far more where items are images: see benchmarks


class Weights(torch.nn.Module):
    """Natural parameters for 0 whose precision is the item's first number."""

    def forward(self, x, mask=None):
        return torch.zeros_like(x[..., None, :3]), x[..., None, :1].expand(*x.shape[:-1], 1, 3)


def test_summary_keeps_what_says_most():
    model = build(architecture="none", features=4).double()
    model.context_posterior.natural = Weights()
    precision = torch.rand(20)
    x = precision.unsqueeze(1).expand(20, 4)
    assert model.summarise(x, keep=5).tolist() == precision.topk(5).indices.sort().values.tolist()


def test_compare_and_classify_are_divergences_of_contexts():
    model = build().double()
    sets = torch.rand(5, 3, 4)
    compared = model.compare(sets)
    torch.testing.assert_close(compared, compared.T)
    assert compared.diagonal().abs().max() < 1e-12 and compared.shape == (5, 5)
    posteriors = [model.posterior(part) for part in sets]
    expected = kl_divergence(posteriors[1], posteriors[3]) + kl_divergence(posteriors[3], posteriors[1])
    torch.testing.assert_close(compared[1, 3], expected.squeeze())
    queries = torch.rand(7, 4)
    found = model.classify(queries, sets)
    for query, label in zip(queries, found.tolist(), strict=True):
        losses = [float(kl_divergence(each, model.posterior(query.unsqueeze(0)))) for each in posteriors]
        assert losses[label] == min(losses)
    one_shot = torch.rand(4, 1, 4)
    assert model.classify(one_shot[:, 0], one_shot).tolist() == [0, 1, 2, 3]
    ragged = [sets[0], sets[1, :1], sets[2, :2]]
    assert model.classify(queries, ragged).shape == (7,)


def test_mixed_sizes_train_in_one_batch():
    model = build(layers=3).train()
    mask = torch.tensor([[1.0] * 6, [1.0] * 2 + [0.0] * 4])
    q, p = model.trace(SetBatch(torch.rand(2, 6, 4), mask=mask))
    elbo(q, p).value.sum().backward()
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)


def test_weights_of_a_group_reach_every_layer():
    bound = elbo(*build(layers=3).trace(SetBatch(torch.rand(2, 3, 4))))
    halved = bound.weighted({"z": 0.5, "z.2": 2.0})
    terms = bound.terms
    expected = terms["x"] - terms["context"] - 0.5 * (terms["z.1"] + terms["z.3"]) - 2 * terms["z.2"]
    torch.testing.assert_close(halved, expected)
    with pytest.raises(ConfigurationError, match="'y'"):
        bound.weighted({"y": 1.0})


def test_conditioning_replays_the_context():
    model = build().double()
    x = torch.rand(2, 5, 4)
    torch.manual_seed(0)
    drawn = model.condition(x, n=3)
    torch.manual_seed(0)
    p = Trace(replay={"context": model.embed_sets(x)})
    model.generate(p, (2, 3))
    torch.testing.assert_close(drawn, p["x"].distribution.mean)
    assert torch.equal(model.condition(x, n=2, temperature=0.0), model.condition(x, n=2, temperature=0.0))
    torch.manual_seed(0)
    torch.testing.assert_close(model.compose(context=x, n=3), drawn)


def test_bad_input_is_refused():
    with pytest.raises(ConfigurationError, match="has one, got"):
        build(contexts=["digit", "rotation"])
    with pytest.raises(ConfigurationError, match=r"pooling: expected one of .*, got 'median'"):
        build("median")
    with pytest.raises(ConfigurationError, match="layers: expected a whole number from 1 up, got 0"):
        build(layers=0)
    model = build()
    with pytest.raises(ConfigurationError, match="keep: expected 1 to 5"):
        model.summarise(torch.rand(5, 4), keep=6)
    with pytest.raises(ShapeError, match="one size"):
        model.summarise([torch.rand(5, 4), torch.rand(3, 4)], keep=2)
    with pytest.raises(ShapeError, match="at least one item"):
        model.embed_sets(torch.rand(2, 0, 4))
    with pytest.raises(ShapeError, match=r"items of shape \[4\]"):
        model.embed_sets([torch.rand(3, 4), torch.rand(3, 5)])
    with pytest.raises(ConfigurationError, match="did you mean 'context'"):
        model.compose(contxt=torch.rand(3, 4))
    with pytest.raises(DataError, match="no factor 'digitt'"):
        NeuralStatistician.for_data(FactorTable(torch.rand(4, 4), digit=[0, 0, 1, 1]), contexts=["digitt"])


def test_autoencoder_of_the_thesis_and_its_codes():
    model = VAE((28, 28), z_dim=2, architecture="plain", features=200, channels=[500]).double()
    sizes = [(part.in_features, part.out_features) for part in model.modules() if isinstance(part, torch.nn.Linear)]
    assert sizes == [(784, 500), (500, 200), (200, 4), (2, 200), (200, 500), (500, 784)]
    grid = torch.randn(6, 2)
    assert model.decode_codes(grid).shape == (6, 28, 28)
    x = torch.rand(3, 28, 28)
    torch.testing.assert_close(model.decode_codes(model.embed(x)), model.reconstruct(x))
    assert not torch.equal(model.embed(x, sample=True), model.embed(x))
    with pytest.raises(ShapeError, match=r"codes \[n, 2\] with n of at least 1, got \[6, 3\]"):
        model.decode_codes(torch.randn(6, 3))


def test_a_gaussian_likelihood_begins_as_wide_as_it_is_told():
    model = NeuralStatistician((4,), likelihood="gaussian", architecture="none", hidden=6, context_dim=3, width=0.05)
    q = model.likelihood(torch.zeros(2, 4))
    torch.testing.assert_close(q.stddev, torch.full((2, 4), 0.05))
    with pytest.raises(ConfigurationError, match="width: expected a number above"):
        NeuralStatistician((4,), likelihood="gaussian", width=0.0)


def test_a_context_counts_in_proportion_to_the_root_of_its_precision():
    location = torch.tensor([2.0])
    for precision in (1e-4, 1.0, 100.0):
        posterior = normal_from_natural(linear_parameter(location, torch.tensor(precision)), torch.tensor([precision]))
        torch.testing.assert_close(posterior.mean / posterior.stddev, location * precision**0.5)


def test_a_set_always_holds_its_context():
    model, x = build(contexts=["kind"]), torch.rand(2, 3, 4)
    assert torch.equal(model.reconstruct(x, "kind"), model.reconstruct(x))
    for ask in (lambda: model.sample(constant=[]), lambda: model.condition(x, constant=[])):
        with pytest.raises(ConfigurationError, match="always holds 'kind' constant"):
            ask()
