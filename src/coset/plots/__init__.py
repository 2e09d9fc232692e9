"""Pictures: tensors in, matplotlib figures out. No global state; every function returns a figure for `save`."""

from typing import TYPE_CHECKING, Any

from coset.discovery import public

globals().update(public(__name__))  # a new file is exported without being listed

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
