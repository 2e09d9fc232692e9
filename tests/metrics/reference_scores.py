"""Write `reference_scores.json`: what `disentanglement_lib`'s own functions say of noisy codes drawn from seeds.

    git clone --depth 1 https://github.com/google-research/disentanglement_lib
    pip install absl-py six
    python tests/metrics/reference_scores.py disentanglement_lib

Gin, which only hands over settings, is replaced by those of the library's study; TensorFlow is not needed.
"""

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SEEDS = range(20)
ROWS = 640
"""Four levels of each of three factors, ten times each combination."""


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, 5]`, factors mixed by random weights of which half are 0, with noise; and factors `[n, 3]`."""
    random = np.random.default_rng(seed)
    factors = np.stack([grid.ravel() for grid in np.indices((4, 4, 4))], 1).repeat(10, 0)
    mixing = random.normal(size=(3, 5)) * (random.random((3, 5)) < 0.5)
    return factors @ mixing + random.uniform(0.1, 1.0) * random.normal(size=(ROWS, 5)), factors


class Rows:
    """The library's view of data: rows with given factors, whose observations are their codes."""

    def __init__(self, codes: np.ndarray, factors: np.ndarray):
        self.codes, self.num_factors, self.random = codes, factors.shape[1], np.random.RandomState(0)
        self.rows = {key: np.flatnonzero((factors == key).all(1)) for key in map(tuple, np.unique(factors, axis=0))}

    def sample_factors(self, count: int, random: Any) -> np.ndarray:
        return random.randint(0, 4, (count, self.num_factors))

    def sample_observations_from_factors(self, factors: np.ndarray, random: Any) -> np.ndarray:
        return self.codes[[random.choice(self.rows[tuple(row)]) for row in factors]]

    def sample_observations(self, count: int, random: Any) -> np.ndarray:
        return self.sample_observations_from_factors(self.sample_factors(count, random), random)


def load(folder: Path) -> dict[str, Any]:
    """The library's modules of metrics, without gin."""
    gin = types.ModuleType("gin")
    decorate = lambda *args, **kwargs: args[0] if args and callable(args[0]) else (lambda function: function)  # noqa: E731
    vars(gin).update(configurable=decorate, REQUIRED=None, tf=gin)
    sys.modules.update({"gin": gin, "gin.tf": gin})
    sys.path.insert(0, str(folder))
    from importlib import import_module

    names = ("utils", "mig", "dci", "sap_score", "modularity_explicitness", "irs", "beta_vae", "factor_vae")
    found = {name: import_module(f"disentanglement_lib.evaluation.metrics.{name}") for name in names}
    found["unsupervised"] = import_module("disentanglement_lib.evaluation.metrics.unsupervised_metrics")
    utils = found["utils"]
    utils.make_discretizer = lambda target: utils._histogram_discretize(target, 20)
    found["factor_vae"]._prune_dims.__defaults__ = (0.05,)
    return found


def score(lib: dict[str, Any], codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    """Every score, the rows to learn from and to be judged by as `coset.metrics` splits them."""
    from coset.metrics.scoring import split_rows

    x, v = codes.T, factors.T
    half, third = split_rows(len(codes), 0.5, 0), split_rows(len(codes), 1 / 3, 0)
    of = lambda rows: (x[:, rows[0]], v[:, rows[0]], x[:, rows[1]], v[:, rows[1]])  # noqa: E731
    told = lib["utils"].discrete_mutual_info(lib["utils"].make_discretizer(x), v)
    normal, mean, deviation = lib["utils"].normalize_data(x[:, third[0]])
    judged, _, _ = lib["utils"].normalize_data(x[:, third[1]], mean, deviation)
    areas = [
        lib["modularity_explicitness"].explicitness_per_factor(normal, one[third[0]], judged, one[third[1]])[1]
        for one in v
    ]
    np.random.seed(0)
    dci = lib["dci"]._compute_dci(*of(half))
    sampled: dict[str, Any] = {"batch_size": 64, "num_train": 2000, "num_eval": 1000}
    data, same = Rows(codes, factors), lambda rows: rows
    variance = {**sampled, "num_variance_estimate": 2000}
    return {
        "mig": lib["mig"]._compute_mig(x, v)["discrete_mig"],
        "modularity": lib["modularity_explicitness"].modularity(told),
        "sap": lib["sap_score"]._compute_sap(*of(third), False)["SAP_score"],
        "sap_continuous": lib["sap_score"]._compute_sap(*of(third), True)["SAP_score"],
        "explicitness": float(np.mean(areas)),
        "irs": lib["irs"].scalable_disentanglement_score(lib["utils"].make_discretizer(v).T, codes)["avg_score"],
        "gaussian_total_correlation": lib["unsupervised"].gaussian_total_correlation(np.cov(x)),
        "dci_disentanglement": dci["disentanglement"],
        "dci_completeness": dci["completeness"],
        "dci_informativeness": dci["informativeness_test"],
        "beta_vae": lib["beta_vae"].compute_beta_vae_sklearn(data, same, np.random.RandomState(0), **sampled)[
            "eval_accuracy"
        ],
        "factor_vae": lib["factor_vae"].compute_factor_vae(data, same, np.random.RandomState(0), **variance)[
            "eval_accuracy"
        ],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    library = load(Path(sys.argv[1]))
    found = [score(library, *draw(seed)) for seed in SEEDS]
    columns = {name: [round(float(one[name]), 9) for one in found] for name in found[0]}
    Path(__file__).with_suffix(".json").write_text(json.dumps(columns, indent=1) + "\n")
