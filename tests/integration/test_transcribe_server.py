# SPDX-License-Identifier: MIT
"""Jobs that ask a service, all the way: a transcription server is played here."""
import http.server
import json
import threading

import pytest

from system import CORPUS, System, eventually

KEY = "sk-must-never-be-seen"
SAID = {"language": "english", "text": "ten of clubs",
        "segments": [{"start": 0.0, "end": 0.9, "text": " ten of clubs", "avg_logprob": -0.2, "no_speech_prob": 0.0}]}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.status, self.go = [], 200, threading.Event()
        self.go.set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.seen.append((self.path, self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.go.wait(60)
        body = json.dumps(SAID).encode() if self.server.status == 200 else b"{}"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    played = Server()
    yield played
    played.go.set()
    played.shutdown()
    played.server_close()


@pytest.fixture(scope="module")
def system(server):
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    with System(transcribe_backend="openai", transcribe_url=f"http://127.0.0.1:{server.server_port}/v1",
                transcribe_key=KEY, transcribe_concurrency=1, worker_slots=1, service_attempts=1,
                log_level="debug", backoff_unit_ms=200, plan="full") as running:
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
    path, authorization, body = server.seen[0]
    assert (path, authorization) == ("/v1/audio/transcriptions", f"Bearer {KEY}") and b"RIFF" in body


def test_a_slow_service_holds_up_nobody(system, server, user):
    """More sounds than there is room for, on a node with one slot: other documents go on, in the same queue."""
    server.go.clear()
    server.seen.clear()
    sounds = [user.send(f"{n}.wav", "audio/wav", sound() + bytes(2 * n)) for n in range(6)]
    eventually(lambda: len(server.seen) == 1, what="the service is asked")
    text = user.send("a.txt", "text/plain", b"not a sound\n")
    assert user.wait(text, 20)["status"] == "ready"
    eventually(lambda: all(jobs(system, file)["waveform"] == "done" for file in sounds), 20, what="waveforms")
    states = sorted(jobs(system, file)["transcribe"] for file in sounds)
    assert states == ["queued"] * 4 + ["running"] * 2, "twice the one place"
    assert len(server.seen) == 1
    server.go.set()
    for file in sounds:
        assert user.wait(file)["status"] == "ready"
    assert len(server.seen) == 6


def test_a_failing_service_is_tried_later(system, server, user):
    server.status = 503
    file = user.send("later.wav", "audio/wav", sound("leopard_en.wav"))
    row = eventually(lambda: system.sql("select error_code from jobs where file_id = %s and type = 'transcribe'"
                                        " and status = 'retry'", file), what="a retry")
    assert row[0]["error_code"] == "backend_unavailable"
    server.status = 200
    assert user.wait(file)["status"] == "ready"
    assert KEY not in system.log(), "a key in the log"
