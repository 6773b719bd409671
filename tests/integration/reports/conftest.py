"""What the tests of reports share: a file of marts, and the text and the pictures of a PDF."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from tests.integration.reports.report_marts import ReportMarts


@pytest.fixture(scope="session")
def empty_marts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all marts and no rows, made once."""
    return ReportMarts(tmp_path_factory.mktemp("empty-marts")).path


@pytest.fixture
def marts(empty_marts: Path, tmp_path: Path) -> ReportMarts:
    """Marts without rows, for this test alone."""
    return ReportMarts(tmp_path, like=empty_marts)


@pytest.fixture(scope="session")
def text_of() -> Callable[[bytes], str]:
    """The text of all pages on one line: every kind of space is a plain one, breaks for long names are gone."""

    def read(pdf: bytes) -> str:
        document = pypdfium2.PdfDocument(pdf)
        try:
            pages = [page.get_textpage().get_text_bounded() for page in document]
        finally:
            document.close()
        return " ".join(" ".join(pages).replace("\u200b", "").split())

    return read


@pytest.fixture(scope="session")
def pictures_of() -> Callable[[bytes], list[np.ndarray]]:
    """Every page as grey values, 0 to 255, at 72 dots an inch."""

    def render(pdf: bytes) -> list[np.ndarray]:
        document = pypdfium2.PdfDocument(pdf)
        try:
            return [page.render(scale=1, grayscale=True).to_numpy().copy() for page in document]
        finally:
            document.close()

    return render
