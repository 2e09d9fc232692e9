import torch
from torch.distributions import Independent, Normal

import coset
from coset.objectives import AggregatePosterior, elbo
from coset.programs import Programs


def test_the_aggregate_posterior_becomes_the_prior_of_contexts(tmp_path):
    model = coset.ContextAwareLearner(
        (6,), ["c0", "c1"], context_dim=3, z_dim=2, features=8, hidden=6, norm="layer"
    ).eval()
    data = coset.SetBatch(torch.rand(9, 4, 6), torch.tensor([[1.0, 0.0]] * 9), None)
    a = torch.ones(1, 2)
    assert isinstance(model.coding.constant_prior_given(a), Independent)  # N(0, I)
    AggregatePosterior("context.constant", "coding.prior").finish([Programs(model, data)])
    q, p = model.trace(data)
    posterior = q["context.constant"].distribution
    value = torch.randn(1, 2, 3)
    each = Normal(posterior.mean[:, 0], posterior.stddev[:, 0]).log_prob(value[0, 0]).sum(-1)
    counts = torch.bincount(torch.arange(256) % 9, minlength=9)  # 256 prototypes from nine sets
    prior = model.coding.constant_prior_given(a)
    torch.testing.assert_close(prior.log_prob(value)[0, 0], (each + (counts / 256).log()).logsumexp(0))
    torch.testing.assert_close(
        prior.log_prob(value)[0, 1], Normal(0.0, 1.0).log_prob(value[0, 1]).sum()
    )  # none held it
    assert elbo(q, p).value.isfinite().all() and model.sample(n=2, sets=3, constant=["c0"]).shape == (3, 2, 6)
    model.save_pretrained(tmp_path / "kept")
    varying = model.coding.varying_prior_given(value, a, items=5)
    assert varying.sample().shape == (1, 5, 2, 3) and not isinstance(varying, Independent)
    torch.testing.assert_close(varying.log_prob(value)[0, 3], prior.log_prob(value)[0])  # constant or not
    drawn = varying.sample(torch.Size([4000]))[:, 0, 0, 0]
    torch.testing.assert_close(drawn.mean(0), posterior.mean[:, 0].mean(0), atol=0.1, rtol=0)
    kept = coset.load(tmp_path / "kept").coding.constant_prior_given(a)
    torch.testing.assert_close(kept.log_prob(value), prior.log_prob(value), atol=1e-5, rtol=1e-5)  # saved in float32
    AggregatePosterior("context.constant", "coding.prior").bind(
        model, data_size=9
    )  # training begins against N(0, I) again
    assert isinstance(model.coding.constant_prior_given(a), Independent)


def test_samples_of_the_aggregate_are_nearer_to_what_sets_hold(single):
    kinds = torch.eye(4).repeat_interleave(50, 0)
    table = coset.FactorTable(
        (kinds + 0.05 * torch.rand(200, 4)).clamp(0, 1), kind=torch.arange(4).repeat_interleave(50)
    )
    model = coset.ContextAwareLearner.for_data(table, features=32, hidden=32, context_dim=4, z_dim=1)
    coset.fit(model, table, steps=150, sets={"batch": 16}, enable_progress_bar=False)
    assert bool(model.coding.prior.estimated)

    def sharpness():
        torch.manual_seed(1)
        return model.sample(n=4, sets=50, constant=["kind"]).max(-1).values.mean()

    estimated = sharpness()
    model.coding.prior.forget()
    assert estimated > sharpness()
