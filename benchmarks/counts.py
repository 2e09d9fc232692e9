"""Held-out log-likelihood of counts: negative binomial, Gaussian on their logarithms, and scvi-tools' SCVI.

    pip install scvi-tools
    COSET_DATA=… python benchmarks/counts.py

Counts are drawn from a negative binomial model (cells of eight types, whose totals differ), and are the words of 20
Newsgroups by message. All models have one layer of the same width on each side and as many latent variables, see the
total of an item, and train by Adam for the same number of steps of the same size on the same items; `SCVI` trains by
`train`, with its defaults but for the divergence, which counts once from the beginning, and without dropout, as here.
Log-likelihoods are importance-sampled estimates for the same held-out items, with as many particles. What the Gaussian
says of the logarithm of a share is turned into probabilities of counts, those of the interval of ±1/2 about each, so
that all rows are log-probabilities of the same numbers. Without scvi-tools its rows are left out.
"""

import argparse
import importlib.util
import json
import logging
import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset import VAE, FactorTable, fit
from coset.batch import SetBatch
from coset.datasets.newsgroups import Newsgroups
from coset.metrics import log_likelihood

HIDDEN, LATENT, BATCH, RATE = 128, 10, 128, 1e-3
QUIET = {"enable_progress_bar": False}


def draw_cells(items: int = 4000, genes: int = 500, types: int = 8, seed: int = 0) -> tuple[FactorTable, FactorTable]:
    """Training and test counts from a negative binomial with θ of 2, whose shares depend on the type and a trend."""
    random = np.random.default_rng(seed)
    kind, trend = random.integers(0, types, items), random.normal(size=(items, 2))
    logits = random.normal(-1, 1.5, genes) + 0.7 * random.normal(size=(types, genes))[kind]
    logits = logits + 0.4 * trend @ random.normal(size=(2, genes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rates = random.lognormal(7.5, 0.5, (items, 1)) * shares
    table = FactorTable(random.poisson(rates * random.gamma(2.0, 0.5, rates.shape)).astype("float32"), kind=kind)
    return table.split(0.25, seed)


def train_ours(train: FactorTable, likelihood: str, steps: int, seed: int) -> tuple[VAE, float]:
    """A model, and the seconds that its training took."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {"architecture": "plain", "channels": [], "features": HIDDEN, "z_dim": LATENT}
    model = VAE.for_data(train, likelihood=likelihood, **options)
    started = time.perf_counter()
    fit(
        model,
        train,
        steps=steps,
        learning_rate=RATE,
        learning_rate_schedule="constant",
        sets={"batch": BATCH, "batches": len(train) // BATCH},
        seed=seed,
        **QUIET,
    )
    return model, time.perf_counter() - started


def log_shares(table: FactorTable, usual: float) -> FactorTable:
    """Counts as logarithms of shares, in counts per `usual` of them."""
    x = table.x().double()
    return FactorTable((usual * x / x.sum(1, keepdim=True)).log1p())


@torch.no_grad()
def probability_of_counts(model: VAE, table: FactorTable, usual: float, particles: int, seed: int) -> Tensor:
    """Log-probabilities of counts `[n]` by a Gaussian model of log-shares: of intervals of ±1/2 about each."""
    torch.manual_seed(seed)
    model.eval()
    found = []
    for counts in table.x().split(64):
        unit = usual / counts.sum(1, keepdim=True)
        low, high = ((unit * (counts + side)).clamp_min(-0.999).log1p() for side in (-0.5, 0.5))
        low = torch.where(counts == 0, -torch.inf, low)  # all below is nothing
        shown = SetBatch((unit * counts).log1p().unsqueeze(1))
        scores = []
        for _ in range(particles):
            q, p = model.trace(shown)
            of_x = p["x"].distribution
            assert of_x is not None
            normal: Any = of_x.base_dist  # type: ignore[attr-defined]
            # from the nearer side, where the difference of two numbers near 1 would be 0
            upper = low > normal.mean[:, 0]
            one, two = (
                normal.loc[:, 0] + (side - normal.loc[:, 0]) * torch.where(upper, -1, 1) for side in (low, high)
            )
            one, two = torch.where(upper, two, one), torch.where(upper, one, two)
            mass = (_cdf(two, normal) - _cdf(one, normal)).clamp_min(1e-30).log().sum(1)
            scores.append(mass + p["z"].log_prob - q["z"].log_prob)
        found.append(torch.stack(scores).logsumexp(0) - np.log(particles))
    return torch.cat(found)


def _cdf(x: Tensor, normal: Any) -> Tensor:
    return 0.5 * torch.special.erfc((normal.loc[:, 0] - x).double() / (normal.scale[:, 0] * 2**0.5))


def train_theirs(train: FactorTable, steps: int, seed: int) -> tuple[Any, float]:
    """SCVI, and the seconds that its training took."""
    import anndata
    import scvi  # pyright: ignore[reportMissingImports]

    scvi.settings.seed = seed
    scvi.settings.verbosity = logging.ERROR
    data = anndata.AnnData(train.x().numpy())
    scvi.model.SCVI.setup_anndata(data)
    network = {"n_hidden": HIDDEN, "n_latent": LATENT, "n_layers": 1, "dropout_rate": 0.0}
    model = scvi.model.SCVI(data, gene_likelihood="nb", **network)
    started = time.perf_counter()
    model.train(
        max_epochs=-(-steps * BATCH // len(train)),
        max_steps=steps,
        train_size=1.0,
        batch_size=BATCH,
        plan_kwargs={"lr": RATE, "n_epochs_kl_warmup": None, "n_steps_kl_warmup": None, "max_kl_weight": 1.0},
        accelerator="cpu",
        enable_checkpointing=False,
        logger=False,
        **QUIET,
    )
    return model, time.perf_counter() - started


def score_theirs(model: Any, test: FactorTable, particles: int) -> Tensor:
    """Importance-sampled log-likelihoods `[n]`, by its own estimate."""
    import anndata

    data = anndata.AnnData(test.x().numpy())
    found = model.get_marginal_ll(data, n_mc_samples=particles, n_mc_samples_per_pass=20, return_mean=False)
    return torch.as_tensor(np.asarray(found)).double()


def compare(train: FactorTable, test: FactorTable, steps: int, particles: int, seed: int) -> dict[str, Any]:
    """Log-likelihood of test items and throughput of each model."""
    model, seconds = train_ours(train, "negative-binomial", steps, seed)
    scores = {"negative binomial": log_likelihood(model, test.x(), particles, seed=seed).double()}
    rates = {"negative binomial": steps * BATCH / seconds}
    poisson, _ = train_ours(train, "poisson", steps, seed)
    scores["Poisson"] = log_likelihood(poisson, test.x(), particles, seed=seed).double()
    usual = float(train.x().sum(1).median())
    gaussian, _ = train_ours(log_shares(train, usual), "gaussian", steps, seed)
    scores["Gaussian on log shares"] = probability_of_counts(gaussian, test, usual, particles, seed).double()
    if importlib.util.find_spec("scvi"):
        theirs, seconds = train_theirs(train, steps, seed)
        scores["SCVI"] = score_theirs(theirs, test, particles)
        rates["SCVI"] = steps * BATCH / seconds
    ours = scores["negative binomial"]
    rows = {
        name: {
            "nats": float(score.mean()),
            "behind": float((ours - score).mean()),
            "standard_error": float((ours - score).std() / len(score) ** 0.5),
        }
        for name, score in scores.items()
    }
    return {"rows": rows, "items_per_second": rates}


def main() -> None:
    """Compare on both kinds of counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="of training, 128 items each")
    parser.add_argument("--particles", type=int, default=100, help="of the estimates")
    parser.add_argument("--test", type=int, default=500, help="held-out items of each kind at most")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    splits = Newsgroups(words=500).load_splits()
    kinds = {"drawn from a negative binomial": draw_cells(), "words of messages": (splits["train"], splits["test"])}
    results = {}
    for kind, (train, test) in kinds.items():
        few = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[: options.test]]
        results[kind] = found = compare(train, few, options.steps, options.particles, options.seed)
        if options.json:
            continue
        print(f"{kind}: {len(train)} training items, {len(few)} test items of {train.item_shape[0]} counts")
        for name, row in found["rows"].items():
            print(
                f"  {name:<24} {row['nats']:9.1f} nats   behind by {row['behind']:7.2f} ± {row['standard_error']:.2f}"
            )
        print(
            "  items a second: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in found["items_per_second"].items())
        )
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
