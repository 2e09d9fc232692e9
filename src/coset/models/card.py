"""Model cards: what a model is, what it was trained on, how to load it and where it fails, as the Hub shows them."""

import inspect
from collections.abc import Mapping
from typing import Any

import yaml

from coset.errors import ConfigurationError

MOST_LEVELS = 20
"""Levels of a factor that are listed."""


def write_card(
    model: Any, repository: str = "FOLDER", license: str | None = None, sections: Mapping[str, str] | None = None
) -> str:
    """The card of a model, Markdown after the lines of YAML that the Hub reads.

    Args:
        model: a trained one, or not yet.
        repository: where `coset.load` finds it, a folder or `user/name`.
        license: as the Hub calls it, such as `apache-2.0`; none is claimed where None.
        sections: further ones, heading → text, before where it fails.

    Raises:
        ConfigurationError: A licence that is no word.

    >>> from coset.models import VAE
    >>> card = write_card(VAE((4,), z_dim=2), "someone/numbers", "mit")
    >>> [line for line in card.splitlines() if line.startswith(("library_name", "license", "model = "))]
    ['library_name: coset', 'license: mit', 'model = coset.load("someone/numbers")']
    """
    if license is not None and not license.replace("-", "").replace(".", "").isalnum():
        raise ConfigurationError(f"license: expected a word as the Hub has it, such as apache-2.0, got {license!r}")
    kind = type(model)
    about = inspect.getdoc(kind) or kind.__name__
    head = {"library_name": "coset", "tags": ["coset", "pytorch", kind.__name__]}
    head |= {"license": license} if license else {}
    parts = {
        "": f"A `coset.{kind.__name__}`. {about.splitlines()[0]}",
        "Load it": _load(model, repository),
        "What it was trained on": _trained(model),
        **(sections or {}),
        "Options": _options(model),
        "Where it fails": _prose(kind.limitations),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in parts.items() if text)
    title = repository.rpartition("/")[2] if "/" in repository else kind.__name__
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# {title}\n\n{body}\n"


def _load(model: Any, repository: str) -> str:
    ask = "codes = model.embed(items)  # of items like those it was trained on"
    draw = "items = model.sample(n=8)"
    lines = ["import coset", f'model = coset.load("{repository}")', draw, ask]
    return "```python\n" + "\n".join(lines) + "\n```"


def _trained(model: Any) -> str:
    told = dict(getattr(model, "trained", {}))
    lines = [f"- items of shape {list(model.item_shape)}, likelihood {model.likelihood.kind}"]
    lines += [f"- {name}: {value}" for name, value in told.items()]
    for name, levels in model.values.items():
        listed = ", ".join(map(str, levels[:MOST_LEVELS])) + (", …" if len(levels) > MOST_LEVELS else "")
        lines.append(f"- {name}, {len(levels)} levels: {listed}")
    return "\n".join(lines) if told else "\n".join(["Not trained yet.", "", *lines])


def _options(model: Any) -> str:
    given = {name: value for name, value in dict(model._hub_mixin_config or {}).items() if _short(value)}
    return f"```yaml\n{yaml.safe_dump(given, sort_keys=False, default_flow_style=None).strip()}\n```" if given else ""


def _short(value: Any) -> bool:
    """Whether a value is worth a line: units of a thousand columns are not."""
    return len(repr(value)) < 200


def _prose(text: str) -> str:
    return " ".join(text.split())
