"""Calls from Python that cannot be answered: each is refused in words, before it does anything."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coset import VAE, ClassStyle, ContextAwareLearner, FactorTable, NeuralStatistician, SetBatch
from coset.data import SetCollection
from coset.data.labels import hide_labels
from coset.errors import CosetError

OPT = {"features": 8, "hidden": 8, "context_dim": 2, "z_dim": 2}
BAD = {}


def bad(name, call):
    assert name not in BAD, name
    BAD[name] = call


@pytest.fixture
def w():
    """A small table, and small models of it."""
    x = torch.rand(40, 6)
    table = FactorTable(x, a=torch.arange(40) % 4, b=torch.arange(40) // 4 % 2, w=torch.rand(40))
    missing, infinite = x.clone(), x.clone()
    missing[3, 2], infinite[3, 2] = math.nan, math.inf
    return SimpleNamespace(
        X=x,
        S=x.view(4, 10, 6),
        T=table,
        nan=missing,
        inf=infinite,
        V=VAE((6,), z_dim=2, features=8).eval(),
        NS=NeuralStatistician((6,), **OPT).eval(),
        CAL=ContextAwareLearner.for_data(table, ["a", "b"], **OPT).eval(),
        CS=ClassStyle((6,), classes=4, label="a", style_dim=2, features=8, architecture="plain", channels=[]).eval(),
    )


# tables
bad("table: nothing", lambda w: FactorTable([]))
bad("table: none", lambda w: FactorTable(None))
bad("table: words", lambda w: FactorTable(["a", "b"]))
bad("table: a word", lambda w: FactorTable("abc"))
bad("table: ragged", lambda w: FactorTable([[1.0], [1.0, 2.0]]))
bad("table: dict", lambda w: FactorTable({"x": [1.0]}))
bad("table: scalar", lambda w: FactorTable(3.0))
bad("table: complex", lambda w: FactorTable(np.ones((4, 2), complex)))
bad("table: complex tensor", lambda w: FactorTable(torch.ones(4, 2, dtype=torch.complex64)))
bad("table: nan", lambda w: FactorTable(w.nan))
bad("table: inf", lambda w: FactorTable(w.inf))
bad("table: dates", lambda w: FactorTable(np.zeros((4, 2), "datetime64[s]")))
bad("table: objects", lambda w: FactorTable(np.array([object()] * 4)))
bad("table: no columns", lambda w: FactorTable(torch.rand(4, 0)))
bad("table: masked", lambda w: FactorTable(np.ma.masked_array(np.ones((4, 2)), np.eye(4, 2))))
bad("table: sparse", lambda w: FactorTable(torch.eye(4).to_sparse()))
bad("table: meta", lambda w: FactorTable(torch.rand(4, 2, device="meta")))
bad("table: structured", lambda w: FactorTable(np.zeros(4, [("a", "f4"), ("b", "f4")])))
bad("table: generator", lambda w: FactorTable(x for x in w.X))
bad("table: set of tensors", lambda w: FactorTable({1, 2}))
bad("table: bytes", lambda w: FactorTable(b"abc"))
bad("table: model", lambda w: FactorTable(w.V))
bad("factor: too long", lambda w: FactorTable(w.X, a=range(41)))
bad("factor: too short", lambda w: FactorTable(w.X, a=range(3)))
bad("factor: two columns", lambda w: FactorTable(w.X, a=torch.zeros(40, 2)))
bad("factor: word", lambda w: FactorTable(w.X, a="abc"))
bad("factor: none", lambda w: FactorTable(w.X, a=None))
bad("factor: mixed", lambda w: FactorTable(w.X, a=[1, "a"] * 20))
bad("factor: inf", lambda w: FactorTable(w.X, a=np.full(40, np.inf)))
bad("factor: complex", lambda w: FactorTable(w.X, a=np.ones(40, complex)))
bad("factor: lists", lambda w: FactorTable(w.X, a=[[1]] * 40))
bad("factor: objects", lambda w: FactorTable(w.X, a=[object()] * 40))
bad("factor: plus", lambda w: FactorTable(w.X, **{"a+b": [1] * 40}))
bad("factor: empty name", lambda w: FactorTable(w.X, **{"": [1] * 40}))
bad("row: float", lambda w: w.T[1.5])
bad("row: out", lambda w: w.T[[40]])
bad("row: below", lambda w: w.T[[-41]])
bad("row: word", lambda w: w.T["a"])
bad("row: none", lambda w: w.T[[]])
bad("row: wrong mask", lambda w: w.T[torch.ones(39, dtype=torch.bool)])
bad("row: no row", lambda w: w.T[torch.zeros(40, dtype=torch.bool)])
bad("row: floats", lambda w: w.T[torch.tensor([0.5, 1.0])])
bad("row: None", lambda w: w.T[None])
bad("row: slice of nothing", lambda w: w.T[5:5])
bad("where: unknown factor", lambda w: w.T.where(c=1))
bad("where: unknown value", lambda w: w.T.where(a=7))
bad("where: none together", lambda w: w.T[:4].where(a=0, b=1))
bad("where: list", lambda w: w.T.where(a=[1, 2]))
bad("where: array", lambda w: w.T.where(a=np.array([1, 2])))
bad("where: nan", lambda w: w.T.where(w=math.nan))
bad("where: word", lambda w: w.T.where(w="x"))
bad("column: unknown", lambda w: w.T.column("c"))
bad("recode: too few", lambda w: w.T.recode(a=[0, 1]))
bad("recode: twice", lambda w: w.T.recode(a=[0, 0, 1, 2, 3]))
bad("recode: number", lambda w: w.T.recode(a=4))
bad("split: all", lambda w: w.T.split(40))
bad("split: nothing", lambda w: w.T.split(0.0))
bad("split: nan", lambda w: w.T.split(math.nan))
bad("split: negative", lambda w: w.T.split(-0.5))
bad("split: word", lambda w: w.T.split("half"))
bad("split: none", lambda w: w.T.split(None))
bad("split: by what", lambda w: w.T.split(0.5, stratify="c"))
bad("split: seed", lambda w: w.T.split(0.5, seed="a"))
bad("split: 1.5", lambda w: w.T.split(1.5))
bad("split: inf", lambda w: w.T.split(math.inf))
bad("view: short", lambda w: w.T.with_view("s", w.X[:3]))
bad("view: nan", lambda w: w.T.with_view("s", w.nan))
bad("view: x", lambda w: w.T.with_view("x", w.X).sets(items=1).draw(0))
bad("view: name", lambda w: w.T.with_view(3, w.X))
bad("hide: unknown", lambda w: hide_labels(w.T, "c", 4))
bad("hide: word", lambda w: hide_labels(w.T, "a", "4"))
bad("hide: 2.5", lambda w: hide_labels(w.T, "a", 4.5))
bad("hide: nan", lambda w: hide_labels(w.T, "a", math.nan))
bad("hide: seed", lambda w: hide_labels(w.T, "a", 4, seed="x"))
bad("to: device", lambda w: w.T.to("nowhere"))
# sets
for name, o in {
    "no factor": dict(contexts=["c"]),
    "pattern word": dict(patterns="all"),
    "pattern number": dict(patterns=3),
    "pattern name": dict(patterns={"c": 1}),
    "pattern negative": dict(patterns={"a": -1}),
    "pattern nan": dict(patterns={"a": math.nan}),
    "pattern empty": dict(patterns={}),
    "pattern zero": dict(patterns={"a": 0}),
    "pattern inf": dict(patterns={"a": math.inf}),
    "pattern text": dict(patterns={"a": "x"}),
    "items 0": dict(items=0),
    "items -1": dict(items=-1),
    "items 2.5": dict(items=2.5),
    "items word": dict(items="3"),
    "items nan": dict(items=math.nan),
    "items order": dict(items=(5, 2)),
    "items three": dict(items=(1, 2, 3)),
    "items huge": dict(items=10**9),
    "items bool": dict(items=True),
    "batch 0": dict(batch=0),
    "batch -1": dict(batch=-1),
    "batch 2.5": dict(batch=2.5),
    "batch word": dict(batch="3"),
    "batch none": dict(batch=None),
    "batch huge": dict(batch=10**10),
    "seed word": dict(seed="a"),
    "seed 2.5": dict(seed=2.5),
    "seed none": dict(seed=None),
    "seed huge": dict(seed=2**70),
    "seed -1": dict(seed=-1),
    "batches 0": dict(batches=0),
    "batches -1": dict(batches=-1),
    "batches 1.5": dict(batches=1.5),
    "batches word": dict(batches="x"),
    "incomplete": dict(incomplete="maybe"),
    "supervision": dict(supervision="a"),
    "supervision names": dict(contexts=(), items=1, supervision={"factors": ["c"], "rate": 0.5}),
    "supervision rate": dict(contexts=(), items=1, supervision={"factors": ["a"], "rate": 1.5}),
    "supervision nan": dict(contexts=(), items=1, supervision={"factors": ["a"], "rate": math.nan}),
    "supervision lacks": dict(contexts=(), items=1, supervision={"factors": ["a"]}),
    "supervision option": dict(contexts=(), items=1, supervision={"factors": ["a"], "rate": 0.5, "often": 1}),
    "continuous": dict(contexts=["w"]),
    "twice": dict(contexts=["a", "a"]),
    "context number": dict(contexts=[3]),
    "contexts number": dict(contexts=3),
}.items():
    bad("sets: " + name, lambda w, o=o: w.T.sets(**o).draw(0))
bad("sets: binarize", lambda w: FactorTable(3 * w.X, a=[0, 1] * 20).sets(binarize=True))
bad("draw: -1", lambda w: w.T.sets().draw(-1))
bad("draw: word", lambda w: w.T.sets().draw("a"))
bad("collection: nothing", lambda w: SetCollection([]))
bad("collection: number", lambda w: SetCollection(3))
bad("collection: shapes", lambda w: SetCollection([torch.rand(3, 2), torch.rand(3, 4)]))
bad("collection: empty set", lambda w: SetCollection([torch.rand(3, 2), torch.rand(0, 2)]))
bad("collection: nan", lambda w: SetCollection([w.nan]))
bad("collection: words", lambda w: SetCollection(["a", "b"]))
bad("collection: none", lambda w: SetCollection([None]))
bad("collection: types", lambda w: SetCollection([torch.zeros(3, 2, dtype=torch.uint8), torch.rand(3, 2)]))
# batches
bad("batch: one axis", lambda w: SetBatch(torch.rand(3)))
bad("batch: no set", lambda w: SetBatch(torch.rand(0, 3, 2)))
bad("batch: whole", lambda w: SetBatch(torch.ones(2, 3, dtype=torch.int64)))
bad("batch: list", lambda w: SetBatch([[1.0, 2.0]]))
bad("batch: array", lambda w: SetBatch(np.ones((2, 3, 4))))
bad("batch: none", lambda w: SetBatch(None))
for name, m in {"0.5": [[0.5, 1, 1]], "2": [[2.0, 1, 1]], "-1": [[-1.0, 1, 1]], "nan": [[math.nan, 1, 1]]}.items():
    bad("batch mask: " + name, lambda w, m=m: SetBatch(torch.rand(1, 3, 2), mask=torch.tensor(m)))
bad("batch mask: empty set", lambda w: SetBatch(torch.rand(1, 3, 2), mask=torch.zeros(1, 3)))
bad("batch mask: shape", lambda w: SetBatch(torch.rand(1, 3, 2), mask=torch.ones(1, 4)))
bad("batch mask: list", lambda w: SetBatch(torch.rand(1, 3, 2), mask=[[1.0, 1.0, 1.0]]))
bad("batch constant: 0.5", lambda w: SetBatch(torch.rand(1, 3, 2), constant=torch.tensor([[0.5]])))
bad("batch constant: shape", lambda w: SetBatch(torch.rand(1, 3, 2), constant=torch.ones(2, 1)))
bad("batch factors: shape", lambda w: SetBatch(torch.rand(1, 3, 2), factors={"a": torch.ones(3)}))
bad("batch factors: list", lambda w: SetBatch(torch.rand(1, 3, 2), factors={"a": [[1, 2, 3]]}))
bad("batch view: shape", lambda w: SetBatch(torch.rand(1, 3, 2), views={"s": torch.rand(2, 3)}))
# models
for name, f in {
    "VAE no shape": lambda w: VAE((), z_dim=2),
    "VAE shape 0": lambda w: VAE((0,), z_dim=2),
    "VAE shape -1": lambda w: VAE((-3,), z_dim=2),
    "VAE shape word": lambda w: VAE("abc", z_dim=2),
    "VAE shape none": lambda w: VAE(None, z_dim=2),
    "VAE shape float": lambda w: VAE((2.5,), z_dim=2),
    "VAE shape 5 axes": lambda w: VAE((2, 2, 2, 2, 2), z_dim=2),
    "VAE z 0": lambda w: VAE((6,), z_dim=0),
    "VAE z -1": lambda w: VAE((6,), z_dim=-1),
    "VAE z 2.5": lambda w: VAE((6,), z_dim=2.5),
    "VAE z word": lambda w: VAE((6,), z_dim="2"),
    "VAE z none": lambda w: VAE((6,), z_dim=None),
    "VAE z nan": lambda w: VAE((6,), z_dim=math.nan),
    "VAE features 0": lambda w: VAE((6,), z_dim=2, features=0),
    "VAE likelihood": lambda w: VAE((6,), z_dim=2, likelihood="binomial"),
    "VAE likelihood none": lambda w: VAE((6,), z_dim=2, likelihood=None),
    "VAE architecture": lambda w: VAE((6,), z_dim=2, architecture="resnet"),
    "VAE norm": lambda w: VAE((6,), z_dim=2, norm="group"),
    "VAE channels": lambda w: VAE((8, 8), z_dim=2, channels=[]),
    "VAE channels 0": lambda w: VAE((8, 8), z_dim=2, channels=[0]),
    "VAE channels number": lambda w: VAE((8, 8), z_dim=2, channels=16),
    "VAE conv on vector": lambda w: VAE((6,), z_dim=2, architecture="convolutional"),
    "VAE conv on tiny": lambda w: VAE((4, 4), z_dim=2, architecture="convolutional"),
    "CAL no contexts": lambda w: ContextAwareLearner((6,), [], **OPT),
    "CAL word": lambda w: ContextAwareLearner((6,), "digit", **OPT),
    "CAL twice": lambda w: ContextAwareLearner((6,), ["a", "a"], **OPT),
    "CAL numbers": lambda w: ContextAwareLearner((6,), [1, 2], **OPT),
    "CAL plus": lambda w: ContextAwareLearner((6,), ["a+b"], **OPT),
    "CAL empty": lambda w: ContextAwareLearner((6,), [""], **OPT),
    "CAL pooling": lambda w: ContextAwareLearner((6,), ["a"], pooling="max", **OPT),
    "CAL infer_a": lambda w: ContextAwareLearner((6,), ["a"], infer_a="maybe", **OPT),
    "CAL dim 0": lambda w: ContextAwareLearner((6,), ["a"], **OPT | {"context_dim": 0}),
    "CAL hidden 0": lambda w: ContextAwareLearner((6,), ["a"], **OPT | {"hidden": 0}),
    "CAL hidden -1": lambda w: ContextAwareLearner((6,), ["a"], **OPT | {"hidden": -1}),
    "CAL z -1": lambda w: ContextAwareLearner((6,), ["a"], **OPT | {"z_dim": -1}),
    "NS width 0": lambda w: NeuralStatistician((6,), likelihood="gaussian", width=0.0, **OPT),
    "NS width nan": lambda w: NeuralStatistician((6,), likelihood="gaussian", width=math.nan, **OPT),
    "NS width inf": lambda w: NeuralStatistician((6,), likelihood="gaussian", width=math.inf, **OPT),
    "NS width word": lambda w: NeuralStatistician((6,), likelihood="gaussian", width="x", **OPT),
    "NS layers 0": lambda w: NeuralStatistician((6,), layers=0, **OPT),
    "CS classes 1": lambda w: ClassStyle((6,), classes=1),
    "CS classes 2.5": lambda w: ClassStyle((6,), classes=2.5),
    "CS style 0": lambda w: ClassStyle((6,), classes=3, style_dim=0),
    "CS classes nan": lambda w: ClassStyle((6,), classes=math.nan),
}.items():
    bad("model: " + name, f)
for name, f in {
    "words": lambda w: VAE.for_data(["a"], z_dim=2),
    "none": lambda w: VAE.for_data(None, z_dim=2),
    "empty": lambda w: VAE.for_data([], z_dim=2),
    "nan": lambda w: VAE.for_data(w.nan, z_dim=2),
    "inf": lambda w: VAE.for_data(w.inf, z_dim=2),
    "one axis": lambda w: VAE.for_data(torch.rand(5), z_dim=2),
    "number": lambda w: VAE.for_data(3, z_dim=2),
    "path": lambda w: VAE.for_data("x.npy", z_dim=2),
    "shapes": lambda w: NeuralStatistician.for_data([torch.rand(3, 2), torch.rand(3, 4)]),
    "option": lambda w: VAE.for_data(w.X, z_dims=2),
    "context": lambda w: ContextAwareLearner.for_data(w.T, ["c"], **OPT),
    "no table": lambda w: ContextAwareLearner.for_data(w.X, ["a"], **OPT),
    "label": lambda w: ClassStyle.for_data(w.T, label="c"),
    "label continuous": lambda w: ClassStyle.for_data(w.T, label="w"),
    "label none": lambda w: ClassStyle.for_data(w.X),
    "bernoulli": lambda w: VAE.for_data(3 * w.X, z_dim=2, likelihood="bernoulli"),
}.items():
    bad("for_data: " + name, f)
# questions
for what, given in {
    "shape": lambda w: torch.rand(4, 7),
    "one": lambda w: torch.rand(7),
    "words": lambda w: ["a"],
    "none": lambda w: None,
    "nan": lambda w: w.nan,
    "ragged": lambda w: [[1.0], [1.0, 2.0]],
    "empty": lambda w: torch.rand(0, 6),
    "complex": lambda w: torch.ones(4, 6, dtype=torch.complex64),
    "range": lambda w: 3 * w.X,
    "negative": lambda w: -w.X,
    "dict": lambda w: {},
    "number": lambda w: 3,
}.items():
    bad(f"VAE.embed: {what}", lambda w, given=given: w.V.embed(given(w)))
    bad(f"VAE.reconstruct: {what}", lambda w, given=given: w.V.reconstruct(given(w)))
    bad(f"ClassStyle.classify: {what}", lambda w, given=given: w.CS.classify(given(w)))
    bad(f"ContextAwareLearner.embed_sets: {what}", lambda w, given=given: w.CAL.embed_sets(given(w)))
    bad(f"NeuralStatistician.condition: {what}", lambda w, given=given: w.NS.condition(given(w), n=2))
    bad(f"ContextAwareLearner.compose: {what}", lambda w, given=given: w.CAL.compose(a=given(w), b=w.S[0]))
for m in ("V", "NS", "CAL", "CS"):
    for name, o in {
        "n 0": dict(n=0),
        "n -1": dict(n=-1),
        "n 2.5": dict(n=2.5),
        "n word": dict(n="3"),
        "n none": dict(n=None),
        "n huge": dict(n=10**12),
        "temperature -1": dict(n=2, temperature=-1.0),
        "temperature nan": dict(n=2, temperature=math.nan),
        "temperature inf": dict(n=2, temperature=math.inf),
        "temperature word": dict(n=2, temperature="hot"),
    }.items():
        bad(f"{m}.sample: {name}", lambda w, m=m, o=o: getattr(w, m).sample(**o))
for name, f in {
    "sets 0": lambda w: w.CAL.sample(n=2, sets=0),
    "sets -1": lambda w: w.CAL.sample(n=2, sets=-1),
    "sets 1.5": lambda w: w.CAL.sample(n=2, sets=1.5),
    "constant": lambda w: w.CAL.sample(n=2, constant=["c"]),
    "constant number": lambda w: w.CAL.sample(n=2, constant=3),
    "constant twice": lambda w: w.CAL.sample(n=2, constant=["a", "a"]),
    "code 7": lambda w: w.CS.sample(n=2, code=7),
    "code -1": lambda w: w.CS.sample(n=2, code=-1),
    "code 1.5": lambda w: w.CS.sample(n=2, code=1.5),
    "code word": lambda w: w.CS.sample(n=2, code="x"),
    "code list": lambda w: w.CS.sample(n=2, code=[0, 1, 2]),
}.items():
    bad("sample: " + name, f)
for name, f in {
    "nothing": lambda w: w.CAL.compose(),
    "unknown": lambda w: w.CAL.compose(c=w.S[0]),
    "n 0": lambda w: w.CAL.compose(a=w.S[0], n=0),
    "n 1.5": lambda w: w.CAL.compose(a=w.S[0], n=1.5),
    "batches": lambda w: w.CAL.compose(a=w.S[:2], b=w.S[:3]),
    "codes short": lambda w: w.CAL.compose(a=torch.zeros(3), codes=True),
    "codes nan": lambda w: w.CAL.compose(a=torch.tensor([math.nan, 0.0]), codes=True),
    "codes word": lambda w: w.CAL.compose(a="x", codes=True),
    "draw": lambda w: w.CAL.compose(a=w.S[0], draw="best"),
    "temperature": lambda w: w.CAL.compose(a=w.S[0], temperature=-2),
    "mapping": lambda w: w.CAL.compose([w.S[0]]),
    "mapping word": lambda w: w.CAL.compose("a"),
}.items():
    bad("compose: " + name, f)
for name, f in {
    "constant": lambda w: w.CAL.condition(w.S, constant=["c"], n=2),
    "constant word": lambda w: w.CAL.condition(w.S, constant="c", n=2),
    "mask shape": lambda w: w.NS.condition(w.S, mask=torch.ones(3), n=2),
    "mask value": lambda w: w.NS.condition(w.S, mask=torch.full((4, 10), 0.5), n=2),
    "mask empty": lambda w: w.NS.condition(w.S, mask=torch.zeros(4, 10), n=2),
    "mask nan": lambda w: w.NS.condition(w.S, mask=torch.full((4, 10), math.nan), n=2),
    "mask word": lambda w: w.NS.condition(w.S, mask="x", n=2),
    "n": lambda w: w.NS.condition(w.S, n=-1),
    "summarise": lambda w: w.NS.summarise(w.S[0], keep=0),
    "summarise big": lambda w: w.NS.summarise(w.S[0], keep=99),
    "classify shapes": lambda w: w.NS.classify(torch.rand(3, 6), torch.rand(2, 5, 7)),
    "compare": lambda w: w.NS.compare(w.S, torch.rand(3, 7)),
}.items():
    bad("condition: " + name, f)
for name, f in {
    "decode short": lambda w: w.V.decode_codes(torch.zeros(3, 5)),
    "decode nan": lambda w: w.V.decode_codes(torch.full((3, 2), math.nan)),
    "decode word": lambda w: w.V.decode_codes("x"),
    "decode none": lambda w: w.V.decode_codes(None),
    "decode empty": lambda w: w.V.decode_codes(torch.zeros(0, 2)),
    "styles": lambda w: w.CS.decode_styles(0, torch.zeros(3, 5)),
    "styles code": lambda w: w.CS.decode_styles(9, torch.zeros(3, 2)),
    "styles word": lambda w: w.CS.decode_styles("a", torch.zeros(3, 2)),
    "analogies": lambda w: w.CS.analogies(torch.zeros(3, 5)),
}.items():
    bad("codes: " + name, f)


@pytest.mark.parametrize("call", BAD.values(), ids=BAD.keys())
def test_it_is_refused_in_words(w, call):
    with pytest.raises(CosetError) as refused:
        call(w)
    assert len(str(refused.value)) > 40, refused.value  # where, what was expected, what came
