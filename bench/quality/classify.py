#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How well the embedded classifier sorts documents that are made here: five kinds, written from templates by a seeded
generator (tests/integration/documents.py), each document with sentences of other kinds in it. `foreign` of them per four
of its own: what makes it hard. Prints accuracy without examples (the labels' descriptions) and by examples per label."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FILEMILL_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import documents  # noqa: E402

NAMES = list(documents.SENTENCES)
ASKED = 40  # per kind


def ask(training, asked):
    """Of `asked`, how many are told right, and the mean share given to what was told."""
    line = "{} {} {}\n".format
    text = "".join(line("describe", NAMES.index(name), words) for name, words in documents.DESCRIPTIONS.items())
    text += "".join(line("train", NAMES.index(kind), words.replace("\n", r"\n")) for kind, words in training)
    text += "".join(line("ask", NAMES.index(kind), words.replace("\n", r"\n")) for kind, words in asked)
    lines = subprocess.run([BUILD / "tests/unit/classify_probe"], input=text, capture_output=True, text=True,
                           check=True).stdout.splitlines()
    left_out = None
    if training:
        words = lines.pop(0).replace(",", "").split()
        left_out = int(words[1]) / int(words[3])
    answers = [(int(answer.split()[0]), float(answer.split()[1])) for answer in lines]
    right = sum(NAMES[best] == kind for (best, _), (kind, _) in zip(answers, asked))
    return right / len(asked), left_out, sum(share for _, share in answers) / len(answers)


def measure(seed=1):
    rows = []
    for foreign in (0, 2, 4):
        asked = documents.collection(seed + 1, ASKED, foreign=foreign)
        for each in (0, 1, 3, 10, 40):
            training = documents.collection(seed + 2, each, foreign=foreign) if each else []
            rows.append((foreign, each, *ask(training, asked)))
    return rows


if __name__ == "__main__":
    print("foreign  examples  accuracy  left out  mean share")
    for foreign, each, accuracy, left_out, share in measure():
        told = "       -" if left_out is None else f"{left_out:8.3f}"
        print(f"{foreign:7}  {each:8}  {accuracy:8.3f}  {told}  {share:10.3f}")
