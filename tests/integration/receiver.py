"""A stand-in for an app that receives webhooks: it keeps what came and answers as each path was told to.

The signature check is written from the specification (Standard Webhooks 1.0) and shares nothing with the sender.
"""
import base64
import hashlib
import hmac
import json
import time

from played import Played


class Refused(Exception):
    """The signature, the timestamp or a header is wrong."""


def verify(secret, headers, body, tolerance_s=300, now=None):
    """The event in a request, if one of its signatures fits."""
    names = {name.lower(): value for name, value in headers.items()}
    try:
        identity, stamp, signatures = (names[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise Refused(f"no {missing}") from None
    if "." in identity or not stamp.isdigit() or abs((now or time.time()) - int(stamp)) > tolerance_s:
        raise Refused("id or timestamp")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    assert 24 <= len(key) <= 64
    wanted = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    for signature in signatures.split(" "):
        version, _, text = signature.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(text, validate=True), wanted):
            return json.loads(body)
    raise Refused("no signature fits")


class Receiver(Played):
    """Answers 204, or what `answers[path]` holds: a list taken one by one (its last stays), each a status, a
    (status, headers, body), or a function of the request that gives one of those."""

    def __init__(self, address="127.0.0.1", context=None):
        self.answers, self.open, self.most_open = {}, {}, {}
        super().__init__(address=address, context=context)

    def take(self, request):
        path = request.path
        self.open[path] = self.open.get(path, 0) + 1
        self.most_open[path] = max(self.most_open.get(path, 0), self.open[path])
        answers = self.answers.get(path, [204])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def reply(self, answer, request):
        try:
            if callable(answer):
                answer = answer(request)
        finally:
            with self.lock:
                self.open[request.path] -= 1
        return answer if isinstance(answer, tuple) else (answer, {}, b"")
