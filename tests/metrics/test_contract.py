"""What every metric promises, held against every function that a file of `coset.metrics` defines."""

import inspect

import pytest

from coset.discovery import public

METRICS = {name: found for name, found in public("coset.metrics").items() if inspect.isfunction(found)}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_it_is_documented_and_typed(metric):
    text = inspect.getdoc(metric) or ""
    assert text.partition("\n")[0].endswith((".", ":", ")")) and len(text) > 20
    parameters = inspect.signature(metric).parameters.values()
    assert all(part.annotation is not inspect.Parameter.empty for part in parameters)
    assert inspect.signature(metric).return_annotation is not inspect.Signature.empty


def test_results_can_be_written_as_json():
    made = [found for found in public("coset.metrics").values() if inspect.isclass(found)]
    results = [found for found in made if found.__name__.endswith("Result")]
    assert results and all(callable(getattr(found, "as_dict", None)) for found in results)
