#!/usr/bin/python3
"""Runs every bench (or those named) and prints one table. `make bench` calls this."""
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness import Table  # noqa: E402

ALL = ["init_upload", "jobs", "isolation", "per_document", "latency", "claim", "nodes", "credits", "idle", "ocr", "ocr_scaling"]


def main():
    unknown = [name for name in sys.argv[1:] if name not in ALL]
    if unknown:
        sys.exit(f"no such bench: {' '.join(unknown)}; there are: {' '.join(ALL)}")
    table = Table()
    for name in sys.argv[1:] or ALL:
        print(f"— {name}", file=sys.stderr, flush=True)
        importlib.import_module(name).main(table)
    print()
    table.print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
