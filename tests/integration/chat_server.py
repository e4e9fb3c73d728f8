# SPDX-License-Identifier: MIT
"""A chat server, played."""
import json

from played import Played

USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}


class ChatServer(Played):
    """Each question gets the first of `answers`, else `otherwise`: what the model says, or a status without a word."""

    def __init__(self, otherwise=""):
        super().__init__()
        self.answers, self.otherwise = [], otherwise

    @property
    def questions(self):
        return [request.json for request in list(self.requests)]

    def take(self, _):
        return self.answers.pop(0) if self.answers else self.otherwise

    def reply(self, answer, _):
        headers = {"Content-Type": "application/json"}
        if isinstance(answer, int):
            return answer, {**headers, "Retry-After": "0"} if answer == 429 else headers, b"{}"
        return 200, headers, json.dumps({"model": "m-2026", "usage": USAGE, "choices": [
            {"finish_reason": "stop", "message": {"content": answer}}]}).encode()
