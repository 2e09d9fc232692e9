"""Kill a training at random moments, resume it every time, and compare what it made with an uninterrupted one.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 50 --recipe demo -- --training.workers 1

Each process is ended by signal 9, which nothing can catch, after a random share of the time that the uninterrupted
training took; some of them die while they import, some while they write a checkpoint. Equal means equal bit for bit:
the history of every epoch, the weights, and what `last.ckpt` holds.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from coset import load


def train(recipe: str, folder: Path, options: list[str], seconds: float | None = None) -> bool:
    """Train or resume in a process of its own, and end it after so many seconds; whether it came to its end."""
    resume = ["--resume"] if (folder / "recipe.yaml").exists() else []
    command = [sys.executable, "-m", "coset", "train", recipe, "--output", str(folder), *resume, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return False
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}: {said.strip()[-500:]}")
    return True


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nested values differ, bit for bit."""
    if isinstance(one, torch.Tensor):
        equal = isinstance(other, torch.Tensor) and torch.equal(one.nan_to_num(), other.nan_to_num())
        return [] if equal else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [found for name in one for found in differences(one[name], other[name], f"{where}.{name}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for place, (left, right) in pairs for found in differences(left, right, f"{where}[{place}]")]
    return [] if one == other else [f"{where}: {one} and {other}"]


def made(folder: Path) -> dict[str, Any]:
    """What a training leaves, less what a clock wrote."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["coset"].pop("seconds", None)
    history = json.loads((folder / "record.json").read_text())["history"]
    return {"history": history, "weights": dict(load(folder / "model").state_dict()), "last.ckpt": checkpoint}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("options", nargs="*", help="options of coset train, after --")
    given = parser.parse_args()
    options = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    options += ["--sets.batches", "10", "--training.steps", "200", *given.options]
    choose = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, broken = Path(place) / "whole", Path(place) / "broken"
        begun = time.monotonic()
        train(given.recipe, whole, options)
        seconds = time.monotonic() - begun
        expected = made(whole)
        kills = finished = 0
        differing: list[str] = []
        while kills < given.kills:
            if train(given.recipe, broken, options, seconds * choose.random()):
                finished += 1
                differing += differences(expected, made(broken))
                shutil.rmtree(broken)
            else:
                kills += 1
        if not (broken / "record.json").exists():
            train(given.recipe, broken, options)
        differing += differences(expected, made(broken))
        left = [str(path.relative_to(broken)) for path in broken.rglob("*") if "partial" in path.name]
        left += [str(path.relative_to(broken)) for path in broken.rglob(".saving-*")]
        shown = {"kills": kills, "trainings compared": finished + 1, "differences": differing[:10], "left behind": left}
    print(json.dumps(shown) if given.json else "\n".join(f"{name}: {value}" for name, value in shown.items()))
    if differing or left:
        sys.exit(1)


if __name__ == "__main__":
    main()
