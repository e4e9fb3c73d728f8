# SPDX-License-Identifier: MIT
"""Word error rate of transcribe over the corpus, for each backend there is: pocketsphinx always, a server where
FILEMILL_TRANSCRIBE_BACKEND and FILEMILL_TRANSCRIBE_URL name one. `python3 bench/quality/transcribe.py [NAME…]`.

Case, punctuation and a few ways to write the same (Mr. and mister) don't count. PocketSphinx is measured on English
alone; a server also on the other languages, in characters where a script has no blanks. FILEMILL_BUILD and
FILEMILL_CORPUS say where programs and files are."""
import os
import re
import statistics
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "sandbox"))
from driver import CORPUS, Driver  # noqa: E402

AUDIO = CORPUS / "audio"
ENGLISH = ["jfk.wav", "jfk_mp3.mp3", "leopard_en.wav", "librivox_0870.wav", "cards_001.wav"]
OTHERS = {"leopard_de.wav": "de", "leopard_ja.wav": "ja"}
SAME = {"mr": "mister", "mrs": "missus", "dr": "doctor"}


def words(text):
    text = unicodedata.normalize("NFKC", text).lower()
    text = "".join(" " if unicodedata.category(c)[0] in "PSZC" and c != "'" else c for c in text)
    if re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text):
        return [c for c in text if not c.isspace()]
    return [SAME.get(word, word) for word in text.split()]


def errors(truth, said):
    """Least number of words to put in, take out or change."""
    row = list(range(len(said) + 1))
    for i, word in enumerate(truth, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def by_pocketsphinx(names):
    with Driver() as driver, tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "text"
        for name in names:
            begun = time.monotonic()
            answer = driver.run("transcribe", input=str(AUDIO / name), mime="audio/wav",
                                outputs=[str(output), None, None, None])
            seconds = time.monotonic() - begun
            yield name, "" if answer["reason"] else output.read_text(), seconds


def by_server(names):
    """All the way: upload, task, server, derivative."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "integration"))
    from system import System
    settings = {key.removeprefix("FILEMILL_").lower(): value for key, value in os.environ.items()
                if key.startswith("FILEMILL_TRANSCRIBE_")}
    with System(**settings) as system:
        user = system.user().bootstrap()
        for name in names:
            begun = time.monotonic()
            file = user.send(name, "audio/mpeg" if name.endswith("mp3") else "audio/wav", (AUDIO / name).read_bytes())
            user.wait(file, 600)
            yield name, user.derivative(file, "transcript_text").decode(), time.monotonic() - begun


def measure(backend="pocketsphinx", names=()):
    """Rows of (file, word error rate, words, seconds)."""
    wanted = names or ENGLISH + ([] if backend == "pocketsphinx" else list(OTHERS))
    for name, text, seconds in (by_pocketsphinx if backend == "pocketsphinx" else by_server)(wanted):
        truth = words((AUDIO / name).with_suffix(".txt").read_text())
        yield name, errors(truth, words(text)) / len(truth), len(truth), seconds


def show(backend, rows):
    print(f"\n{backend:24} {'WER':>6} {'words':>6} {'s':>6}")
    for name, rate, count, seconds in rows:
        print(f"{name:24} {rate:6.3f} {count:6} {seconds:6.1f}")
    worst = max(rows, key=lambda row: row[1])
    print(f"{'all words':24} {sum(r[1] * r[2] for r in rows) / sum(r[2] for r in rows):6.3f}")
    print(f"{'median':24} {statistics.median(row[1] for row in rows):6.3f}")
    print(f"{'worst: ' + worst[0]:24} {worst[1]:6.3f}")
    print(f"{'seconds':24} {sum(row[3] for row in rows):20.1f}")


if __name__ == "__main__":
    server = os.environ.get("FILEMILL_TRANSCRIBE_BACKEND", "pocketsphinx")
    for backend in dict.fromkeys(["pocketsphinx", server]):
        show(backend, list(measure(backend, sys.argv[1:])))
