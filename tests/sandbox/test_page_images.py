# SPDX-License-Identifier: MIT
"""page_images through a real runner: which pages, how large, and what can't be drawn."""
import io
import sys
import zipfile
from pathlib import Path

import pytest

from driver import CORPUS

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from scans import text_pdf  # noqa: E402

Image = pytest.importorskip("PIL.Image", reason="python3-pil is not installed")


class Pictures:
    def __init__(self, driver, folder, document, limits=None, **parameters):
        source, target = folder / "source.pdf", folder / "pages.zip"
        if isinstance(document, bytes):
            source.write_bytes(document)
        else:
            source = document
        self.answer = driver.run("page_images", parameters, input=str(source), mime="application/pdf", outputs=[str(target)],
                                 limits={"cpu_seconds": 60, "wall_ms": 60000, **(limits or {})})
        self.reason = self.answer["reason"]
        self.facts = self.answer["metadata"][0] if not self.reason else None
        self.zip = zipfile.ZipFile(target) if not self.reason else None

    def sizes(self):
        return {name: Image.open(io.BytesIO(self.zip.read(name))).size for name in self.zip.namelist()}


def test_all_pages_of_a_short_document(driver, tmp_path):
    made = Pictures(driver, tmp_path, text_pdf([1, 2, 3]))
    assert made.sizes() == {f"{page:04d}.webp": (1200, 480) for page in (1, 2, 3)}
    assert {name: int(made.facts[name]) for name in ("first", "last", "drawn")} == {"first": 1, "last": 3, "drawn": 3}
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in made.zip.infolist()), "one page can be read alone"


def test_some_pages_of_a_long_one(driver, tmp_path):
    made = Pictures(driver, tmp_path, text_pdf(range(1, 71)), first=60, pages=4, pixels=100)
    assert made.sizes() == {f"{page:04d}.webp": (100, 40) for page in (60, 61, 62, 63)}
    assert len(Pictures(driver, tmp_path, text_pdf(range(1, 71)), pixels=64).zip.namelist()) == 50
    assert list(Pictures(driver, tmp_path, text_pdf(range(1, 71)), first=70, pages=50, pixels=64).sizes()) == ["0070.webp"]


@pytest.mark.parametrize("parameters, reason", [({"first": 4}, "bad_parameters"), ({"first": 0}, "bad_parameters"),
                                                ({"pages": 51}, "bad_parameters"), ({"pixels": 5000}, "bad_parameters"),
                                                ({"page": 1}, "bad_parameters")])
def test_what_cannot_be_is_refused(driver, tmp_path, parameters, reason):
    assert Pictures(driver, tmp_path, text_pdf([1, 2, 3]), **parameters).reason == reason


def test_no_document_is_bad_input(driver, tmp_path):
    assert Pictures(driver, tmp_path, b"%PDF-1.7\n" + b"garbage " * 200).reason == "bad_input"


def test_outputs_stay_below_their_limit(driver, tmp_path):
    assert Pictures(driver, tmp_path, text_pdf(range(1, 20)), limits={"output_bytes": 50000}).reason == "output_limit"


def test_documents_of_every_kind_end_well(driver, tmp_path):
    documents = sorted((CORPUS / "pdf").glob("*.pdf")) if (CORPUS / "pdf").is_dir() else []
    if not documents:
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    done = 0
    for document in documents[::3]:
        made = Pictures(driver, tmp_path, document, pages=2, pixels=200)
        assert made.reason in ("", None, "bad_input", "password_required"), (document.name, made.answer)
        if not made.reason:
            done += 1
            assert all(max(size) in (199, 200, 201) for size in made.sizes().values()), (document.name, made.sizes())
    assert done > len(documents[::3]) // 2
