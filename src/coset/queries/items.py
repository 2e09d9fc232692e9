"""Questions to models of independent items."""

from typing import Any

import torch
from torch import Tensor

from coset.batch import SetBatch
from coset.errors import ConfigurationError, nearest
from coset.queries.base import Queries, inference


class ItemQueries(Queries):
    """Questions to a model of independent items."""

    @inference
    def reconstruct(self, items: Any, sample: bool = False) -> Tensor:
        """Items as the model sees them, `[n, *item_shape]`: decoded from the centres of posteriors, or from draws."""
        return torch.cat([self._decoded_again(x.unsqueeze(1), sample) for x in self.read_blocks(items)])[:, 0]

    def _decoded_again(self, x: Tensor, sample: bool) -> Tensor:
        return self.decode((len(x), 1), self.likelihood.sizes(x), self.encode(SetBatch(x), sample))

    @inference
    def sample(self, n: int = 8, temperature: float = 1.0, draw: bool = False, **given: Any) -> Tensor:
        """New items `[n, *item_shape]`.

        Args:
            n: how many.
            temperature: scales the spread of what items do not share.
            draw: return draws from p(x | …) rather than its mean.
            given: values of named variables, the words in `given`: a code of a class, or numbers; of all items or of
                each.

        Raises:
            ConfigurationError: A word that the model does not have, or a code beyond the site's values.
            ShapeError: Neither one value nor n of them.
        """
        for word in given:
            if word not in self.given:
                raise ConfigurationError(f"sample: nothing is called {word!r}; {nearest(word, self.given)}")
        known = {
            self.given[word]: self.read_value(self.given[word], value, n, word)
            for word, value in given.items()
            if value is not None
        }
        return self.decode((n, 1), observed=known, temperature=temperature, draw=draw)[:, 0]
