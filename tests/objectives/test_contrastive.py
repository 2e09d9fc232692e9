import itertools
import math

import pytest
import torch

from coset.data import SetBatch
from coset.errors import TraceError
from coset.models import VAE, ContextAwareLearner, NeuralStatistician
from coset.objectives import ContrastiveSetIdentification
from coset.objectives.contrastive import contrastive
from coset.programs import Programs


def close(left, right):
    torch.testing.assert_close(left, right, atol=1e-10, rtol=0)


def literal(linear, precision, mask, a):
    """The docstring of `contrastive`, item by item."""
    sets, items, contexts, dim = linear.shape

    def log_z(eta, tau):
        return sum(e**2 / (2 * (1 + t)) - math.log(1 + t) / 2 for e, t in zip(eta, tau, strict=True))

    def summed(b, k, without=None):
        chosen = [n for n in range(items) if mask[b, n] == 1 and n != without]
        return tuple([sum(float(part[b, n, k, d]) for n in chosen) for d in range(dim)] for part in (linear, precision))

    def score(b, n, k, candidate):
        eta, tau = linear[b, n, k].tolist(), precision[b, n, k].tolist()
        rest = summed(candidate, k, without=n if candidate == b else None)
        both = [[u + v for u, v in zip(mine, other, strict=True)] for mine, other in zip((eta, tau), rest, strict=True)]
        return log_z(*both) - log_z(eta, tau) - log_z(*rest)

    totals = []
    for b in range(sets):
        total = 0.0
        for n, k in itertools.product(range(items), range(contexts)):
            if mask[b, n] == 1 and a[b, k] == 1:
                odds = {other: math.exp(score(b, n, k, other)) for other in range(sets) if a[other, k] == 1}
                total -= math.log(odds[b] / sum(odds.values()))
        totals.append(total)
    return torch.tensor(totals)


def test_it_is_its_formula():
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    linear, precision = torch.randn(4, 3, 2, 3), 4 * torch.rand(4, 3, 2, 3)
    for a in ([[1, 0], [1, 1], [0, 1], [1, 0]], [[1, 0], [1, 0], [0, 0], [0, 0]], [[1, 1], [0, 0], [0, 0], [0, 0]]):
        a = torch.tensor(a, dtype=torch.float64)
        for present in (mask, torch.ones(4, 3)):
            found = contrastive(linear, precision, present, a)
            close(found, literal(linear, precision, present, a))
            assert (found >= 0).all()
        close(
            contrastive(linear, precision, None, a),
            literal(linear, precision, torch.ones(4, 3), a),
        )


def test_its_gradient_is_that_of_its_formula():
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    parts = torch.randn(4, 3, 2, 3).requires_grad_(), (4 * torch.rand(4, 3, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: contrastive(*given, mask, a), parts)


def test_it_is_lower_where_sets_agree():
    centres = torch.tensor([-6.0, -2.0, 2.0, 6.0]).view(4, 1, 1, 1).expand(4, 3, 1, 3)
    precision, a = torch.ones(4, 3, 1, 3), torch.ones(4, 1)
    agree = contrastive(centres, precision, None, a)
    shuffled = centres.transpose(0, 1).reshape(4, 3, 1, 3)
    differ = contrastive(shuffled, precision, None, a)
    assert agree.mean() < 0.5 < math.log(4) < differ.mean()


def test_padding_gets_no_gradient():
    linear, precision = torch.randn(2, 3, 2, 3), torch.rand(2, 3, 2, 3)
    precision[0, 2] = 50.0  # of padding, more precise than all of its set
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    linear.requires_grad_(), precision.requires_grad_()
    contrastive(linear, precision, mask, torch.ones(2, 2)).sum().backward()
    for part in (linear, precision):
        assert part.grad.isfinite().all() and not part.grad[0, 2].any() and part.grad[0, 1].any()


@pytest.mark.parametrize("build", [ContextAwareLearner, NeuralStatistician])
def test_models_note_what_their_items_contribute(build):
    """The posteriors of sets follow from the notes, so the penalty is that of these posteriors."""
    model = build((5,), ["digit"], context_dim=3, z_dim=2, features=6, hidden=7, norm="layer")
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    programs = Programs(model, SetBatch(torch.rand(3, 3, 5), torch.ones(3, 1), mask))
    q = programs.infer()
    linear, precision = ((q.noted[name] * mask[..., None, None]).sum(1)[:, 0] for name in ("linear", "precision"))
    posterior = model.set_codes(programs.batch, model.contexts)[:, 0] if build is NeuralStatistician else None
    expected = linear / (1 + precision)
    close(model.eval().embed_sets(programs.batch.x, mask) if posterior is None else posterior, expected)
    found = ContrastiveSetIdentification()(programs, q, programs.generate(q))["contrastive"]
    close(found, literal(q.noted["linear"].detach(), q.noted["precision"].detach(), mask, torch.ones(3, 1)))


def test_a_model_without_natural_parameters_is_refused():
    for model in (VAE((4,), z_dim=2, features=8), NeuralStatistician((4,), pooling="mean", features=8, hidden=8)):
        programs = Programs(model, SetBatch(torch.rand(3, 2, 4)))
        q = programs.infer()
        with pytest.raises(TraceError, match=r"notes .*'linear'"):
            ContrastiveSetIdentification()(programs, q, programs.generate(q))
