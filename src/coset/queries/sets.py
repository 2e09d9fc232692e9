"""Questions to models of sets: their contexts are read, held and exchanged."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coset.batch import SetBatch, as_tensor
from coset.errors import ConfigurationError, DataError, ShapeError, nearest
from coset.queries.base import Queries, inference
from coset.queries.completion import Completion, Way, complete_cells


class SetQueries(Queries):
    """Questions to a model of sets, whose contexts can be read, held and exchanged.

    Attributes:
        context_dim: C, dimensions of the code of a context.
        completion: how `complete` fills the empty cells of a table.
    """

    context_dim: int
    completion: Way = "composition"

    @abstractmethod
    def set_codes(self, batch: SetBatch, names: Sequence[str], sample: bool = False) -> Tensor:
        """Codes `[B, len(names), C]` of some contexts of sets, each as if it were what the set holds constant."""

    @abstractmethod
    def hold(self, a: Tensor, codes: Tensor | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What to observe and what to replay so that sets hold contexts constant.

        Args:
            a: which, `[B, K]`.
            codes: of these contexts, `[B, K, C]`; drawn where None.
        """

    @inference
    def embed_sets(self, x: Any, mask: Any = None, sample: bool = False) -> Tensor:
        """Codes of sets, one a context, as if that context were what the set holds constant.

        Args:
            x: `[B, N, *item_shape]`, or one set `[N, *item_shape]`; or a list of sets of differing lengths.
            mask: which items are present, `[B, N]`.
            sample: draw from the posterior of each context rather than take its mean.

        Returns:
            `[B, K, C]`, or `[B, C]` with a single context; without `B` for one set.
        """
        batch, single = self.read_sets(x, mask)
        codes = self.set_codes(batch, self.contexts, sample)
        codes = codes[:, 0] if len(self.contexts) == 1 else codes
        return codes[0] if single else codes

    @inference
    def reconstruct(self, x: Any, constant: Any = None, mask: Any = None, sample: bool = False) -> Tensor:
        """Items as the model sees them: decoded from their own codes, in the shape of `x`.

        Args:
            x: sets `[B, N, *item_shape]`, or one set.
            constant: names of the contexts that each set holds constant, or `a` itself `[B, K]`; none where None.
            mask: which items are present.
            sample: draw the codes rather than take their centres.
        """
        batch, single = self.read_sets(x, mask)
        a = self.read_constant([] if constant is None else constant, len(batch))
        shown = SetBatch(batch.x, a, batch.mask)
        out = self.decode(shown.shape, self.likelihood.sizes(shown.x), self.encode(shown, sample))
        return out[0] if single else out

    @inference
    def sample(
        self,
        n: int = 8,
        constant: Any = None,
        sets: int | None = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """New sets from the model, for any choice of constant contexts, also one that no training set had.

        Args:
            n: items in each set.
            constant: names of the constant contexts, or `a` `[sets, K]`; drawn from p(a) where None.
            sets: how many; None for one set without that axis.
            temperature: scales the spread of what items do not share.
            draw: return draws from p(x | …) rather than its mean.

        Returns:
            `[sets, n, *item_shape]`, or `[n, *item_shape]`.
        """
        count = 1 if sets is None else sets
        known = {} if constant is None else self.hold(self.read_constant(constant, count))[0]
        out = self.decode((count, n), known, temperature=temperature, draw=draw)
        return out[0] if sets is None else out

    @inference
    def condition(
        self,
        x: Any,
        constant: Any = None,
        n: int = 8,
        mask: Any = None,
        temperature: float = 1.0,
        draw: bool = False,
    ) -> Tensor:
        """New items that share with a set what it holds constant (thesis figure 6.4).

        Args:
            x: sets `[B, N, *item_shape]`, one set `[N, *item_shape]`, or a list of sets.
            constant: names of the contexts to keep, or `a` `[B, K]`; all of them where None.
            n: items to generate for each set.
            mask: which items are present, `[B, N]`.
            temperature: scales the spread of what items do not share.
            draw: return draws from p(x | …) rather than its mean.

        Returns:
            `[B, n, *item_shape]`, or `[n, *item_shape]` for one set.
        """
        batch, single = self.read_sets(x, mask)
        a = self.read_constant(self.contexts if constant is None else constant, len(batch))
        out = self.decode((len(batch), n), *self.hold(a, self.set_codes(batch, self.contexts)), temperature, draw)
        return out[0] if single else out

    @inference
    def compose(
        self,
        given: Mapping[str, Any] | None = None,
        /,
        *,
        n: int = 8,
        temperature: float = 1.0,
        draw: bool = False,
        codes: bool = False,
        **contexts: Any,
    ) -> Tensor:
        """New items with each context taken from a set of its own (thesis figure 6.7, paper figure 3).

        Args:
            given: contexts as a mapping, for names that are no keywords, or that are options of this method.
            n: items to generate for each combination.
            temperature: scales the spread of what items do not share: 1 is the model, less gives sharper and less
                diverse items.
            draw: return draws from p(x | …) rather than its mean.
            codes: the given contexts are codes `[B, C]` from `embed_sets`, not items.
            contexts: context name → one set `[N, *item_shape]` or `B` sets `[B, N, *item_shape]` holding it constant.
                Contexts that are not given vary freely.

        Returns:
            `[B, n, *item_shape]`, or `[n, *item_shape]` if every context is one set.

        Raises:
            ConfigurationError: No context is given, or one that the model does not have.
            ShapeError: Contexts come with different numbers of sets, or codes of another size.
            DataError: Codes are no finite numbers.
        """
        if not isinstance(given or {}, Mapping):
            raise ConfigurationError(f"compose: expected contexts by name, a mapping, got {type(given).__name__}")
        contexts = {**(given or {}), **contexts}
        if not contexts:
            raise ConfigurationError(f"compose needs at least one context; {nearest('', self.contexts)}")
        found, single = self._given_contexts(contexts, codes)
        sets = max(len(code) for code in found.values())
        if wrong := {name: len(code) for name, code in found.items() if len(code) not in (1, sets)}:
            raise ShapeError(f"compose: contexts come with different numbers of sets: {wrong} beside {sets}")
        example = next(iter(found.values()))
        none = example.new_zeros(1, example.shape[-1])
        constant = torch.stack([found.get(name, none).expand(sets, -1) for name in self.contexts], 1)  # [B, K, C]
        a = self.read_constant(list(contexts), sets)
        out = self.decode((sets, n), *self.hold(a, constant), temperature, draw)
        return out[0] if single else out

    @inference
    def complete(
        self,
        table: Any,
        cells: Sequence[Mapping[str, Any]] | None = None,
        *,
        samples: int = 64,
        set_size: int = 16,
        seed: int = 0,
    ) -> Completion:
        """What would be in the empty cells of a table whose factors are the model's contexts.

        By `completion`, an empty cell gets either the mean of what is composed of sets of its levels, with the spread
        of what was composed; or what main effects plus interaction say of it, from the means of the seen cells, with a
        spread that nine of ten left-out numbers of seen cells lie within 1.64 of (see `predict_by_interaction`).

        Args:
            table: a `FactorTable` of the seen items.
            cells: empty cells, a mapping of context → level each; all of them where None.
            samples: items composed for a cell.
            set_size: items in each set that they are composed of.
            seed: of sets, draws, and what is left out inside.

        Raises:
            ConfigurationError: The model has a single context.
            DataError: The table lacks a context, or has no empty cell; a cell that is asked for is not empty, is no
                cell of this table, or has a level of which nothing was seen.
        """
        return complete_cells(self, table, cells, samples, set_size, seed)

    def _given_contexts(self, contexts: Mapping[str, Any], codes: bool) -> tuple[dict[str, Tensor], bool]:
        """The code of each context `[B or 1, C]`, and whether all of them are single sets."""
        given: dict[str, Tensor] = {}
        single = True
        for name, items in contexts.items():
            if name not in self.contexts:
                raise ConfigurationError(f"compose: no context {name!r} in this model; {nearest(name, self.contexts)}")
            if codes:
                code, one = self._read_codes(items, name)
            else:
                batch, one = self.read_sets(items, what=name)
                code = self.set_codes(batch, [name])[:, 0]  # [B, C]
            given[name], single = code, single and one
        return given, single

    def _read_codes(self, codes: Any, name: str) -> tuple[Tensor, bool]:
        """Codes of a context `[B, C]`, or `[C]` for one set, and whether it is one."""
        read = as_tensor(codes, name)
        return self.read_codes(torch.atleast_2d(read), self.context_dim, name), read.ndim == 1

    def read_constant(self, constant: Any, sets: int) -> Tensor:
        """Read context names, or rows of 0 and 1, as `a` `[B, K]`.

        Raises:
            ConfigurationError: A context that the model does not have.
            ShapeError: Rows of another length, or another number of them.
            DataError: Other values than 0 and 1.
        """
        if isinstance(constant, str):
            constant = [constant]
        like = self._like
        if isinstance(constant, (list, tuple)) and all(isinstance(name, str) for name in constant):
            for name in constant:
                if name not in self.contexts:
                    raise ConfigurationError(f"constant: no context {name!r}; {nearest(name, self.contexts)}")
                if constant.count(name) > 1:
                    raise ConfigurationError(f"constant: {name!r} is named twice in {list(constant)}; name it once")
            row = [float(name in constant) for name in self.contexts]
            return torch.tensor(row, dtype=like.dtype, device=like.device).expand(sets, -1)
        a = as_tensor(constant, "constant").to(like)
        if a.shape[-1:] != (len(self.contexts),) or a.ndim > 2 or (a.ndim == 2 and len(a) not in (1, sets)):
            raise ShapeError(f"constant: expected names or [{sets}, {len(self.contexts)}], got shape {list(a.shape)}")
        if not bool(((a == 0) | (a == 1)).all()):
            raise DataError(
                f"constant: expected 0 (varying) or 1 (constant) for each context, got {a.unique().tolist()}"
            )
        return a.expand(sets, -1)
