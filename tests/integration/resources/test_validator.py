"""The process that validates frames: verdicts as in this process, and what happens when it fails."""

import os
import subprocess
import sys
from collections.abc import Iterator

import polars as pl
import psutil
import pytest

from portfolio_pipelines.resources.expectations import Suite, validate
from portfolio_pipelines.resources.validator import Validator, ValidatorError

POSITIVE: Suite = {"positive": ("expect_column_values_to_be_between", {"column": "x", "min_value": 0})}


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    it = Validator()
    yield it
    it.stop()


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, -2.0], [None, 1.0], []])
def test_the_verdicts_are_those_of_the_library_in_this_process(
    validator: Validator, values: list[float | None]
) -> None:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    assert list(validator.validate(frame, POSITIVE)) == list(validate(frame, POSITIVE))


def test_an_impossible_suite_is_said_in_words_and_the_next_one_works(validator: Validator) -> None:
    frame = pl.DataFrame({"x": [1.0]})
    with pytest.raises(ValidatorError, match="expect_the_impossible"):
        validator.validate(frame, {"nonsense": ("expect_the_impossible", {})})
    assert validator.validate(frame, POSITIVE)[0][1] is True


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def test_a_process_that_died_is_named_and_replaced(validator: Validator) -> None:
    frame = pl.DataFrame({"x": [1.0]})
    with pytest.raises(ValidatorError, match="ended with code 3"):
        validator.validate(frame, {"bomb": ("expect_column_values_to_be_in_set", {"value_set": Bomb()})})
    assert validator.validate(frame, POSITIVE)[0][1] is True


def test_it_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "from portfolio_pipelines.resources.validator import Validator\n"
        "print(Validator().start()._process.pid, flush=True)\nimport time\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=dict(os.environ))
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=60)
