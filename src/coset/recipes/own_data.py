"""A recipe for your own data, which a run writes into its folder like any other."""

import re
from collections.abc import Sequence
from pathlib import Path

from coset.recipes import Recipe, read_recipe

STEPS = 2000


def recipe_for(path: str, contexts: Sequence[str] | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """A context-aware learner of what lies at a path.

    Args:
        path: of the data, as `FactorTable.from_path` takes it.
        contexts: factors that sets hold constant; all discrete ones where None.
        overrides: as on the command line, such as `--data.options={size: 64}`.

    Raises:
        ConfigurationError: An override that does not fit.
    """
    place = str(Path(path).expanduser().absolute())  # the run is asked from other folders too
    model = {"class": "ContextAwareLearner"} | ({"contexts": list(contexts)} if contexts else {})
    content = {
        "data": {"class": "OwnData", "path": place},
        "model": model,
        "sets": {"patterns": "exactly-one", "items": 10, "batch": 32, "batches": 100, "incomplete": "skip"},
        "training": {"steps": STEPS, "seed": 0},
    }
    return read_recipe(name_of(path), content, overrides)


def name_of(path: str) -> str:
    """A name for runs on what lies at a path.

    >>> name_of("data/faces/{person}/{light}.jpg"), name_of("counts.h5ad")
    ('faces', 'counts')
    """
    words = [part for part in Path(path).parts if not re.search(r"[{*]", part)]
    return Path(words[-1]).stem if words else "own-data"
