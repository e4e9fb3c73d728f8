# SPDX-License-Identifier: MIT
"""Network tasks in a real worker: the scheduler, the storage and the transcription server are played here."""
import contextlib
import email.parser
import email.policy
import json
import struct
import time

import pytest

from driver import CORPUS
from ports import free_port
from speech_server import SpeechServer, said
from test_worker import (CREDIT, DONE, FAILED, RELEASE, Scheduler, Storage, output, scheduler, start_worker, storage)  # noqa: F401

AUDIO = CORPUS / "audio"
KEY = "sk-must-never-be-seen"
WORDS = "ask not what your country can do for you"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")


@pytest.fixture
def server():
    with contextlib.closing(SpeechServer(WORDS)) as played:
        yield played


@pytest.fixture
def begin(scheduler, storage, server, capfd):  # noqa: F811
    """Starts a worker that transcribes by the played server."""
    running = []
    storage.objects["in.wav"] = (AUDIO / "cards_001.wav").read_bytes()

    def start(**settings):
        running.append(start_worker(scheduler, **{
            "transcribe_backend": "openai", "transcribe_url": server.url(), "transcribe_key": KEY,
            "service_connect_timeout_ms": 1000, "log_level": "debug", **settings}))
        return running[-1]
    yield start
    for process in running:
        process.kill()
        process.wait()
    seen = capfd.readouterr()
    assert KEY not in seen.err + seen.out, "a key in the log"


def ask(scheduler, storage, name="in.wav", parameters=None, **fields):  # noqa: F811
    body = storage.objects[name]
    kinds = [("text", "text/plain; charset=utf-8"), ("json", "application/json"), ("srt", "application/x-subrip"),
             ("vtt", "text/vtt")]
    return scheduler.task("transcribe", f8=storage.url(name), f9=len(body), f10="audio/wav",
                          f13=json.dumps(parameters) if parameters else "",
                          f21=[output(storage, f"transcript_{kind}", f"out.{kind}", mime) for kind, mime in kinds], **fields)


def outcome(result):
    return result.get(4, ""), result.get(7, False)


def form_of(request):
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    return [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts.iter_parts()]


def test_a_transcript_all_the_way(begin, scheduler, storage, server):  # noqa: F811
    begin(transcribe_model="large-v3")
    assert scheduler.credit[4] == 4, "twice the places of the one service"
    result = scheduler.result(ask(scheduler, storage, parameters={"language": "en-US"}))
    assert result[3] == DONE, result
    assert {o[1] for o in result[18]} == {"transcript_text", "transcript_json", "transcript_srt", "transcript_vtt"}
    assert storage.objects["out.text"].decode() == WORDS + "\n"
    transcript = json.loads(storage.objects["out.json"])
    assert (transcript["engine"], transcript["model"], transcript["language"]) == ("openai", "large-v3", "en-us")
    asked = server.requests[0]
    assert (asked.path, asked.headers["Authorization"]) == ("/v1/audio/transcriptions", f"Bearer {KEY}")
    form = form_of(server.requests[0])
    fields = [(name, value.decode()) for name, value in form if name != "file"]
    assert ("model", "large-v3") in fields and ("language", "en") in fields
    assert ("response_format", "verbose_json") in fields
    wav = dict(form)["file"]
    assert struct.unpack_from("<4sI4s4sIHHIIHH4sI", wav) == (
        b"RIFF", len(wav) - 8, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", len(wav) - 44)
    assert len(server.requests) == 1


def test_whisper_cpp_and_times_put_back(begin, scheduler, storage, server):  # noqa: F811
    begin(transcribe_backend="whisper.cpp")
    speech = (AUDIO / "cards_001.wav").read_bytes()[44:]
    pause = bytes(16000 * 2 * 3)
    pcm = pause + speech + pause + speech
    storage.objects["in.wav"] = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, 1, 1,
                                            16000, 32000, 2, 16, b"data", len(pcm)) + pcm
    words = [{"word": " one", "start": 0.3, "end": 0.6, "probability": 0.9},
             {"word": " two", "start": 1.6, "end": 1.9, "probability": 0.8}]
    segments = [{"start": 0.0, "end": 1.0, "text": " one", "words": words[:1]},
                {"start": 1.5, "end": 2.0, "text": " two", "words": words[1:]},
                {"start": 2.0, "end": 2.1, "text": " Thanks for watching!", "avg_logprob": -1.5, "no_speech_prob": 0.9}]
    server.script = [(200, {}, {"language": "en", "text": "one two", "segments": segments})]
    result = scheduler.result(ask(scheduler, storage))
    assert result[3] == DONE, result
    assert server.requests[0].path == "/inference"
    transcript = json.loads(storage.objects["out.json"])
    assert [s["text"] for s in transcript["segments"]] == ["one", "two"], "what is no speech is left out"
    first, second = (s["words"][0] for s in transcript["segments"])
    assert 3000 <= first["start_ms"] <= 4100 and 6800 <= second["start_ms"] <= 8200, transcript
    assert transcript["duration_ms"] == len(pcm) // 32 and transcript["speech_ms"] < 4000


def test_silence_asks_nobody(begin, scheduler, storage, server):  # noqa: F811
    begin()
    storage.objects["in.wav"] = (AUDIO / "silent_1s.wav").read_bytes()
    result = scheduler.result(ask(scheduler, storage))
    assert result[3] == DONE and server.requests == []
    assert storage.objects["out.text"] == b"" and storage.objects["out.vtt"] == b"WEBVTT\n\n"


@pytest.mark.parametrize("script,requests,error", [
    ([(429, {"Retry-After": "1"}, {}), (200, {}, said(WORDS))], 2, ""),
    ([(500, {}, {}), (503, {}, {}), (200, {}, said(WORDS))], 3, ""),
    ([(500, {}, {})], 3, "backend_unavailable"),
    ([(429, {"Retry-After": "3600"}, {})], 1, "backend_rate_limited"),
    ([(401, {}, {"error": {"message": f"Incorrect API key: {KEY}"}})], 1, "backend_refused"),
    ([(302, {"Location": "http://169.254.169.254/"}, b"")], 1, "backend_bad_answer"),
    ([(200, {}, b"<html>not json")], 1, "backend_bad_answer"),
    ([(200, {}, b'{"text":')], 1, "backend_bad_answer"),
    ([(200, {}, {"segments": [7]})], 1, "backend_bad_answer"),
    ([(200, {}, b" " * 5000)], 1, "backend_bad_answer"),
    ([(200, {}, {"text": "a" * 3000})], 1, ""),
    ([("hang", {}, {})], 1, "backend_unavailable"),
], ids=["429-then", "500s-then", "500s", "429-long", "401", "302", "html", "cut", "odd", "oversize", "text-only", "hang"])
def test_what_a_server_may_do(begin, scheduler, storage, server, script, requests, error):  # noqa: F811
    begin(service_answer_bytes=4096, **({"transcribe_timeout_ms": 700} if script[0][0] == "hang" else {}))
    server.script = script
    started = time.monotonic()
    result = scheduler.result(ask(scheduler, storage))
    assert outcome(result) == (error, error != ""), result
    assert len(server.requests) == requests
    if script[0][0] == 429 and not error:
        assert time.monotonic() - started >= 1, "Retry-After is honoured"
    if error:
        assert result[6] == "call" and KEY not in result.get(5, ""), result


def test_a_breaker_opens_and_closes(begin, scheduler, storage):  # noqa: F811
    port = free_port()  # nobody listens: refused
    begin(service_attempts=1, service_breaker_failures=2, service_breaker_ms=3000, transcribe_url=f"http://127.0.0.1:{port}")
    for _ in range(2):
        assert outcome(scheduler.result(ask(scheduler, storage))) == ("backend_unavailable", True)
    result = scheduler.result(ask(scheduler, storage))
    assert outcome(result) == ("backend_unavailable", True) and "left alone for" in result[5]
    again = SpeechServer(WORDS, port)
    try:
        deadline = time.monotonic() + 60
        while scheduler.result(ask(scheduler, storage))[3] != DONE:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert scheduler.result(ask(scheduler, storage))[3] == DONE
        assert len(again.requests) == 2, "one probe, then as before"
    finally:
        again.close()


def test_they_hold_no_slot(begin, scheduler, storage, server):  # noqa: F811
    begin(worker_slots=1, transcribe_concurrency=2)
    server.script = [("hang", {}, {})]
    jobs = [ask(scheduler, storage) for _ in range(2)]
    deadline = time.monotonic() + 60
    while len(server.requests) < 2:
        scheduler.pump(20)
        assert time.monotonic() < deadline
    jobs += [ask(scheduler, storage) for _ in range(2)]
    result = scheduler.result(scheduler.task("selftest", f13='{"act":"none"}'))
    assert result[1] not in jobs, "a document runs while all places of the service are taken"
    assert server.most == 2
    scheduler.send(8, f1=jobs[0], f2=1)  # a cancelled one leaves its place to the next
    assert scheduler.release(jobs[0])[3] == "cancelled"
    while len(server.requests) < 3:
        scheduler.pump(20)
        assert time.monotonic() < deadline
    server.script = [(200, {}, said(WORDS))]
    server.release.set()
    # Those that hung are asked again: the server cut them.
    assert {scheduler.result(job)[3] for job in jobs[1:]} == {DONE}


def test_the_rate_holds(begin, scheduler, storage, server):  # noqa: F811
    begin(transcribe_per_minute=120, transcribe_concurrency=8)  # a burst of 12, then two a second
    jobs = [ask(scheduler, storage) for _ in range(15)]
    for job in jobs:
        assert scheduler.result(job)[3] == DONE
    times = [request.at for request in server.requests]
    assert times[-1] - times[0] >= 0.9, times


@pytest.mark.parametrize("settings,parameters,error", [
    ({}, {"language": "klingon!"}, "bad_parameters"),
    ({}, {"colour": "red"}, "bad_parameters"),
    ({"transcribe_url": ""}, None, "backend_not_configured"),
    ({"transcribe_url": "http://user:pw@127.0.0.1/"}, None, "backend_refused"),
])
def test_refused_before_asking(begin, scheduler, storage, server, settings, parameters, error):  # noqa: F811
    begin(**settings)
    assert scheduler.result(ask(scheduler, storage, parameters=parameters))[4] == error
    assert server.requests == []


def test_a_bad_sound_fails_in_the_runner(begin, scheduler, storage, server):  # noqa: F811
    begin()
    storage.objects["in.wav"] = (AUDIO / "goforward.raw").read_bytes()
    result = scheduler.result(ask(scheduler, storage))
    assert (result[3], result[4], result[6]) == (FAILED, "bad_input", "parse")
    assert server.requests == []
