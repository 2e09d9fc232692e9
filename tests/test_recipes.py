import inspect

import pytest
import torch
import yaml

import coset.models
from coset.data import FactorTable
from coset.errors import ConfigurationError
from coset.recipes import about, load_recipe, read_recipe, recipe_names
from coset.training import fit

pytestmark = pytest.mark.usefixtures("single")


def synthetic(recipe):
    """Random items of the shape, and with the factors, that the recipe's data has."""
    data, labels = recipe.sections["data"], [*recipe.sections["labels"]]
    sides = {"OneDimensionalFamilies": (1,), "SpatialMNIST": (2,), "MultiMNIST": (50, 50), "Newsgroups": (40,)}
    sides |= dict.fromkeys(("CIFAR10", "StreetDigits", "SVHN"), (3, 32, 32))
    sides["YaleB"] = (data.get("height", 96), data.get("width", 84))
    shape = sides.get(data["class"], (8, 8) if data.get("base") == "digits" else (28, 28))
    codes = torch.arange(32)
    contexts = recipe.sections["model"].get("contexts", [])
    supervised = (recipe.sections["sets"].get("supervision") or {}).get("factors", [])
    people = ["identity"] if data["class"] == "YaleB" else []
    names = dict.fromkeys([*contexts, *people, *labels, *supervised])
    factors = {name: codes // 2**position % 2 for position, name in enumerate(names)}
    factors = {name: column.float() if name.startswith("light_") else column for name, column in factors.items()}
    if data["class"] == "Newsgroups":
        return FactorTable((3 * torch.rand(32, *shape)).round(), **factors)
    items = torch.randn(32, *shape) if len(shape) == 1 else (torch.rand(32, *shape) * 255).to(torch.uint8)
    return FactorTable(items, **factors)


def test_there_are_recipes():
    assert "demo" in recipe_names() and len(recipe_names()) == len(set(recipe_names()))


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_checked_built_and_trained(name):
    recipe = load_recipe(name, ["--training.steps", "1", "--sets.batch", "2"])
    if not recipe.sections["sets"].get("supervision"):  # of single items
        recipe.sections["sets"]["items"] = 2
    assert recipe.data().name and len(about(name)) > 20
    data = synthetic(recipe)
    taken = inspect.signature(getattr(coset.models, recipe.sections["model"]["class"])).parameters
    smaller = {"features": 16, "hidden": 16, "context_dim": 4}
    recipe.sections["model"].update({name: size for name, size in smaller.items() if name in taken})
    model = recipe.model(data)
    options = recipe.fit_options()
    options["sets"] = options["sets"] | {"batches": 1}
    record = fit(model, data, enable_progress_bar=False, **{**options, "epochs": None})
    assert record.history[-1]["step"] == 1 and torch.tensor(record.history[-1]["bound"]).isfinite()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_written_out_reads_the_same(name, tmp_path):
    recipe = load_recipe(name, ["--training.seed", "7"])
    (tmp_path / "copy.yaml").write_text(recipe.as_yaml())
    again = load_recipe(tmp_path / "copy.yaml")
    assert again == recipe and again.name == name and again.sections["training"]["seed"] == 7


def test_sets_say_what_they_hold_constant_only_where_the_model_does_not():
    assert load_recipe("sprites-objectives", ["--sets.contexts=[shape]"]).sections["sets"]["contexts"] == ["shape"]
    with pytest.raises(ConfigurationError, match=r"--sets\.contexts: no such option"):
        load_recipe("demo", ["--sets.contexts=[digit]"])


def test_overrides_are_typed():
    words = ["--training.learning_rate", "2e-3", "--sets.items=[2, 6]", "--sets.patterns", "{digit: 2, '': 1}"]
    recipe = load_recipe("demo", [*words, "--model.infer_a", "any", "--model.z_dim=1", "--sets.batches=null"])
    assert recipe.sections["training"]["learning_rate"] == 0.002
    assert recipe.sections["sets"] == {"patterns": {"digit": 2, "": 1}, "items": [2, 6], "batch": 32, "batches": None}
    assert recipe.sections["model"]["infer_a"] == "any" and recipe.sections["model"]["z_dim"] == 1


@pytest.mark.parametrize("name", ["PatchShuffle", "patch-shuffle"])
def test_what_a_model_names_may_have_options_and_be_spelt_like_its_class_or_as_words(name):
    transform = {"class": name, "side": 2}
    content = {"data": {"class": "CIFAR10"}, "model": {"class": "AuxiliaryTaskVAE", "transform": transform}}
    recipe = read_recipe("own", content, ["--model.lost_dim=3"])
    assert recipe.model(FactorTable(torch.rand(4, 3, 8, 8))).transform.side == 2


def test_overrides_leave_the_recipe_itself_alone():
    before = load_recipe("demo").sections["model"]["z_dim"]
    assert load_recipe("demo", ["--model.z_dim", str(before + 1)]).sections["model"]["z_dim"] == before + 1
    assert load_recipe("demo").sections["model"]["z_dim"] == before


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("did you mean 'model'", ["--modle.z_dim", "3"]),
        ("did you mean 'training'", ["--trainin", "3"]),
        (r"names a section.*--schedule\.OPTION", ["--schedule", "{class: Annealed}"]),
        (r"--model\.zdim.*did you mean 'z_dim'", ["--model.zdim", "3"]),
        (r"--data\.angle: .*did you mean 'angles'", ["--data.angle", "3"]),
        (r"--sets\.item: .*did you mean 'items'", ["--sets.item", "3"]),
        (r"--training\.step: .*did you mean 'steps'", ["--training.step", "3"]),
        (r"--trainer\.precison: .*did you mean 'precision'", ["--trainer.precison", "32"]),
        (r"data\.class.*did you mean 'Rotated'", ["--data.class", "Rotate"]),
        (r"model\.class.*did you mean 'ContextAwareLearner'", ["--model.class", "ContextLearner"]),
        (r"schedule\.class.*did you mean 'Annealed'", ["--schedule.class", "Anneal"]),
        ("'schedule' needs a `class`", ["--schedule.kind", "thesis"]),
        ("section schedule", ["--schedule.class", "Annealed", "--schedule.kind", "thesys"]),
        ("section model.*z_dim", ["--model.z_dim", "many"]),
        ("section model.*pooling", ["--model.pooling", "max"]),
        ("section model.*contexts", ["--model.contexts", "3"]),
        ("section data.*angles", ["--data.angles", "1.5"]),
        ("section sets.*batch", ["--sets.batch", "[1]"]),
        ("section training.*learning_rate", ["--training.learning_rate", "fast"]),
        ("section trainer.*max_time", ["--trainer.max_time", "[1, 2]"]),
        ("a value is missing", ["--model.z_dim"]),
        ("a value is missing", ["--model.z_dim", "--model.hidden", "3"]),
        (r"expected --section\.option", ["model.z_dim", "3"]),
        (r"there are: 'BlackWhite', .*'Rotated'", ["--data.class", "Tensor"]),
    ],
)
def test_a_wrong_override_is_refused_with_the_nearest_name(message, words):
    with pytest.raises(ConfigurationError, match=message):
        load_recipe("rotated-mnist-8", words)


def test_unknown_recipes_and_files_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'rotated-mnist-4'"):
        load_recipe("rotated-mnist4")
    with pytest.raises(ConfigurationError, match="no recipe file"):
        load_recipe(tmp_path / "none.yaml")
    content = yaml.safe_load(load_recipe("demo").as_yaml())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**content, "modle": {}}))
    with pytest.raises(ConfigurationError, match="did you mean 'model'"):
        load_recipe(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({key: part for key, part in content.items() if key != "model"}))
    with pytest.raises(ConfigurationError, match="'model' needs a `class`"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("labels", [0, 50])
def test_as_many_labels_are_known_as_a_recipe_says(labels):
    words = ["--data.class=Digits", "--data.validation=0.1", f"--labels.digit={labels}"]
    splits = load_recipe("semi-supervised-mnist", words).splits()
    known = {name: sum(digit is not None for digit in table.column("digit")) for name, table in splits.items()}
    assert known["train"] == labels and known["test"] == len(splits["test"])
