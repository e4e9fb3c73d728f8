# SPDX-License-Identifier: MIT
"""Transcription by the embedded recogniser, in a real runner. bench/quality/transcribe.py prints all scores."""
import json
import random
import re
import shutil
import struct
import subprocess
import sys

import pytest

from driver import CORPUS, ROOT

sys.path.insert(0, str(ROOT / "bench" / "quality"))
import transcribe  # noqa: E402

AUDIO = CORPUS / "audio"
SECOND = 16000
corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")


def wav(path, samples, rate=SECOND):
    data = struct.pack(f"<{len(samples)}h", *samples)
    path.write_bytes(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2,
                                 2, 16, b"data", len(data)) + data)
    return path


def speech():
    data = (AUDIO / "cards_001.wav").read_bytes()
    data = data[44:44 + (len(data) - 44) // 2 * 2]
    return struct.unpack(f"<{len(data) // 2}h", data)


def run(driver, folder, path, parameters=None, **limits):
    outputs = {kind: folder / kind for kind in ("text", "json", "srt", "vtt")}
    answer = driver.run("transcribe", parameters, input=str(path), mime="audio/wav", limits=limits,
                        outputs=[str(output) for output in outputs.values()])
    made = {} if answer["reason"] else {kind: output.read_bytes().decode() for kind, output in outputs.items()}
    return answer, made


@corpus
@pytest.mark.parametrize("name,most", [("cards_001.wav", 0.01), ("leopard_en.wav", 0.50), ("librivox_0870.wav", 0.45)])
def test_scores_are_held(name, most):
    (_, rate, _, _), = transcribe.measure(names=[name])
    assert rate <= most


@corpus
def test_all_outputs_agree(driver, tmp_path):
    quiet = [0] * (3 * SECOND)
    answer, made = run(driver, tmp_path, wav(tmp_path / "in.wav", [*quiet, *speech(), *quiet, *speech()]),
                       {"language": "EN_us"})
    said = json.loads(made["json"])
    assert (said["engine"], said["model"], said["language"]) == ("pocketsphinx", "en-us", "en-us")
    assert [segment["text"] for segment in said["segments"]] == ["ten of clubs"] * 2
    assert made["text"] == "ten of clubs\nten of clubs\n"
    spoken = len(speech()) * 1000 // SECOND
    for segment, start in zip(said["segments"], (3000, 6000 + spoken)):
        times = [word[key] for word in segment["words"] for key in ("start_ms", "end_ms")]
        assert times == sorted(times) and start <= times[0] and times[-1] <= start + spoken + 100, said
        assert all(0 <= word["confidence"] <= 1 for word in segment["words"])
    assert made["srt"].count(" --> ") == 2 and made["vtt"].startswith("WEBVTT\n\n00:00:0")
    assert re.fullmatch(r"(\d+\n(\d\d:){2}\d\d,\d{3} --> (\d\d:){2}\d\d,\d{3}\nten of clubs\n\n){2}", made["srt"])
    assert answer["metrics"]["words"] == 6 and answer["metrics"]["duration_ms"] == said["duration_ms"]


def test_what_is_no_speech_is_empty_and_quick(driver, tmp_path):
    draw = random.Random(1)
    tone = [int(8000 * ((i // 40) % 2 * 2 - 1)) for i in range(8 * SECOND)]
    sounds = {"silence": [0] * (30 * SECOND), "noise": [draw.randint(-9000, 9000) for _ in range(10 * SECOND)],
              "tone": tone, "nothing": []}
    for name, samples in sounds.items():
        answer, made = run(driver, tmp_path, wav(tmp_path / "in.wav", samples))
        assert answer["reason"] == "" and (made["text"], made["srt"], made["vtt"]) == ("", "", "WEBVTT\n\n"), name
        assert json.loads(made["json"])["segments"] == [] and answer["cpu_us"] < 2_000_000, name


@corpus
def test_bad_sounds_have_reasons(driver, tmp_path):
    for name in ("goforward.raw", "testMP3truncated.mp3", "bad.wav"):
        assert run(driver, tmp_path, AUDIO / name)[0]["reason"] == "bad_input", name
    cut = tmp_path / "cut.wav"
    cut.write_bytes((AUDIO / "cards_001.wav").read_bytes()[:20000])
    answer, made = run(driver, tmp_path, cut)
    assert answer["reason"] == "" and json.loads(made["json"])["duration_ms"] < 700


@corpus
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
@pytest.mark.parametrize("name,codec", [("a.m4a", "aac"), ("a.webm", "libopus")])
def test_other_formats_and_rates(driver, tmp_path, name, codec):
    subprocess.run(["ffmpeg", "-v", "error", "-i", AUDIO / "cards_001.wav", "-af", "adelay=700:all=1,apad=pad_dur=1",
                    "-ar", "48000", "-ac", "2", "-c:a", codec, tmp_path / name], check=True)
    answer, made = run(driver, tmp_path, tmp_path / name)
    assert answer["reason"] == "" and transcribe.errors("ten of clubs".split(), made["text"].split()) <= 1, made


@pytest.mark.parametrize("parameters,reason", [
    ({"language": "de"}, "unsupported_language"), ({"language": "english"}, "bad_parameters"),
    ({"language": 7}, "bad_parameters"), ({"speed": 2}, "bad_parameters"), ([], "bad_parameters")])
def test_parameters_are_checked(driver, tmp_path, parameters, reason):
    assert run(driver, tmp_path, wav(tmp_path / "in.wav", [0] * 100), parameters)[0]["reason"] == reason


@corpus
def test_it_ends_when_told(driver, tmp_path):
    """Half a minute of speech takes seconds: cancelled on the way, and over its processor time."""
    path = wav(tmp_path / "long.wav", list(speech()) * 28)
    request = dict(input=str(path), mime="audio/wav", outputs=[str(tmp_path / "out")] + [None] * 3)
    number = driver.start("transcribe", **request)
    driver.runner(number)
    driver.send({"cancel": number})
    assert driver.wait(number)["reason"] == "cancelled"
    assert driver.run("transcribe", limits={"cpu_seconds": 1}, **request)["reason"] == "cpu_limit"
