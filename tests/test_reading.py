"""One door for data: what is read is read alike by tables, by `for_data`, in training and in questions to a model."""

import numpy as np
import pytest
import torch
from scipy import sparse

import coset
from coset.batch import as_tensor
from coset.data import FactorTable
from coset.errors import CosetError, DataError

NUMBERS = np.random.default_rng(0).random((48, 6))
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def doors(items):
    """A model built for the items, trained on them, and asked about them; and a table of them."""
    torch.manual_seed(0)
    model = coset.VAE.for_data(items, z_dim=2, features=8)
    coset.fit(model, items, steps=1, sets={"batch": 16}, **QUIET)
    return model.embed(items), FactorTable(items).x()


FORMS = {
    "big endian": NUMBERS.astype(">f8"),
    "reversed": NUMBERS[:, ::-1].copy()[:, ::-1],
    "by columns": np.asfortranarray(NUMBERS),
    "read-only": np.broadcast_to(NUMBERS, NUMBERS.shape),
    "single": torch.tensor(NUMBERS).float().double(),
    "unmasked": np.ma.masked_array(NUMBERS, mask=False),
    "with gradient": torch.tensor(NUMBERS, requires_grad=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers_is_the_same(form):
    (codes, items), (expected, table) = doors(FORMS[form]), doors(NUMBERS)
    torch.testing.assert_close(items, table, atol=1e-7, rtol=0)
    torch.testing.assert_close(codes, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("message", "items"),
    [
        ("sparse matrix, csr_matrix.*toarray", sparse.csr_matrix(NUMBERS)),
        ("sparse matrix, coo_array.*toarray", sparse.coo_array(NUMBERS)),
        ("sparse tensor.*to_dense", torch.tensor(NUMBERS).to_sparse()),
        ("1 numbers are masked", np.ma.masked_equal(NUMBERS, NUMBERS[0, 0])),
        ("numbers", np.array([["a", "b"]] * 3)),
        ("numbers", np.array([[{}, {}]] * 3)),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_at_every_door(message, items):
    model = coset.VAE((6,), z_dim=2, features=8)
    for ask in (as_tensor, FactorTable, coset.VAE.for_data, model.embed):
        with pytest.raises(DataError, match=message):
            ask(items)


@pytest.mark.parametrize("precision", [None, "64-true", "bf16-mixed", "32-true"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_any_precision_of_data_trains_in_any_precision(dtype, precision):
    items = torch.rand(48, 6).to(dtype)
    table = FactorTable(items, kind=torch.arange(48) % 3)
    for model in (
        coset.VAE.for_data(items, z_dim=2, features=8),
        coset.ContextAwareLearner.for_data(table, ["kind"], features=8, hidden=8, context_dim=2, z_dim=2),
    ):
        options = {} if precision is None else {"precision": precision}
        record = coset.fit(
            model,
            table,
            validation=table,
            steps=2,
            sets={"batch": 4, "items": 3 if model.contexts else 1},
            **options,
            **QUIET,
        )
        assert np.isfinite(record.history[-1]["bound"]) and np.isfinite(record.history[-1]["validation"])


def test_codes_are_read_as_they_come():
    model = coset.ContextAwareLearner((6,), ["a", "b"], features=8, hidden=8, context_dim=3, z_dim=2)
    codes = model.embed_sets(torch.rand(2, 4, 6))[:, 0]
    torch.manual_seed(1)
    expected = model.compose(a=codes, codes=True, n=3)
    for form in (codes.numpy(), codes.tolist(), codes.float().double(), codes.numpy().astype(">f8")):
        torch.manual_seed(1)
        torch.testing.assert_close(model.compose(a=form, codes=True, n=3), expected, atol=1e-5, rtol=0)
    for wrong in (codes[:, :2], codes.unsqueeze(0), codes[:0], codes * torch.nan, [["a"] * 3]):
        with pytest.raises(CosetError, match="a: "):
            model.compose(a=wrong, codes=True)


@pytest.mark.parametrize("names", [["temperature", "n"], ["draw", "codes"], ["self", "given"], ["two words", "a-b"]])
def test_a_context_may_be_called_like_an_option(names):
    table = FactorTable(torch.rand(40, 6), **{names[0]: torch.arange(40) % 2, names[1]: torch.arange(40) // 2 % 2})
    model = coset.ContextAwareLearner.for_data(table, names, features=8, hidden=8, context_dim=2, z_dim=2)
    given = dict(zip(names, torch.rand(2, 5, 6), strict=True))
    assert model.compose(given, n=3).shape == (3, 6)
    assert model.condition(torch.rand(5, 6), constant=names[0], n=2).shape == (2, 6)


def test_memory_does_not_grow_with_the_question():
    """Items are asked about in blocks: the networks never see more of them at once."""
    seen = []
    model = coset.VAE((6,), z_dim=2, features=8)
    model.encoder.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    x = torch.rand(1203, 6)
    codes = model.embed(x)
    assert max(seen) == 500 and sum(seen) == 1203
    torch.testing.assert_close(codes[700:705], model.embed(x[700:705]))
    assert model.reconstruct(x).shape == x.shape and max(seen) == 500
