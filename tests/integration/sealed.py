# SPDX-License-Identifier: MIT
"""The reference client of docs/encryption.md: seals and opens objects, and sends their keys (HPKE, RFC 9180)."""
import base64
import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHUNK = 65536
TAG = 16
HEADER = 32


def _mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def _commitment(key, head):
    return _mac(key, b"filemill sealed object" + head)[:16]


def _nonce(header, index, last):
    return header[8:15] + struct.pack(">IB", index, last)


def sealed_size(size, chunk=CHUNK):
    return HEADER + size + TAG * max(1, -(-size // chunk))


def seal(key, plain, chunk=CHUNK):
    head = b"FMSEAL" + bytes([1, chunk.bit_length() - 1]) + os.urandom(7) + b"\1"
    header = head + _commitment(key, head)
    parts = [plain[at:at + chunk] for at in range(0, len(plain), chunk)] or [b""]
    cipher = AESGCM(key)
    return header + b"".join(cipher.encrypt(_nonce(header, i, i + 1 == len(parts)), part, header)
                             for i, part in enumerate(parts))


def open_sealed(key, data):
    header, body = data[:HEADER], data[HEADER:]
    assert header[:7] == b"FMSEAL\1" and header[15] == 1
    assert hmac.compare_digest(header[16:], _commitment(key, header[:16])), "another key"
    whole = (1 << header[7]) + TAG
    parts = [body[at:at + whole] for at in range(0, len(body), whole)]
    cipher = AESGCM(key)
    return b"".join(cipher.decrypt(_nonce(header, i, i + 1 == len(parts)), part, header)
                    for i, part in enumerate(parts))


def _extract(suite, salt, label, material):
    return _mac(salt, b"HPKE-v1" + suite + label + material)


def _expand(suite, key, label, info, size):
    return _mac(key, struct.pack(">H", size) + b"HPKE-v1" + suite + label + info + b"\1")[:size]


def wrap(answer, key):
    """The `wrapped_key` of init-upload, from the answer of GET /v1/encryption/key."""
    text = answer["key"]["x"]
    peer = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2"
    own = X25519PrivateKey.generate()
    sender = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = own.exchange(X25519PublicKey.from_public_bytes(peer))
    secret = _expand(kem, _extract(kem, b"", b"eae_prk", shared), b"shared_secret", sender + peer, 32)
    context = (b"\0" + _extract(suite, b"", b"psk_id_hash", b"") +
               _extract(suite, b"", b"info_hash", answer["info"].encode()))
    base = _extract(suite, secret, b"secret", b"")
    cipher = AESGCM(_expand(suite, base, b"key", context, 32))
    sealed = cipher.encrypt(_expand(suite, base, b"base_nonce", context, 12), key, b"")
    return base64.urlsafe_b64encode(sender + sealed).rstrip(b"=").decode()
