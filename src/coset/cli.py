"""The `coset` command: reads what was typed, and says in one line what went wrong."""

import json
import re
import sys
from collections.abc import Sequence

from coset.commands import COMMANDS, reproduce
from coset.console import Terminated, keep_memory, leave, terminable
from coset.discovery import file_names
from coset.errors import CosetError

_REPRODUCE = str(reproduce.__doc__)
"""Help that names the experiments found when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; errors that users can mend are printed without a traceback, and exit with 2."""
    from importlib.metadata import version

    from jsonargparse import ArgumentParser

    words = list(sys.argv[1:] if arguments is None else arguments)
    overrides: list[str] = []
    if words[:1] == ["train"]:
        words, overrides = _separate_overrides(words)
    parser = ArgumentParser(
        prog="coset",
        description="Learn what a collection of data sets has in common, and recombine it.",
        version=version("coset"),
        allow_abbrev=False,
    )
    names = ", ".join(name.replace("_", "-") for name in file_names("coset.experiments"))
    reproduce.__doc__ = _REPRODUCE.replace("{experiments}", names)
    commands = parser.add_subcommands(dest="command", required=True)
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").split("\n")[0]
        one = ArgumentParser(description=summary, allow_abbrev=False)
        if name in words[:1]:  # reading the signatures of all commands would take a second
            one.add_function_arguments(command, None, as_group=False, as_positional=True, skip={"overrides"})
        commands.add_subcommand(name, one, help=summary)
    parsed = parser.parse_args(_spell_out(words))
    options = parsed[parsed.command].as_dict()
    if parsed.command == "train":
        options["overrides"] = overrides
    keep_memory()
    try:
        with terminable():
            COMMANDS[parsed.command](**options)
    except CosetError as reason:
        leave(parsed.command, 2, str(reason))
    except OSError as reason:  # a full disk, a folder that may not be written to, ...
        place = reason.filename or options.get("output") or "a file"
        leave(parsed.command, 2, f"{place}: {reason.strerror or reason}; nothing was left half-written")
    except (KeyboardInterrupt, Terminated) as reason:
        again = "go on with the same command and --resume" if parsed.command == "train" else "nothing was written"
        word, status = ("interrupted", 130) if isinstance(reason, KeyboardInterrupt) else ("terminated", 143)
        leave(parsed.command, status, f"{word}; {again}")


def _separate_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take `--section.option value` and `--section.option=value` out of the command line."""
    rest, overrides = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if re.match(r"--\w+\.", word):
            overrides.append(word)
            if "=" not in word and queue:
                overrides.append(queue.pop(0))
        else:
            rest.append(word)
    return rest, overrides


def _spell_out(words: Sequence[str]) -> list[str]:
    """Write -o and -n in full, and `digit=5 rotation=90` or `--contexts digit rotation` as lists."""
    short = {"-o": "--output", "-n": "--n"}
    given = [word for word in words if re.fullmatch(r"\w+=.*", word)]
    if words[:1] in (["condition"], ["compose"]) and given:
        rest = [word for word in words if word not in given]
        words = [*rest[:2], json.dumps(given), *rest[2:]]
    if "--contexts" in words:  # takes all words up to the next option
        start = words.index("--contexts") + 1
        end = next((place for place in range(start, len(words)) if words[place].startswith("-")), len(words))
        words = [*words[:start], json.dumps(list(words[start:end])), *words[end:]]
    if words[:2] == ["data", "fetch"] and words[2:3] and not words[2].startswith("-"):
        words = [*words[:2], "--name", *words[2:]]
    return [f"{word}=true" if word in ("--json", "--resume") else short.get(word, word) for word in words]
