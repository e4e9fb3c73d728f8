# SPDX-License-Identifier: MIT
"""A server that transcribes, played."""
import json
import threading

from played import Played


def said(text, **more):
    """What whisper's servers answer."""
    return {"task": "transcribe", "language": "english", "duration": 2.0, "text": text,
            "segments": [{"id": 0, "start": 0.0, "end": 0.9, "text": " " + text, "avg_logprob": -0.1,
                          "no_speech_prob": 0.01}], **more}


class SpeechServer(Played):
    """Answers what stands in `script`, in turn, the last for ever: status, headers, and a body or what is JSON. Where the
    status is "hang" nothing is said, and once `release` is set it hangs up."""

    def __init__(self, text, port=0):
        self.script, self.release = [(200, {}, said(text))], threading.Event()
        super().__init__(port)

    def take(self, _):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def reply(self, answer, _):
        status, headers, body = answer
        if status == "hang":
            self.release.wait(60)
            return None
        return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()

    def close(self):
        self.release.set()
        super().close()
