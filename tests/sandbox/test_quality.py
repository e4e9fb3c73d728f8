# SPDX-License-Identifier: MIT
"""The scores that processors have reached on the corpus are held (bench/quality/scores.py prints all of them)."""
import statistics
import sys

import pytest

from driver import CORPUS, ROOT

sys.path.insert(0, str(ROOT / "bench" / "quality"))
import scores  # noqa: E402

if not CORPUS.is_dir():
    pytest.skip("no corpus: set FILEMILL_CORPUS", allow_module_level=True)

# Of each table: the median, and single files where a fall would not move it.
HELD = {"pdf": (0.985, {"sf_GeoTopo-komprimiert.pdf": 0.98, "box_cweb.pdf": 0.995, "box_BidiSample.pdf": 0.88}),
        "office": (0.98, {"textbox.docx": 0.99, "word_tables.docx": 0.90, "xlsx_06_edge_cases_.xlsx": 0.99}),
        "pictures": (0.98, {f"exif_Landscape_{number}.jpg": 0.98 for number in range(1, 9)})}


@pytest.mark.parametrize("name", HELD)
def test_scores_are_held(name):
    median, files = HELD[name]
    table = scores.measure(name)
    rows = {row[0]: row[1] for row in table}
    assert not [row for row in table if row[3] is not None and row[1] < row[3]], "worse than the plain tool"
    assert statistics.median(rows.values()) >= median
    assert not {file: rows[file] for file, least in files.items() if rows[file] < least}

