# SPDX-License-Identifier: MIT
"""Killed at any moment, the store has each object whole: the old one or the new one, never a mixture, and nothing
half-written is left."""
import hashlib
import http.client
import os
import random
import resource
import signal
import subprocess
import threading
import time

import botocore.exceptions
import pytest

from postgres import INSTRUMENTED
from store_process import BUCKET, Store, program, sha256_hex
from system import eventually

MIB = 1 << 20


@pytest.fixture
def store():
    with Store() as running:
        yield running


def start_upload(store, key, body, sent):
    """A PUT of which only the first `sent` bytes have gone out."""
    target, headers = store.signer().header_request("PUT", f"/{BUCKET}/{key}", body=body)
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=60)
    connection.putrequest("PUT", target, skip_host=True)
    for name, value in {**headers, "content-length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[:sent])
    return connection


def test_killed_in_the_middle_of_an_upload(store):
    s3 = store.client()
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"old")
    uploads = [start_upload(store, "kept", os.urandom(8 * MIB), 4 * MIB),
               start_upload(store, "new", os.urandom(8 * MIB), 8 * MIB - 1)]
    eventually(lambda: sum(path.stat().st_size for path in store.temporaries()) >= 11 * MIB)
    store.kill()
    assert len(store.temporaries()) == 2
    for upload in uploads:
        upload.close()
    store.start()
    assert store.temporaries() == []
    assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["kept"]


def test_a_client_that_goes_away_leaves_nothing(store):
    upload = start_upload(store, "gone", os.urandom(4 * MIB), 2 * MIB)
    eventually(lambda: len(store.temporaries()) == 1)
    upload.close()
    eventually(lambda: store.temporaries() == [])
    assert store.client().list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def write_until_killed(store, number, acknowledged, attempted):
    s3 = store.client()
    for turn in range(100_000):
        key, body = f"w{number}/{turn % 20}", os.urandom(random.randint(1, 150_000))
        attempted.setdefault(key, set()).add(sha256_hex(body))
        try:
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return
        acknowledged[key] = sha256_hex(body)
        attempted[key] = {acknowledged[key]}


@pytest.mark.parametrize("turn", range(4))
def test_killed_under_load_every_object_is_whole(store, turn):
    acknowledged, attempted = {}, {}
    writers = [threading.Thread(target=write_until_killed, args=(store, number, acknowledged, attempted))
               for number in range(4)]
    for writer in writers:
        writer.start()
    eventually(lambda: acknowledged)
    time.sleep(0.4 + 0.13 * turn)
    store.kill()
    for writer in writers:
        writer.join()
    store.start()
    assert store.temporaries() == []
    s3 = store.client()
    found = {row["Key"]: row for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
             for row in page.get("Contents", [])}
    assert set(acknowledged) <= set(found) <= set(attempted)
    for key, row in found.items():
        body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert sha256_hex(body) in attempted[key], key
        assert (len(body), f'"{hashlib.md5(body).hexdigest()}"') == (row["Size"], row["ETag"])


def test_everything_is_there_after_a_restart(store):
    s3 = store.client()
    s3.create_bucket(Bucket="second-bucket")
    bodies = {f"a/{number}": os.urandom(number * 100) for number in range(50)}
    for key, body in bodies.items():
        s3.put_object(Bucket="second-bucket", Key=key, Body=body, ContentType="x/y", Metadata={"n": key})
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    part = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    etag = s3.upload_part(**part, PartNumber=1, Body=b"part")["ETag"]
    before = s3.list_objects_v2(Bucket="second-bucket")["Contents"]
    assert store.stop() == 0
    store.start()
    assert s3.list_objects_v2(Bucket="second-bucket")["Contents"] == before
    for key, body in bodies.items():
        got = s3.get_object(Bucket="second-bucket", Key=key)
        assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (body, "x/y", {"n": key})
    s3.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.get_object(Bucket=BUCKET, Key="parts")["Body"].read() == b"part"


def test_a_damaged_file_is_not_served(store):
    s3 = store.client()
    s3.put_object(Bucket=BUCKET, Key="good", Body=b"good")
    s3.put_object(Bucket=BUCKET, Key="bad", Body=b"bad" * 1000)
    store.stop()
    name = hashlib.sha256(b"bad").hexdigest()
    path = store.directory / "store" / "buckets" / BUCKET / "objects" / name[:2] / name[2:]
    path.write_bytes(path.read_bytes()[:-1])
    store.start()
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["good"]
    with pytest.raises(botocore.exceptions.ClientError):
        s3.get_object(Bucket=BUCKET, Key="bad")


def test_a_second_store_does_not_start_on_the_same_directory(store):
    with pytest.raises(AssertionError):
        Store(directory=store.directory)
    assert store.client().list_buckets()["Buckets"]


@pytest.mark.parametrize("name, value", [
    ("STORAGE_ACCESS_KEY", ""), ("STORAGE_SECRET_KEY", ""), ("STORAGE_BUCKET", "Not_A_Bucket"), ("STORE_PORT", "x")])
def test_a_bad_setting_stops_the_start(tmp_path, name, value):
    environment = {**INSTRUMENTED, "FILEMILL_STATE_DIRECTORY": str(tmp_path), "FILEMILL_STORAGE_ACCESS_KEY": "a",
                   "FILEMILL_STORAGE_SECRET_KEY": "b", "FILEMILL_STORE_PORT": "1", f"FILEMILL_{name}": value}
    result = subprocess.run([program("filemill-store", "storage")], env=environment, capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert name.lower().replace("_", "-") in result.stderr or name in result.stderr


def test_an_upload_that_nobody_goes_on_with_is_dropped(store):
    """After a week without a part; looked at when the store starts, and at most once a day when another begins."""
    s3 = store.client()
    old, new = (s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in ("old", "new"))
    s3.upload_part(Bucket=BUCKET, Key="old", UploadId=old, PartNumber=1, Body=b"part")
    folder = next(store.directory.rglob(old))
    then = time.time() - 8 * 86400
    os.utime(folder, (then, then))
    store.kill()
    store.start()
    assert [upload["UploadId"] for upload in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [new]
    assert not folder.exists()


def test_sigterm_lets_an_upload_finish(store):
    body = os.urandom(2 * MIB)
    upload = start_upload(store, "last", body, MIB)
    eventually(lambda: len(store.temporaries()) == 1)
    store.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert store.process.poll() is None
    upload.send(body[MIB:])
    assert upload.getresponse().status == 200
    assert store.process.wait(60) == 0
    store.start()
    assert store.client().get_object(Bucket=BUCKET, Key="last")["Body"].read() == body


def test_sigterm_does_not_wait_for_ever():
    with Store(drain_ms=500) as store:
        upload = start_upload(store, "stuck", os.urandom(MIB), 100_000)
        eventually(lambda: len(store.temporaries()) == 1)
        started = time.monotonic()
        assert store.stop() == 0
        assert time.monotonic() - started < 20, "25 s, were it not told otherwise"
        upload.close()


def mount_small(directory):
    """A file system of four megabytes on `directory`; False where this user may not."""
    return subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)], capture_output=True,
                          check=False).returncode == 0


def test_a_full_disk_is_reported_and_cleaned(tmp_path):
    if not mount_small(tmp_path):
        pytest.skip("may not mount a small file system here")
    try:
        with Store(directory=tmp_path) as store:
            s3 = store.client()
            s3.put_object(Bucket=BUCKET, Key="fits", Body=b"x" * MIB)
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                s3.put_object(Bucket=BUCKET, Key="too-much", Body=b"x" * (6 * MIB))
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
            assert caught.value.response["Error"]["Code"] == "InternalError"
            assert store.temporaries() == []
            s3.put_object(Bucket=BUCKET, Key="fits-too", Body=b"y" * MIB)
            assert [row["Key"] for row in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["fits", "fits-too"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_memory_does_not_grow_with_the_body(store):
    s3 = store.client()
    s3.put_object(Bucket=BUCKET, Key="warm", Body=b"x" * MIB)
    before = resident(store)
    s3.put_object(Bucket=BUCKET, Key="large", Body=bytes(100 * MIB))
    assert len(s3.get_object(Bucket=BUCKET, Key="large")["Body"].read()) == 100 * MIB
    assert resident(store) - before < 8 * MIB


def resident(store):
    with open(f"/proc/{store.process.pid}/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()
