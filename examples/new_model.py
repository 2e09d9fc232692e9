"""A model of one's own: factor analysis in which the items of a set share some factors and have others to themselves.

c ~ N(0, I) once a set, z ~ N(0, I) once an item, x ~ N(W c + V z + b, diag(s²)): its bound beside the exact evidence.

python examples/new_model.py --steps 800
"""

import argparse

import torch
from torch import nn
from torch.distributions import MultivariateNormal

import coset
from coset.distributions import standard_normal
from coset.models import Model
from coset.networks import GaussianHead, SetPosterior, build_likelihood
from coset.shapes import join, spread


class GroupedFactorAnalysis(Model):
    def __init__(self, item_shape, contexts=("context",), likelihood="gaussian", shared=2, own=2):
        super().__init__()
        self.item_shape, self.contexts, size = tuple(item_shape), list(contexts), item_shape[0]
        self.set_posterior = SetPosterior(size, 32, shared, kind="size", norm="none")
        self.item_posterior = GaussianHead(size + shared, None, own)  # linear
        self.shared, self.own = nn.Linear(shared, size), nn.Linear(own, size, bias=False)
        self.likelihood = build_likelihood(likelihood, self.item_shape)

    def infer(self, q, batch):
        c = q.sample("c", self.set_posterior(batch.x, batch.mask), axes="B")  # [B], event [shared]
        q.sample("z", self.item_posterior(join(batch.x, spread(c, batch.x.shape[-2]))), axes="BN")

    def generate(self, p, shape):
        zeros = self.own.weight.new_zeros  # where the parameters live, which may be a GPU
        c = p.sample("c", standard_normal(zeros(shape[0], self.shared.in_features)), axes="B")
        z = p.sample("z", standard_normal(zeros(*shape, self.own.in_features)), axes="BN")
        return p.sample("x", self.likelihood(spread(self.shared(c), shape[1]) + self.own(z)), axes="BN")

    def evidence(self, x):
        items, noise = x.shape[1], self.likelihood(x).variance[0, 0]
        own = torch.kron(torch.eye(items), self.own.weight @ self.own.weight.T + noise.diag())
        shared = torch.kron(torch.ones(items, items), self.shared.weight @ self.shared.weight.T)
        return MultivariateNormal(self.shared.bias.repeat(items), own + shared).log_prob(x.flatten(1))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=800)
options = parser.parse_args()

torch.manual_seed(0)
w, v = torch.randn(2, 2, 5)
x = torch.randn(300, 1, 2) @ w + torch.randn(300, 8, 2) @ v + 0.3 * torch.randn(300, 8, 5)  # 300 sets of 8 items
model = GroupedFactorAnalysis.for_data(list(x[:250]), likelihood="gaussian")
coset.fit(model, list(x[:250]), steps=options.steps, learning_rate=1e-2, enable_progress_bar=False)

with torch.no_grad():
    bound = coset.objectives.elbo(*model.trace(coset.SetBatch(x[250:]), particles=500)).value.mean()
    print(f"held-out sets: bound {bound:.2f} nats, exact log evidence {model.evidence(x[250:]).mean():.2f} nats")
