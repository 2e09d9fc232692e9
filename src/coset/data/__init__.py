"""Data: tables of items with named factors, explicit sets, and batches of sets drawn from either."""

from coset.batch import SetBatch
from coset.data.collection import SetCollection, as_table_or_sets
from coset.data.combinations import hold_out_combinations
from coset.data.patterns import read_patterns
from coset.data.sampler import SetSampler
from coset.data.table import FactorTable

__all__ = [
    "FactorTable",
    "SetBatch",
    "SetCollection",
    "SetSampler",
    "as_table_or_sets",
    "hold_out_combinations",
    "read_patterns",
]
