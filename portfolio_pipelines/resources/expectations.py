"""Validating a frame with Great Expectations: what a suite is, and how one is run. Needs 5 seconds to import.

Belongs here: the library and its ways. Which suites there are is declared in `checks.expectations`; the process that
has the library ready while a run begins is `validator`.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

Suite = Mapping[str, tuple[str, dict[str, Any]]]
"""Name of each check, the expectation it stands for, and the expectation's arguments."""
Verdict = tuple[str, bool, dict[str, bool | int | float | str]]
"""Name of a check, whether it passed, and the counts behind that."""


def prepare() -> None:
    """Import the library now."""
    import great_expectations  # noqa: F401


def validate(frame: pl.DataFrame, suite: Suite) -> Iterator[Verdict]:
    """Run a suite once; yield name, verdict and counts of each expectation."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    for name in ("great_expectations", "great_expectations.data_context.types.base"):  # the second sets its own level
        logging.getLogger(name).setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    whole = asset.add_batch_definition_whole_dataframe("whole")
    expectations = gx.ExpectationSuite(name="suite")
    for name, (kind, arguments) in suite.items():
        expectations.add_expectation_configuration(
            ExpectationConfiguration(type=kind, kwargs=dict(arguments), meta={"check": name})
        )
    batch = whole.get_batch(batch_parameters={"dataframe": frame.to_pandas()})
    for result in batch.validate(expectations, result_format="SUMMARY").results:
        counts = {key: value for key, value in result.result.items() if isinstance(value, bool | int | float | str)}
        if result.exception_info and result.exception_info.get("exception_message"):
            counts["exception"] = str(result.exception_info["exception_message"])
        configuration = result.expectation_config
        if configuration is None or configuration.meta is None:
            msg = f"Great Expectations returned a result without its expectation: {result}"
            raise RuntimeError(msg)
        yield str(configuration.meta["check"]), bool(result.success), counts
