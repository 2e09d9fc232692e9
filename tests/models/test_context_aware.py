import itertools
import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import kl_divergence

from coset.data import FactorTable, SetBatch, SetCollection
from coset.errors import CheckpointError, ConfigurationError, DataError, ShapeError
from coset.models import ContextAwareLearner, load
from coset.objectives import EvidenceLowerBound, elbo
from coset.programs import Programs, evaluating, fixed
from coset.trace import Trace
from coset.training import default_objective

NAMES = ["digit", "rotation", "colour"]
POOLINGS = ["product", "mean"]


def build(pooling="product", contexts=2, item_shape=(5,), **options):
    options = {"context_dim": 3, "z_dim": 2, "features": 6, "hidden": 7, "channels": (2, 3)} | options
    model = ContextAwareLearner(item_shape, NAMES[:contexts], pooling=pooling, **options)
    for name, buffer in model.named_buffers():  # batch norm as after training: no identity
        if name.endswith("running_mean"):
            buffer.normal_(std=0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def random_sets(contexts=2, sets=4, items=3, item_shape=(5,)):
    """Sets with every pattern of constant contexts, one shorter than the others."""
    patterns = list(itertools.product([1.0, 0.0], repeat=contexts))
    a = torch.tensor([patterns[b % len(patterns)] for b in range(sets)])
    mask = torch.ones(sets, items)
    mask[0, -1] = mask[-1, 1:] = 0
    return SetBatch(torch.rand(sets, items, *item_shape), a, mask)


def terms_at_the_mean(model, batch):
    """The terms of the bound without sampling noise."""
    known = {} if batch.constant is None else {"a": batch.constant}
    q = Trace(observed=known, mask=batch.mask, temperature=0.0)
    model.infer(q, batch)
    p = Trace(observed={"x": batch.x}, replay=q, mask=batch.mask)
    model.generate(p, batch.shape)
    return elbo(q, p).terms


def close(left, right):
    torch.testing.assert_close(left, right, atol=1e-10, rtol=0)


# --- the five terms, written out as in the thesis -----------------------------------------------------------


def gaussian(raw):
    """Mean and standard deviation from what a network gives, as two lists."""
    mean, raw_scale = raw.chunk(2, -1)
    return mean, F.softplus(raw_scale + math.log(math.exp(1 - 1e-3) - 1)) + 1e-3


def divergence(q, p):
    """Thesis A.3 for diagonal covariances, dimension by dimension."""
    total = 0.0
    for m1, s1, m2, s2 in zip(*(part.flatten().tolist() for part in (*q, *p)), strict=True):
        total += 0.5 * ((m1 - m2) ** 2 / s2**2 + s1**2 / s2**2 - 1 + math.log(s2**2 / s1**2))
    return total


def kth(pair, k, contexts):
    """The k-th of K Gaussians that one network gives."""
    return tuple(part.view(contexts, -1)[k] for part in pair)


def literal_posteriors_and_priors(model, pooling, features, a, constant):
    """q(c_k | a, D), p(c_k | a), and for each item q(c_k | c_Ac, a, x), p(c_k | c_Ac, a): functions of k (and n)."""
    coding, contexts, dim = model.coding, len(a), constant.shape[-1]
    known = torch.cat([torch.cat([constant[k] if a[k] else torch.zeros(dim) for k in range(contexts)]), a])
    if pooling == "mean":
        pooled = sum(coding.pool.before(f) for f in features) / len(features)
        read = coding.pool.after(torch.cat([pooled, a]))
        return (
            lambda k: kth(gaussian(coding.constant.network(read)), k, contexts),
            lambda k: kth(gaussian(coding.constant_prior.network(a)), k, contexts),
            lambda k, n: kth(gaussian(coding.varying.network(torch.cat([features[n], known]))), k, contexts),
            lambda k, n: kth(gaussian(coding.varying_prior.network(known)), k, contexts),
        )

    def evidence(n, k):
        location, raw = (part.view(contexts, -1)[k] for part in coding.natural.network(features[n]).chunk(2))
        precision = torch.log1p(raw.exp()) + 1e-6
        return location * (precision * (1 + precision)).sqrt(), precision

    def posterior(k, items):
        pull, precision = torch.zeros(dim), torch.ones(dim)
        for n in items:
            pull, precision = pull + evidence(n, k)[0], precision + evidence(n, k)[1]
        return pull / precision, precision**-0.5

    return (
        lambda k: posterior(k, range(len(features))),
        lambda k: (torch.zeros(dim), torch.ones(dim)),
        lambda k, n: posterior(k, [n]),
        lambda k, n: (torch.zeros(dim), torch.ones(dim)),
    )


def literal_a(model, features):
    """A_D (6.10) against a uniform prior, outcome by outcome."""
    network = model.a_posterior
    if hasattr(network, "classes"):
        of_items = [network.classes(f).unflatten(-1, network.sizes).softmax(-1)[0] for f in features]  # first start
        of_set = (sum(of_items) / len(of_items)).tolist()
        mixed = [-sum(p * math.log(p) for p in of_context) for of_context in of_set]
        usual, whole = float(network.usual[0]), network.entropy[0].tolist()
        logits = [20 * (usual - within / among) for within, among in zip(mixed, whole, strict=True)]
    else:
        items = [network.before(f) for f in features]
        mean = sum(items) / len(items)
        spread = (sum((item - mean) ** 2 for item in items) / len(items) + 1e-6).sqrt()
        logits = network.after(torch.cat([mean, spread])).tolist()
    if model.infer_a == "any":
        q = [1 / (1 + math.exp(-logit)) for logit in logits]
        return sum(p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)) for p in q)
    total = sum(math.exp(logit) for logit in logits)
    return sum(math.exp(logit) / total * math.log(len(logits) * math.exp(logit) / total) for logit in logits)


@torch.no_grad()
def literal_terms(model, pooling, batch, values):
    """Equations 6.6 to 6.10 for every set: sums over items and contexts, one number at a time."""
    found = {name: [] for name in ("a", "context.constant", "context.varying", "z", "x")}
    for b in range(len(batch)):
        present = [n for n in range(batch.shape[1]) if batch.mask[b, n] == 1]
        a, constant = values["a"][b], values["context.constant"][b]
        varying, z = values["context.varying"][b], values["z"][b]
        features = [model.encoder(batch.x[b, n]) for n in present]
        q_c, p_c, q_v, p_v = literal_posteriors_and_priors(model, pooling, features, a, constant)
        reconstruction = z_cost = varying_cost = constant_cost = 0.0
        for k in range(len(a)):
            if a[k] == 1:
                constant_cost += divergence(q_c(k), p_c(k))
        for position, n in enumerate(present):
            for k in range(len(a)):
                if a[k] == 0:
                    varying_cost += divergence(q_v(k, position), p_v(k, position))
            c = torch.cat([constant[k] if a[k] == 1 else varying[n, k] for k in range(len(a))])
            q_z = gaussian(model.z_posterior.network(torch.cat([features[position], c])))
            z_cost += divergence(q_z, gaussian(model.z_prior.network(c)))
            logits = model.decoder(torch.cat([c, z[n]]))
            for intensity, logit in zip(batch.x[b, n].flatten().tolist(), logits.flatten().tolist(), strict=True):
                p = 1 / (1 + math.exp(-logit))
                reconstruction += intensity * math.log(p) + (1 - intensity) * math.log(1 - p)
        found["x"].append(reconstruction)
        found["z"].append(z_cost)
        found["context.varying"].append(varying_cost)
        found["context.constant"].append(constant_cost)
        found["a"].append(0.0 if model.infer_a is None else literal_a(model, features))
    return {name: torch.tensor(numbers) for name, numbers in found.items()}


@pytest.mark.parametrize("infer_a", [None, "any", "exactly-one"])
@pytest.mark.parametrize("contexts", [1, 2, 3])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_terms_are_the_sums_of_the_thesis(pooling, contexts, infer_a):
    model, batch = build(pooling, contexts, infer_a=infer_a), random_sets(contexts, sets=5)
    if infer_a is not None:
        batch = SetBatch(batch.x, mask=batch.mask)
    q, p = model.trace(batch)
    bound = elbo(q, p)
    expected = literal_terms(model, pooling, batch, q.values())
    assert set(bound.terms) == set(expected) and bound.gains == {"x"}
    for name, term in bound.terms.items():
        close(term, expected[name])
    close(bound.value, expected["x"] - sum(expected[name] for name in expected if name != "x"))


# --- sets have no order, and padding is nothing -------------------------------------------------------------


@pytest.mark.parametrize("infer_a", [None, "any"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_order_and_padding_change_nothing(pooling, infer_a):
    model, batch = build(pooling, infer_a=infer_a), random_sets()
    constant = batch.constant if infer_a is None else None
    first = terms_at_the_mean(model, SetBatch(batch.x, constant, batch.mask))
    order = torch.tensor([2, 0, 1])
    padding = torch.rand(4, 2, 5)
    variants = [
        (batch.x[:, order], batch.mask[:, order]),
        (torch.cat([padding, batch.x], 1), torch.cat([torch.zeros(4, 2), batch.mask], 1)),
        (torch.where(batch.mask[..., None] > 0, batch.x, 0.77), batch.mask),
    ]
    for x, mask in variants:
        again = terms_at_the_mean(model, SetBatch(x, constant, mask))
        for name in first:
            close(again[name], first[name])
        close(model.embed_sets(x, mask), model.embed_sets(batch.x, batch.mask))
        if infer_a is not None:
            close(model.infer_constant(x, mask), model.infer_constant(batch.x, batch.mask))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_set_is_scored_as_it_would_be_alone(pooling):
    model, batch = build(pooling), random_sets()
    q, p = model.trace(batch)
    together = elbo(q, p).terms
    for b in range(len(batch)):
        present = batch.mask[b] > 0
        alone = SetBatch(batch.x[b : b + 1, present], batch.constant[b : b + 1])
        values = {
            name: value[b : b + 1][:, present] if name in ("z", "context.varying") else value[b : b + 1]
            for name, value in q.values().items()
        }
        mine = Trace(observed={"a": alone.constant}, replay=values)
        model.infer(mine, alone)
        score = Trace(observed={"x": alone.x}, replay=mine)
        model.generate(score, alone.shape)
        for name, term in elbo(mine, score).terms.items():
            close(term[0], together[name][b])


# --- tied contexts ------------------------------------------------------------------------------------------


def test_a_set_of_one_item_has_the_varying_posterior_of_that_item():
    model = build("product")
    encoded = model.coding.encode(model.encoder(torch.rand(4, 1, 5)))
    a = torch.ones(4, 2)
    constant = model.coding.constant_posterior(encoded, None, a)
    varying = model.coding.varying_posterior(encoded, constant.mean, a)
    close(constant.mean, varying.mean[:, 0])
    close(constant.stddev, varying.stddev[:, 0])


def test_width_shrinks_with_every_item():
    model = build("product")
    encoded = model.coding.encode(model.encoder(torch.rand(3, 6, 5)))
    widths = [
        model.coding.constant_posterior(tuple(part[:, :n] for part in encoded), None, torch.ones(3, 2)).stddev
        for n in range(1, 7)
    ]
    for wider, narrower in itertools.pairwise(widths):
        assert (narrower < wider).all()
    assert (widths[0] < 1).all()


def test_modes_and_gradients_are_restored():
    model = build("product").train()
    model.decoder.eval()
    model.z_prior.requires_grad_(False)
    modes = {name: part.training for name, part in model.named_modules()}
    needs = {name: part.requires_grad for name, part in model.named_parameters()}
    with pytest.raises(RuntimeError), evaluating(model), fixed(model), evaluating(model.encoder):
        assert not any(part.training for part in model.modules())
        assert not any(part.requires_grad for part in model.parameters())
        raise RuntimeError
    assert modes == {name: part.training for name, part in model.named_modules()}
    assert needs == {name: part.requires_grad for name, part in model.named_parameters()}


# --- training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("infer_a", [None, "any", "exactly-one"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradient_reaches_every_parameter(pooling, infer_a):
    model, batch = build(pooling, norm="none", infer_a=infer_a).train(), random_sets(sets=16)
    batch = batch if infer_a is None else SetBatch(batch.x, mask=batch.mask)
    bound = default_objective(model)(Programs(model, batch, progress=0.5))
    (-bound.weighted({})).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_an_inferred_a_learns_from_what_it_leaves_out():
    """d/da_k of Σ_k a_k C_k + (1 − a_k) V_k is C_k − V_k, whichever way the hard a fell."""
    model = build("product", infer_a="any")
    batch = SetBatch(torch.rand(6, 3, 5))
    a = torch.randint(0, 2, (6, 2)).double().requires_grad_()
    q = Trace(observed={"a": a}, temperature=0.0)
    model.infer(q, batch)
    p = Trace(observed={"x": batch.x}, replay=q)
    model.generate(p, batch.shape)
    terms = elbo(q, p).terms
    cost = (terms["context.constant"] + terms["context.varying"]).sum()
    constant, varying = (kl_divergence(q[n].distribution, p[n].distribution) for n in terms if n.startswith("context"))
    close(torch.autograd.grad(cost, a)[0], constant - varying.sum(1))


@pytest.mark.parametrize(("form", "values"), [("any", 4), ("exactly-one", 2)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_objective_may_enumerate_a(pooling, form, values):
    """The bound is the average over all a of the bounds given each, less the divergence of a."""
    model, batch = build(pooling, infer_a=form), random_sets(sets=5)
    unknown = SetBatch(batch.x, mask=batch.mask)
    programs = Programs(model, unknown)
    q = programs.infer(discrete={"a": "enumerate"}, temperature=0.0)
    assert q.particles == values == len(q["a"].value.unique(dim=0))
    found = elbo(q, programs.generate(q)).terms
    probability = q["a"].weight  # [S, B]
    torch.testing.assert_close(probability.sum(0), torch.ones(5))
    for name in ("context.constant", "context.varying", "z", "x"):
        expected = torch.zeros(5)
        for s, a in enumerate(q["a"].value):
            given = programs.infer(observed={"a": a}, temperature=0.0)
            expected += probability[s] * elbo(given, programs.generate(given)).terms[name]
        close(found[name], expected)
    close(found["a"], kl_divergence(q["a"].distribution, model._a_prior(5)))
    bound = EvidenceLowerBound(discrete={"a": "enumerate"})(programs)
    for gradient in torch.autograd.grad(bound.value.sum(), list(model.a_posterior.parameters())):
        assert gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize("form", ["any", "exactly-one"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_may_be_known_of_some_sets(pooling, form):
    """Sets of which it is known count as if all were known, all others as if none was."""
    model, batch = build(pooling, infer_a=form), random_sets(sets=4)
    constant = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 2)
    some = constant.clone()
    some[1:3] = torch.nan
    terms = {}
    for name, given in (("all", constant), ("some", some), ("none", None)):
        programs = Programs(model, SetBatch(batch.x, given, batch.mask))
        q = programs.infer(temperature=0.0)
        terms[name] = elbo(q, programs.generate(q)).terms
    for name, term in terms["some"].items():
        known, unknown = terms["all"].get(name, torch.zeros(4)), terms["none"][name]
        close(term, torch.stack([known[0], unknown[1], unknown[2], known[3]]))
    with pytest.raises(DataError, match=r"2 of 4 sets come without what they hold constant.*infer_a"):
        Programs(build(pooling), SetBatch(batch.x, some, batch.mask)).infer()


def test_an_unknown_a_is_relaxed_ever_less_over_training():
    model = build(infer_a="any")
    seen = []
    original = Programs.infer
    for progress in (0.0, 0.5, 1.0):
        programs = Programs(model, SetBatch(torch.rand(3, 2, 5)), progress=progress)
        objective = default_objective(model).eval()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Programs, "infer", lambda self, **how: seen.append(how) or original(self, **how))
            objective(programs)
    assert [how["relaxation"] for how in seen] == [1.0, 0.75, 0.5] and seen[0]["discrete"] == {"a": "straight-through"}


# --- reading sets and items ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (28, 28), (3, 16, 16), (9, 9), (8, 8)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_shapes_of_all_that_users_ask_for(pooling, shape):
    model = build(pooling, item_shape=shape, infer_a="any")
    sets, one = torch.rand(2, 3, *shape), torch.rand(4, *shape)
    assert model.embed(one).shape == (4, 2 * 3 + 2)
    assert model.embed_sets(sets).shape == (2, 2, 3) and model.embed_sets(one).shape == (2, 3)
    assert model.infer_constant(sets).shape == (2, 2) and model.infer_constant(one).shape == (2,)
    assert model.reconstruct(sets, "digit").shape == sets.shape and model.reconstruct(one).shape == one.shape
    assert model.sample().shape == (8, *shape) and model.sample(3, sets=2, draw=True).shape == (2, 3, *shape)
    assert model.condition(sets, n=5).shape == (2, 5, *shape) and model.condition(one, n=5).shape == (5, *shape)
    assert model.compose(digit=sets, rotation=one, n=5).shape == (2, 5, *shape)
    assert model.compose(digit=one, rotation=one, n=5).shape == (5, *shape)
    assert model.compose(digit=one[:1]).shape == (8, *shape)
    assert model.compose(digit=model.embed_sets(sets)[:, 0], codes=True, n=1).shape == (2, 1, *shape)


def test_a_single_context_has_no_axis_of_contexts():
    assert build(contexts=1).embed_sets(torch.rand(4, 3, 5)).shape == (4, 3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_list_of_sets_of_differing_lengths(pooling):
    model = build(pooling)
    sets = [torch.rand(n, 5) for n in (2, 4, 1)]
    close(model.embed_sets(sets), torch.stack([model.embed_sets(items) for items in sets]))
    assert model.condition(sets, n=5).shape == (3, 5, 5)
    assert model.compose(digit=sets, rotation=sets[0], n=2).shape == (3, 2, 5)
    arrays = [items.numpy() for items in sets]
    close(model.embed_sets(arrays), model.embed_sets(sets))


def test_bytes_are_intensities():
    model = build()
    items = np.random.default_rng(0).integers(0, 256, (4, 5), dtype=np.uint8)
    close(model.embed(items), model.embed(items / 255.0))
    close(model.embed(torch.from_numpy(items)), model.embed(items))


def test_arrays_of_any_layout_and_nested_lists():
    model = build(item_shape=(8, 8), architecture="dense")
    array = np.random.default_rng(0).random((4, 8, 8))
    for view in (array[:, ::-1], array.transpose(0, 2, 1)):
        expected = model.embed(view.copy())
        close(model.embed(view), expected)
        close(model.embed(view.tolist()), expected)
    transposed = torch.from_numpy(array).transpose(1, 2)
    close(model.embed(transposed), model.embed(transposed.contiguous()))


def test_embedding_is_repeatable_unless_sampled():
    model, items = build(), torch.rand(3, 4, 5)
    assert torch.equal(model.embed(items[0]), model.embed(items[0]))
    assert torch.equal(model.embed_sets(items), model.embed_sets(items))
    assert not torch.equal(model.embed(items[0], sample=True), model.embed(items[0], sample=True))
    assert not torch.equal(model.embed_sets(items, sample=True), model.embed_sets(items, sample=True))


def test_nothing_that_users_call_changes_the_mode_or_leaves_a_graph():
    model = build(infer_a="any").train()
    running = {name: value.clone() for name, value in model.named_buffers()}
    x = torch.rand(2, 3, 5)
    results = [
        model.sample(),
        model.embed(x[0]),
        model.embed_sets(x),
        model.infer_constant(x),
        model.reconstruct(x),
        model.condition(x),
        model.compose(digit=x),
    ]
    assert all(part.training for part in model.modules())
    assert not any(result.requires_grad for result in results)
    for name, value in model.named_buffers():
        assert torch.equal(value, running[name]), name


# --- generating ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("a", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
def test_samples_for_any_pattern(pooling, a):
    model = build(pooling)
    drawn = model.sample(n=4, constant=torch.tensor([a]), sets=3, draw=True)
    assert drawn.shape == (3, 4, 5) and drawn.unique().tolist() == [0.0, 1.0]
    names = [name for name, flag in zip(model.contexts, a, strict=True) if flag]
    torch.manual_seed(1)
    by_name = model.sample(n=4, constant=names, sets=3)
    torch.manual_seed(1)
    assert torch.equal(model.sample(n=4, constant=[a] * 3, sets=3), by_name)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_all_contexts_constant_and_no_spread_make_a_set_of_equal_items(pooling):
    out = build(pooling).sample(n=4, constant=NAMES[:2], temperature=0.0)
    close(out, out[:1].expand(4, -1))
    free = build(pooling).sample(n=4, constant=[], temperature=0.0)
    assert not torch.allclose(free, free[:1].expand(4, -1))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_composing_one_set_with_itself_is_conditioning_on_it(pooling):
    model, x = build(pooling), torch.rand(3, 4, 5)
    torch.manual_seed(3)
    composed = model.compose(digit=x, rotation=x, n=5)
    torch.manual_seed(3)
    close(model.condition(x, ["digit", "rotation"], n=5), composed)
    torch.manual_seed(3)
    codes = model.embed_sets(x)
    close(model.compose(digit=codes[:, 0], rotation=codes[:, 1], codes=True, n=5), composed)
    torch.manual_seed(3)
    only = model.compose(rotation=x, n=5)
    torch.manual_seed(3)
    close(model.condition(x, "rotation", n=5), only)
    assert not torch.allclose(only, composed)


def test_reconstruction_reads_every_item_where_nothing_is_constant():
    model, x = build("product"), torch.rand(2, 3, 5)
    close(model.reconstruct(x), model.reconstruct(x.flip(1)).flip(1))
    assert not torch.allclose(model.reconstruct(x), model.reconstruct(x, ["digit", "rotation"]))


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (DataError, "NaN", lambda m: m.embed(torch.full((2, 5), math.nan))),
        (DataError, "infinity", lambda m: m.embed(torch.full((2, 5), math.inf))),
        (DataError, r"\[0, 1\].*got \[-1, 1\]", lambda m: m.embed(torch.tensor([[-1.0, 0, 0, 0, 1]]))),
        (DataError, "array of numbers", lambda m: m.embed([[0.0] * 5, [0.0] * 4])),
        (DataError, "array of numbers", lambda m: m.embed(["text"])),
        (ShapeError, r"shape \[5\], got .*\[2, 6\]", lambda m: m.embed(torch.rand(2, 6))),
        (ShapeError, "at least one item", lambda m: m.embed_sets(torch.rand(2, 0, 5))),
        (ShapeError, "set 1 without any item", lambda m: m.embed_sets([torch.rand(2, 5), torch.rand(0, 5)])),
        (
            ShapeError,
            "set 0 without any item",
            lambda m: m.embed_sets(torch.rand(2, 3, 5), torch.tensor([[0, 0, 0], [1, 1, 1]])),
        ),
        (ShapeError, "mask", lambda m: m.embed_sets(torch.rand(2, 3, 5), torch.ones(2, 4))),
        (ShapeError, "expected sets", lambda m: m.embed_sets(torch.rand(5))),
        (ConfigurationError, "did you mean 'rotation'", lambda m: m.sample(constant=["rotaton"])),
        (ConfigurationError, "did you mean 'digit'", lambda m: m.condition(torch.rand(3, 5), "digt")),
        (ConfigurationError, "did you mean 'digit'", lambda m: m.compose(digits=torch.rand(3, 5))),
        (ConfigurationError, "at least one context", lambda m: m.compose()),
        (DataError, "0 .varying. or 1", lambda m: m.sample(constant=[[0.5, 1.0]])),
        (DataError, "0 .varying. or 1", lambda m: m.sample(constant=torch.full((1, 2), math.nan))),
        (ShapeError, "constant", lambda m: m.sample(constant=[[1.0, 1.0, 1.0]])),
        (ShapeError, "constant", lambda m: m.sample(constant=torch.ones(3, 2), sets=2)),
        (
            ShapeError,
            "different numbers of sets.*'digit': 2",
            lambda m: m.compose(digit=torch.rand(2, 4, 5), rotation=torch.rand(3, 4, 5)),
        ),
        (ConfigurationError, "at least one", lambda m: m.sample(n=0)),
        (ConfigurationError, "at least one", lambda m: m.sample(sets=0)),
        (ConfigurationError, "at least one", lambda m: m.condition(torch.rand(3, 5), n=0)),
        (ConfigurationError, "temperature", lambda m: m.sample(temperature=-1.0)),
        (ConfigurationError, "temperature", lambda m: m.compose(digit=torch.rand(3, 5), temperature=-0.1)),
        (ConfigurationError, "infer_a", lambda m: m.infer_constant(torch.rand(3, 5))),
        (DataError, "infer_a", lambda m: m.trace(SetBatch(torch.rand(2, 3, 5)))),
    ],
)
def test_bad_input_is_refused_with_a_reason(error, message, call):
    with pytest.raises(error, match=message):
        call(build())


@pytest.mark.parametrize(
    ("shape", "wrong"), [((3, 16, 16), (16, 16, 3)), ((3, 16, 16), (1, 16, 16)), ((28, 28), (32, 32))]
)
def test_images_of_another_shape_are_refused(shape, wrong):
    with pytest.raises(ShapeError, match="takes items of shape"):
        build(item_shape=shape).embed(torch.rand(2, *wrong))


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "max"},
        {"infer_a": "one"},
        {"z_dim": 0},
        {"likelihood": "binomial"},
        {"norm": "group"},
        {"architecture": "convolutional"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigurationError):
        build(**options)


@pytest.mark.parametrize("contexts", [[], ["digit", "digit"], "digit"])
def test_contexts_have_names_of_their_own(contexts):
    with pytest.raises(ConfigurationError, match="contexts"):
        ContextAwareLearner((5,), contexts)


def test_a_gaussian_likelihood_takes_any_numbers():
    model = build(likelihood="gaussian")
    assert model.embed(10 * torch.randn(3, 5)).isfinite().all()
    assert model.condition(10 * torch.randn(3, 5), draw=True).isfinite().all()


# --- built for data -----------------------------------------------------------------------------------------

SMALL = {"context_dim": 3, "z_dim": 2, "features": 6, "hidden": 7}


def test_models_fit_the_data_they_are_built_for():
    table = FactorTable(torch.rand(6, 5), digit=[0, 1] * 3, rotation=[0, 0, 1] * 2)
    model = ContextAwareLearner.for_data(table, **SMALL)
    assert (model.item_shape, model.contexts, model.likelihood.kind) == ((5,), ["digit", "rotation"], "bernoulli")
    assert ContextAwareLearner.for_data(table, ["rotation"], **SMALL).contexts == ["rotation"]
    sets = [torch.randn(3, 5), torch.randn(2, 5)]
    for data in (sets, SetCollection(sets)):
        model = ContextAwareLearner.for_data(data, **SMALL)
        assert (model.item_shape, model.contexts, model.likelihood.kind) == ((5,), ["context"], "gaussian")
    picture = ContextAwareLearner.for_data([np.full((3, 5), 255, np.uint8)], **SMALL)
    assert picture.likelihood.kind == "bernoulli"


def test_models_refuse_data_that_does_not_fit():
    table = FactorTable(torch.randn(6, 5), digit=[0, 1] * 3)
    with pytest.raises(DataError, match="did you mean 'digit'"):
        ContextAwareLearner.for_data(table, ["digits"], **SMALL)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        ContextAwareLearner.for_data(table, likelihood="bernoulli", **SMALL)


# --- saving and loading -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    model = build("mean", infer_a="any", norm="layer")
    model.save_pretrained(tmp_path / "model")
    return model, tmp_path / "model"


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_saved_model_comes_back_the_same(pooling, likelihood, tmp_path):
    model = build(pooling, likelihood=likelihood, infer_a="exactly-one", item_shape=(8, 8))
    model.save_pretrained(tmp_path)
    again = load(tmp_path).eval()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".md") == [
        "config.json",
        "model.safetensors",
    ]
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(model.embed_sets(x), again.embed_sets(x))
    torch.manual_seed(1)
    first = model.condition(x, "digit")
    torch.manual_seed(1)
    assert torch.equal(again.condition(x, "digit"), first)
    assert (again.contexts, again.item_shape, again.infer_a) == (["digit", "rotation"], (8, 8), "exactly-one")


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("message", "damage"),
    [
        ("format 99", lambda f: rewrite(f / "config.json", '"format": 2', '"format": 99')),
        ("format None", lambda f: (f / "config.json").write_text("{}")),
        ("not JSON", lambda f: (f / "config.json").write_text("{")),
        ("did you mean 'ContextAwareLearner'", lambda f: rewrite(f / "config.json", "ContextAwareL", "ContextL")),
        ("unknown model None", lambda f: rewrite(f / "config.json", '"model":', '"other":')),
        ("cannot be read", lambda f: rewrite(f / "config.json", '"z_dim": 2', '"z_dim": 4')),
        ("cannot be read", lambda f: rewrite(f / "config.json", '"norm": "layer"', '"norm": "batch"')),
        ("cannot be read", lambda f: rewrite(f / "config.json", '"pooling": "mean"', '"pooling": "max"')),
        ("cannot be read", lambda f: (f / "model.safetensors").write_bytes(b"not weights")),
        (
            "cannot be read",
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-40]),
        ),
        ("no saved model", lambda f: (f / "model.safetensors").unlink()),
        ("no saved model", lambda f: shutil.rmtree(f)),
    ],
)
def test_what_is_not_a_saved_model_is_refused(message, damage, saved):
    _, folder = saved
    load(folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load(folder)
