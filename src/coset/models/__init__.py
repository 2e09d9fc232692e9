"""Models: each a pair of probabilistic programs, `infer` and `generate`, one file a model."""

from typing import TYPE_CHECKING, Any

from coset.discovery import public

globals().update(public(__name__))  # a new file is exported without being listed

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
