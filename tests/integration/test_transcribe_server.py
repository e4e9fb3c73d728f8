# SPDX-License-Identifier: MIT
"""Jobs that ask a service, all the way: a transcription server is played here."""
import contextlib
import json

import pytest

from speech_server import SpeechServer
from system import CORPUS, System, eventually

KEY = "sk-must-never-be-seen"


@pytest.fixture(scope="module")
def server():
    with contextlib.closing(SpeechServer("ten of clubs")) as played:
        yield played


@pytest.fixture(scope="module")
def system(server):
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    with System(transcribe_backend="openai", transcribe_url=server.url("/v1"),
                transcribe_key=KEY, transcribe_concurrency=1, worker_slots=1, service_attempts=1,
                log_level="debug", backoff_unit_ms=200, max_attempts=12, plan="full") as running:
        yield running


@pytest.fixture(scope="module")
def user(system):
    return system.user().bootstrap()


def sound(name="cards_001.wav"):
    return (CORPUS / "audio" / name).read_bytes()


def jobs(system, file):
    return {row["type"]: row["status"] for row in system.sql("select type, status::text from jobs where file_id = %s", file)}


def test_a_sound_is_transcribed(system, server, user):
    file = user.send("a.wav", "audio/wav", sound())
    assert user.wait(file)["status"] == "ready"
    assert user.derivative(file, "transcript_text") == b"ten of clubs\n"
    assert user.derivative(file, "transcript_vtt").startswith(b"WEBVTT\n\n00:00:0")
    assert json.loads(user.derivative(file, "transcript_json"))["engine"] == "openai"
    request = server.requests[0]
    assert (request.path, request.headers["Authorization"]) == ("/v1/audio/transcriptions", f"Bearer {KEY}")
    assert b"RIFF" in request.body


def test_a_slow_service_holds_up_nobody(system, server, user):
    """More sounds than there is room for, on a node with one slot: other documents go on, in the same queue."""
    server.gate.clear()
    server.requests.clear()
    sounds = [user.send(f"{n}.wav", "audio/wav", sound() + bytes(2 * n)) for n in range(6)]
    eventually(lambda: len(server.requests) == 1, what="the service is asked")
    text = user.send("a.txt", "text/plain", b"not a sound\n")
    assert user.wait(text)["status"] == "ready"
    eventually(lambda: all(jobs(system, file)["waveform"] == "done" for file in sounds), what="waveforms")
    eventually(lambda: sorted(jobs(system, file)["transcribe"] for file in sounds) == ["queued"] * 4 + ["running"] * 2,
               what="twice the one place")
    assert len(server.requests) == 1
    server.gate.set()
    for file in sounds:
        assert user.wait(file)["status"] == "ready"
    assert len(server.requests) == 6


def test_a_failing_service_is_tried_later(system, server, user):
    usual, server.script = server.script, [(503, {}, {})]
    file = user.send("later.wav", "audio/wav", sound("leopard_en.wav"))
    row = eventually(lambda: system.sql("select error_code from jobs where file_id = %s and type = 'transcribe'"
                                        " and attempts > 0 and error_code is not null", file), what="a retry")
    assert row[0]["error_code"] == "backend_unavailable"
    server.script = usual
    assert user.wait(file)["status"] == "ready"
    assert KEY not in system.log(), "a key in the log"
