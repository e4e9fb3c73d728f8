# SPDX-License-Identifier: MIT
"""One trace id, from a caller's header to every process' log and to what is asked and told outside."""
import contextlib
import io
import math
import re
import struct
import wave

import pytest
from receiver import Receiver
from speech_server import SpeechServer
from system import System, eventually, fetch

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADER = f"00-{TRACE}-00f067aa0ba902b7-01"


def tone():
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(n / 6) * (1 + math.sin(n / 900)) / 2))
                                   for n in range(16000)))
    return target.getvalue()


@pytest.fixture(scope="module")
def outside():
    with contextlib.closing(Receiver()) as played:
        yield played


@pytest.fixture(scope="module")
def speech():
    with contextlib.closing(SpeechServer("one")) as played:
        yield played


@pytest.fixture(scope="module")
def system(speech):
    with System(transcribe_backend="openai", transcribe_url=speech.url("/v1"), service_attempts=1, worker_slots=1,
                log_level="debug", plan="full", webhook_allow_http="on", webhook_allow_networks="127.0.0.0/8") as running:
        yield running


def trace_of(answer):
    version, trace, parent, flags = answer.headers["traceresponse"].split("-")
    assert (version, flags) == ("00", "01") and re.fullmatch("[0-9a-f]{32}", trace) and re.fullmatch("[0-9a-f]{16}", parent)
    return trace


def test_one_id_goes_all_the_way(system, speech, outside):
    user = system.user().bootstrap()
    assert user.call("POST", f"/v1/tenants/{user.tenant}/webhooks", {"url": outside.url("/hook")}).status == 201
    file_id = user.upload("a.wav", "audio/wav", tone())
    answer = user.call("POST", "/v1/files/finalize", {"file_id": file_id}, {"traceparent": HEADER, "X-Request-Id": "mine"})
    assert answer.status == 200 and trace_of(answer) == TRACE and answer.headers["x-request-id"] == "mine"
    assert user.wait(file_id)["status"] == "ready"
    assert {row["trace"] for row in system.sql("select trace from jobs where file_id = %s", file_id)} == {TRACE}

    asked, = speech.got("/v1/audio/transcriptions")
    told = eventually(lambda: [r for r in outside.got("/hook") if r.json["type"] == "file.ready"], what="file.ready")
    told += [r for r in outside.got("/hook") if r.json["type"] == "job.done"]
    for request in (asked, *told):
        names = {name.lower(): value for name, value in request.headers.items()}
        assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", names["traceparent"]), names
        assert names["traceparent"] != HEADER, "the parent is ours"

    def all_logged():
        lines = [line for line in system.log().splitlines() if f"trace={TRACE}" in line]
        programs = set(re.findall(r"proc=(?:filemill-)?(\w+)", "\n".join(lines)))
        words = all(any(word in line for line in lines) for word in ("request=mine", "webhook="))
        return words and programs >= {"gateway", "scheduler", "worker"}
    eventually(all_logged, what="the trace in three logs")


def test_the_store_never_hears_of_it(system):
    """Presigned URLs are asked with the headers that were signed, and no others."""
    lines = [line for line in system.log().splitlines() if re.search("proc=(filemill-)?store", line)]
    assert not any(TRACE in line for line in lines)


@pytest.mark.parametrize("header", ["", "junk", HEADER[:-1], HEADER.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01", HEADER + "-x"])
def test_what_is_no_trace_is_ignored(system, header):
    answer = fetch("GET", system.base + "/health", {"traceparent": header})
    assert answer.status == 200 and trace_of(answer) != TRACE
    assert trace_of(fetch("GET", system.base + "/health", {"traceparent": header})) != trace_of(answer)
