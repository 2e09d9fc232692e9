"""What users ask of a trained model, written once: embed, reconstruct, sample, condition, compose.

Every answer is a run of the model's own programs: of the inference program at the centres of its posteriors, and of the
generative program with other sites observed or replayed.
"""

from coset.queries.base import Queries, inference
from coset.queries.items import ItemQueries
from coset.queries.sets import SetQueries

__all__ = ["ItemQueries", "Queries", "SetQueries", "inference"]
