# SPDX-License-Identifier: MIT
"""The store takes what is signed as the manual says, and nothing else. The signer of these tests is a second
implementation (store_process.Signer); each negative row breaks one thing in an otherwise good request."""
import base64
import hashlib
import xml.etree.ElementTree as ElementTree
import zlib

import pytest

from store_process import BUCKET, Store

DATA = bytes(range(256)) * 700
PATH = f"/{BUCKET}/signed/object"


@pytest.fixture(scope="module")
def store():
    with Store() as running:
        yield running


def code_of(body):
    return ElementTree.fromstring(body).findtext("Code")


def read_back(store, key="signed/object"):
    return store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()


def put(store, signer, **options):
    body = options.get("body", DATA)
    target, headers = signer.header_request("PUT", PATH, **{"body": body, **options})
    return store.request("PUT", target, headers, body)


def test_a_good_header_signature_is_taken(store):
    status, headers, _ = put(store, store.signer())
    assert status == 200
    assert headers["ETag"] == f'"{hashlib.md5(DATA).hexdigest()}"'
    assert read_back(store) == DATA


@pytest.mark.parametrize("changes, status, code", [
    ({"access_key": "AKIASOMEBODYELSE"}, 403, "InvalidAccessKeyId"),
    ({"secret_key": "wrong"}, 403, "SignatureDoesNotMatch"),
    ({"region": "eu-west-1"}, 400, "AuthorizationHeaderMalformed"),
    ({"service": "sqs"}, 400, "AuthorizationHeaderMalformed"),
    ({"terminator": "aws5_request"}, 400, "AuthorizationHeaderMalformed"),
    ({"scope_date": "20200101"}, 400, "AuthorizationHeaderMalformed"),
    ({"shift_seconds": -16 * 60}, 403, "RequestTimeTooSkewed"),
    ({"shift_seconds": 16 * 60}, 403, "RequestTimeTooSkewed"),
])
def test_a_wrong_claim_is_refused(store, changes, status, code):
    answer = put(store, store.signer(**changes))
    assert (answer[0], code_of(answer[2])) == (status, code)


@pytest.mark.parametrize("shift", [-14 * 60, 14 * 60])
def test_a_clock_within_fifteen_minutes_is_taken(store, shift):
    assert put(store, store.signer(shift_seconds=shift))[0] == 200


def test_no_authentication_is_access_denied(store):
    status, _, body = store.request("GET", PATH)
    assert (status, code_of(body)) == (403, "AccessDenied")


def test_version_two_signatures_are_refused(store):
    status, _, body = store.request("GET", PATH, {"Authorization": "AWS AKIATESTTESTTEST:c2lnbmF0dXJl"})
    assert (status, code_of(body)) == (400, "InvalidRequest")


def test_two_authentications_are_refused(store):
    signer = store.signer()
    _, headers = signer.header_request("GET", PATH)
    status, _, body = store.request("GET", signer.presigned("GET", PATH), headers)
    assert (status, code_of(body)) == (400, "InvalidArgument")


@pytest.mark.parametrize("unsigned", ["host", "x-amz-meta-note", "x-amz-date", "x-amz-content-sha256"])
def test_headers_that_matter_must_be_signed(store, unsigned):
    answer = put(store, store.signer(), headers={"x-amz-meta-note": "1"}, unsigned=(unsigned,))
    assert (answer[0], code_of(answer[2])) == (403, "AccessDenied")


def test_an_added_amz_header_is_refused(store):
    target, headers = store.signer().header_request("PUT", PATH, body=DATA)
    answer = store.request("PUT", target, {**headers, "x-amz-meta-added": "later"}, DATA)
    assert (answer[0], code_of(answer[2])) == (403, "AccessDenied")


def test_a_changed_signed_header_is_refused(store):
    target, headers = store.signer().header_request("PUT", PATH, headers={"content-type": "a/b"}, body=DATA)
    answer = store.request("PUT", target, {**headers, "content-type": "text/html"}, DATA)
    assert (answer[0], code_of(answer[2])) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("change", ["method", "path", "query"])
def test_a_signature_is_for_one_request_only(store, change):
    target, headers = store.signer().header_request("GET", PATH)
    method = "DELETE" if change == "method" else "GET"
    target = {"path": target + "2", "query": target + "?response-content-type=text/html"}.get(change, target)
    answer = store.request(method, target, headers)
    assert (answer[0], code_of(answer[2])) == (403, "SignatureDoesNotMatch")
    assert read_back(store) == DATA


def test_a_body_that_is_not_the_signed_one_is_refused(store):
    target, headers = store.signer().header_request("PUT", PATH, body=DATA)
    answer = store.request("PUT", target, headers, DATA[:-1] + b"!")
    assert (answer[0], code_of(answer[2])) == (400, "XAmzContentSHA256Mismatch")
    assert read_back(store) == DATA
    assert store.temporaries() == []


def test_a_payload_hash_is_required_and_checked(store):
    answer = put(store, store.signer(), payload_hash="nonsense")
    assert (answer[0], code_of(answer[2])) == (400, "InvalidArgument")
    assert put(store, store.signer(), payload_hash="UNSIGNED-PAYLOAD")[0] == 200


@pytest.mark.parametrize("value, code", [
    (base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"),
    ("not base64", "InvalidDigest"),
    (base64.b64encode(b"short").decode(), "InvalidDigest"),
])
def test_content_md5_is_checked(store, value, code):
    answer = put(store, store.signer(), headers={"content-md5": value})
    assert (answer[0], code_of(answer[2])) == (400, code)


def crc(data, polynomial, bits):
    value = (1 << bits) - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return (value ^ ((1 << bits) - 1)).to_bytes(bits // 8, "big")


def checksums(data):
    return {
        "x-amz-checksum-crc32": zlib.crc32(data).to_bytes(4, "big"),
        "x-amz-checksum-crc32c": crc(data, 0x82F63B78, 32),
        "x-amz-checksum-crc64nvme": crc(data, 0x9A6C9329AC4BC9B5, 64),
        "x-amz-checksum-sha1": hashlib.sha1(data).digest(),
        "x-amz-checksum-sha256": hashlib.sha256(data).digest(),
    }


def test_the_test_knows_the_checksums():
    assert checksums(b"123456789")["x-amz-checksum-crc32c"].hex() == "e3069283"
    assert checksums(b"123456789")["x-amz-checksum-crc64nvme"].hex() == "ae8b14860a799888"


@pytest.mark.parametrize("name", sorted(checksums(b"")))
def test_additional_checksums_are_checked_and_given_back(store, name):
    data = DATA[:5000]
    good = base64.b64encode(checksums(data)[name]).decode()
    bad = base64.b64encode(checksums(data + b"x")[name]).decode()
    status, headers, _ = put(store, store.signer(), headers={name: good}, body=data)
    assert (status, headers[name]) == (200, good)
    answer = put(store, store.signer(), headers={name: bad}, body=data)
    assert (answer[0], code_of(answer[2])) == (400, "BadDigest")
    target, request_headers = store.signer().header_request("GET", PATH, headers={"x-amz-checksum-mode": "ENABLED"})
    assert store.request("GET", target, request_headers)[1][name] == good


# ---- presigned ----

def test_presigned_get_and_put_work(store):
    signer = store.signer()
    assert store.request("PUT", signer.presigned("PUT", PATH), body=DATA)[0] == 200
    status, headers, body = store.request("GET", signer.presigned(
        "GET", PATH, query=[("response-content-disposition", 'attachment; filename="ä b.txt"'),
                            ("response-content-type", "text/x-test")]))
    assert (status, body) == (200, DATA)
    assert headers["content-type"] == "text/x-test"
    assert headers["content-disposition"].encode("latin-1").decode() == 'attachment; filename="ä b.txt"'


def test_a_presigned_url_expires(store):
    assert store.request("GET", store.signer(shift_seconds=-540).presigned("GET", PATH, expires=600))[0] == 200
    status, _, body = store.request("GET", store.signer(shift_seconds=-601).presigned("GET", PATH, expires=600))
    assert (status, code_of(body)) == (403, "AccessDenied")
    assert ElementTree.fromstring(body).findtext("Message") == "Request has expired"


@pytest.mark.parametrize("shift, status", [(20 * 60, 403), (10 * 60, 200)])
def test_a_presigned_url_from_the_future_waits(store, shift, status):
    assert store.request("GET", store.signer(shift_seconds=shift).presigned("GET", PATH))[0] == status


@pytest.mark.parametrize("expires", [0, 604801, -1, "x", ""])
def test_expiry_has_a_range(store, expires):
    status, _, body = store.request("GET", store.signer().presigned("GET", PATH, expires=expires))
    assert (status, code_of(body)) == (400, "AuthorizationQueryParametersError")


def test_presigned_parameters_may_not_come_twice_or_be_changed(store):
    target = store.signer().presigned("GET", PATH)
    status, _, body = store.request("GET", target + "&X-Amz-Expires=604800")
    assert (status, code_of(body)) == (400, "AuthorizationQueryParametersError")
    assert code_of(store.request("GET", target.replace("Expires=60", "Expires=61"))[2]) == "SignatureDoesNotMatch"
    assert code_of(store.request("GET", target + "&response-content-type=a")[2]) == "SignatureDoesNotMatch"
    assert code_of(store.request("PUT", target, body=b"")[2]) == "SignatureDoesNotMatch"


BOUND = {
    "content-length": str(len(DATA)),
    "content-type": "application/pdf",
    "if-none-match": "*",
    "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(DATA).digest()).decode(),
}


def test_a_bound_upload_works_once(store):
    path = f"/{BUCKET}/bound/once"
    target = store.signer().presigned("PUT", path, headers=BOUND)
    assert store.request("PUT", target, BOUND, DATA)[0] == 200
    status, _, body = store.request("PUT", target, BOUND, DATA)
    assert (status, code_of(body)) == (412, "PreconditionFailed")
    assert store.client().head_object(Bucket=BUCKET, Key="bound/once")["ContentType"] == "application/pdf"


@pytest.mark.parametrize("name, value, body, code", [
    ("content-length", str(len(DATA) - 1), DATA[:-1], "SignatureDoesNotMatch"),
    ("content-length", str(len(DATA) + 1), DATA + b"x", "SignatureDoesNotMatch"),
    ("content-type", "text/html", DATA, "SignatureDoesNotMatch"),
    ("content-type", None, DATA, "SignatureDoesNotMatch"),
    ("if-none-match", None, DATA, "SignatureDoesNotMatch"),
    ("x-amz-checksum-sha256", None, DATA, "SignatureDoesNotMatch"),
    ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(b"").digest()).decode(), DATA, "SignatureDoesNotMatch"),
    (None, None, DATA[:-1] + b"!", "BadDigest"),
])
def test_what_a_url_binds_is_enforced(store, name, value, body, code):
    path = f"/{BUCKET}/bound/never"
    target = store.signer().presigned("PUT", path, headers=BOUND)
    headers = {key: text for key, text in {**BOUND, name: value}.items() if key and text is not None}
    status, _, answer = store.request("PUT", target, headers, body)
    assert (status >= 400, code_of(answer)) == (True, code)
    assert store.request("GET", store.signer().presigned("GET", path))[0] == 404


def test_a_presigned_url_takes_no_unsigned_amz_header(store):
    target = store.signer().presigned("PUT", PATH)
    status, _, body = store.request("PUT", target, {"x-amz-meta-role": "admin"}, DATA)
    assert (status, code_of(body)) == (403, "AccessDenied")


# ---- aws-chunked ----

CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
FRAMINGS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, None),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, ("x-amz-checksum-crc32", CRC32)),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, ("x-amz-checksum-crc32", CRC32)),
}


def chunked(store, framing, size=65536, trailer="right", change=lambda body: body, length=len(DATA), encoding=""):
    signed, good = FRAMINGS[framing]
    trailer = good if trailer == "right" else trailer
    headers = {"content-encoding": "aws-chunked" + encoding, "x-amz-decoded-content-length": str(length)}
    if good:
        headers["x-amz-trailer"] = good[0]
    signer = store.signer()
    target, headers = signer.header_request("PUT", f"/{BUCKET}/chunked", headers=headers, payload_hash=framing)
    body = change(signer.chunks(DATA, size, trailer, signed))
    return store.request("PUT", target, headers, body)


@pytest.mark.parametrize("framing", sorted(FRAMINGS))
@pytest.mark.parametrize("size", [8192, 65536, 1 << 20])
def test_chunked_bodies_are_unframed(store, framing, size):
    status, headers, body = chunked(store, framing, size, encoding=",gzip" if size == 8192 else "")
    assert status == 200, body
    assert headers["ETag"] == f'"{hashlib.md5(DATA).hexdigest()}"'
    target, request_headers = store.signer().header_request("GET", f"/{BUCKET}/chunked")
    status, headers, body = store.request("GET", target, request_headers)
    assert body == DATA
    assert headers.get("content-encoding") == ("gzip" if size == 8192 else None)


@pytest.mark.parametrize("framing, options, code", [
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"change": lambda b: b.replace(b"\x10\x11", b"\x10\x12", 1)},
     "SignatureDoesNotMatch"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"change": lambda b: b.replace(b";chunk-signature=", b";chunk-signature=0")},
     "SignatureDoesNotMatch"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"change": lambda b: b[:b.rindex(b"0;chunk")]}, "IncompleteBody"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"length": len(DATA) - 1}, "IncompleteBody"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"length": len(DATA) + 1}, "IncompleteBody"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"change": lambda b: b + b"more"}, "IncompleteBody"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"trailer": ("x-amz-checksum-crc32", "AAAAAA==")}, "BadDigest"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"change": lambda b: b[:b.rindex(b"x-amz-trailer-sig")] + b"\r\n"},
     "SignatureDoesNotMatch"),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
     {"change": lambda b: b.replace(b"x-amz-trailer-signature:", b"x-amz-trailer-signature:0")},
     "SignatureDoesNotMatch"),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"trailer": ("x-amz-checksum-crc32", "AAAAAA==")}, "BadDigest"),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"trailer": None}, "BadDigest"),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"change": lambda b: b.replace(b"\x10\x11", b"\x10\x12", 1)}, "BadDigest"),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"change": lambda b: b"zz\r\n" + b}, "IncompleteBody"),
])
def test_broken_chunked_bodies_are_refused(store, framing, options, code):
    status, _, body = chunked(store, framing, **options)
    assert (status >= 400, code_of(body)) == (True, code)
    assert store.temporaries() == []


# ---- the rest of what needs no signature ----

def test_health_needs_no_signature(store):
    assert store.request("GET", "/health")[0] == 200


def test_cors_for_configured_origins_only(store):
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,if-none-match"}
    status, headers, _ = store.request("OPTIONS", PATH, {"Origin": "https://app.example", **preflight})
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "content-type,if-none-match"
    status, headers, body = store.request("OPTIONS", PATH, {"Origin": "https://evil.example", **preflight})
    assert (status, code_of(body)) == (403, "AccessForbidden")
    assert "Access-Control-Allow-Origin" not in headers
    target = store.signer().presigned("GET", PATH)
    headers = store.request("GET", target, {"Origin": "http://localhost:3000"})[1]
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "ETag" in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in store.request("GET", target, {"Origin": "https://evil.example"})[1]
    # also on errors, or a browser could not tell why
    assert store.request("GET", PATH, {"Origin": "https://app.example"})[1]["Access-Control-Allow-Origin"]
