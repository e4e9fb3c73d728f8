"""What every bench shares: a whole system to measure, a table to print, percentiles.

A figure is printed beside the baseline that was measured in the same run, on the same machine, under the same load;
nothing here asserts an absolute time.
"""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from system import System  # noqa: E402,F401


class Table:
    """Rows of (what, value, unit, baseline, what the baseline is, aim)."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, baseline=None, against="", aim=""):
        ratio = f"{value / baseline:.2f}" if baseline else ""
        self.rows.append((what, number(value), unit, number(baseline) if baseline else "", against, ratio, aim))
        print("  ".join(part for part in self.rows[-1] if part), file=sys.stderr, flush=True)

    def print(self):
        heads = ("figure", "value", "unit", "baseline", "against", "ratio", "aim")
        rows = [heads, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
        for index, row in enumerate(rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
            if index == 0:
                print("  ".join("-" * width for width in widths))


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
