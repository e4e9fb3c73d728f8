# SPDX-License-Identifier: MIT
"""The store as S3 clients see it, through boto3: objects, ranges, conditions, lists, copies, multipart uploads."""
import datetime
import hashlib
import io
import os
import random
import threading
import urllib.parse
import urllib.request

import boto3.s3.transfer
import botocore.exceptions
import pytest

from store_process import BUCKET, Store

MIB = 1 << 20


@pytest.fixture(scope="module")
def store():
    with Store() as running:
        yield running


@pytest.fixture(scope="module")
def s3(store):
    return store.client()


@pytest.fixture
def bucket(s3, request):
    """An empty bucket of the test's own."""
    name = "b-" + hashlib.md5(request.node.name.encode()).hexdigest()[:20]
    s3.create_bucket(Bucket=name)
    return name


def refused(call, **arguments):
    """Code and status of the error that the call must end in."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def keys_of(s3, bucket, **arguments):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **arguments)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


# ---- buckets ----

def test_buckets(store, s3, bucket):
    assert {BUCKET, bucket} <= {row["Name"] for row in s3.list_buckets()["Buckets"]}
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.create_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert refused(s3.head_bucket, Bucket="no-such-bucket") == ("404", 404)
    assert refused(s3.list_objects_v2, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
    assert refused(s3.put_object, Bucket="no-such-bucket", Key="k", Body=b"x") == ("NoSuchBucket", 404)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket) == ("404", 404)


@pytest.mark.parametrize("name", ["ab", "Upper", "has_underscore", "dot..dot", "-dash", "x" * 64, "..%2f..%2ftmp"])
def test_bad_bucket_names_make_nothing(store, name):
    target, headers = store.signer().header_request("PUT", "/" + urllib.parse.unquote(name).split("/")[0])
    assert store.request("PUT", target, headers, b"")[0] == 400
    assert name not in os.listdir(store.directory / "store" / "buckets")


def test_a_bucket_in_the_host_name(store):
    signer = store.signer()
    store.client().put_object(Bucket=BUCKET, Key="virtual/host", Body=b"found")
    covered = {"host": f"{BUCKET}.s3.test:{store.port}", "x-amz-date": signer.date,
               "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    signature = signer.signature("GET", "/virtual/host", [], covered, "UNSIGNED-PAYLOAD")
    status, _, body = store.request("GET", "/virtual/host", {**covered, "Authorization": (
        f"AWS4-HMAC-SHA256 Credential={signer.access_key}/{signer.scope}, SignedHeaders={';'.join(sorted(covered))}, "
        f"Signature={signature}")})
    assert (status, body) == (200, b"found")


# ---- objects ----

def test_an_object_keeps_its_bytes_and_headers(s3, bucket):
    body = os.urandom(100_000)
    answer = s3.put_object(
        Bucket=bucket, Key="o", Body=body, ContentType="image/png", CacheControl="max-age=9", ContentLanguage="de",
        ContentDisposition='attachment; filename="x y.png"', Metadata={"one": "1", "two-words": "with space % + ="})
    assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    for got in (s3.get_object(Bucket=bucket, Key="o"), s3.head_object(Bucket=bucket, Key="o")):
        assert got["ContentLength"] == len(body)
        assert got["ETag"] == answer["ETag"]
        assert got["ContentType"] == "image/png"
        assert got["CacheControl"] == "max-age=9"
        assert got["ContentLanguage"] == "de"
        assert got["ContentDisposition"] == 'attachment; filename="x y.png"'
        assert got["Metadata"] == {"one": "1", "two-words": "with space % + ="}
        assert abs(got["LastModified"] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == body


def test_the_empty_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    got = s3.get_object(Bucket=bucket, Key="empty")
    assert (got["Body"].read(), got["ContentLength"], got["ContentType"]) == (b"", 0, "binary/octet-stream")
    assert refused(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-") == ("InvalidRange", 416)


def test_overwrite_and_delete(s3, bucket):
    for body in (b"first", b"second, and longer", b"3"):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    assert keys_of(s3, bucket) == ["k"]
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


RANGES = [
    ("bytes=0-0", 0, 1), ("bytes=0-", 0, 1000), ("bytes=990-5000", 990, 1000), ("bytes=999-", 999, 1000),
    ("bytes=-1", 999, 1000), ("bytes=-5000", 0, 1000), ("bytes=100-199", 100, 200),
]


@pytest.mark.parametrize("header, start, end", RANGES)
def test_ranges(s3, store, header, start, end):
    body = bytes(i * 7 % 256 for i in range(1000))
    s3.put_object(Bucket=BUCKET, Key="ranged", Body=body)
    got = s3.get_object(Bucket=BUCKET, Key="ranged", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/1000"
    assert got["Body"].read() == body[start:end]
    head = s3.head_object(Bucket=BUCKET, Key="ranged", Range=header)
    assert head["ContentLength"] == end - start


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_ranges_outside(s3, header):
    s3.put_object(Bucket=BUCKET, Key="ranged-out", Body=b"x" * 1000)
    assert refused(s3.get_object, Bucket=BUCKET, Key="ranged-out", Range=header) == ("InvalidRange", 416)


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "bytes=-", "bytes=1"])
def test_what_is_no_range_means_the_whole(s3, header):
    s3.put_object(Bucket=BUCKET, Key="whole", Body=b"x" * 50)
    got = s3.get_object(Bucket=BUCKET, Key="whole", Range=header)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], len(got["Body"].read())) == (200, 50)


def test_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = modified - datetime.timedelta(days=1), modified + datetime.timedelta(days=1)
    get = {"Bucket": bucket, "Key": "k"}
    for good in ({"IfMatch": etag}, {"IfMatch": "*"}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": before},
                 {"IfUnmodifiedSince": after}, {"IfMatch": etag, "IfUnmodifiedSince": before},
                 {"IfNoneMatch": '"other"', "IfModifiedSince": after}):
        assert s3.get_object(**get, **good)["Body"].read() == b"x", good
    for bad in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}):
        assert refused(s3.get_object, **get, **bad) == ("PreconditionFailed", 412), bad
    for unchanged in ({"IfNoneMatch": etag}, {"IfModifiedSince": after}):
        assert refused(s3.get_object, **get, **unchanged) == ("304", 304), unchanged


def conditional(s3, **headers):
    """A client that sends the given headers with each PutObject (the SDK of Debian has no parameter for them)."""
    def add(request, **_):
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
    s3.meta.events.register("before-sign.s3.PutObject", add)
    return s3


def test_conditional_writes(store, s3, bucket):
    create = conditional(store.client(), If_None_Match="*")
    etag = create.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    assert refused(create.put_object, Bucket=bucket, Key="k", Body=b"two") == ("PreconditionFailed", 412)
    swap = conditional(store.client(), If_Match=etag)
    swap.put_object(Bucket=bucket, Key="k", Body=b"two")
    assert refused(swap.put_object, Bucket=bucket, Key="k", Body=b"three") == ("PreconditionFailed", 412)
    assert refused(swap.put_object, Bucket=bucket, Key="none", Body=b"x") == ("NoSuchKey", 404)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_of_concurrent_creators_one_wins(store, s3, bucket):
    clients = [conditional(store.client(), If_None_Match="*") for _ in range(8)]
    for turn in range(10):
        start, won, lost = threading.Barrier(len(clients)), [], []

        def create(number):
            body = bytes([number]) * 200_000
            start.wait()
            try:
                clients[number].put_object(Bucket=bucket, Key=f"race-{turn}", Body=body)
                won.append(body)
            except botocore.exceptions.ClientError as error:
                lost.append(error.response["Error"]["Code"])

        threads = [threading.Thread(target=create, args=(number,)) for number in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), lost) == (1, ["PreconditionFailed"] * (len(clients) - 1))
        assert s3.get_object(Bucket=bucket, Key=f"race-{turn}")["Body"].read() == won[0]


def test_metadata_has_a_limit(s3, bucket):
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"m": "x" * 3000}) == \
        ("MetadataTooLarge", 400)


# ---- keys are data ----

ODD_KEYS = [
    "plain", "a b", "a+b", "a%b", "a%2Fb", "a%20b", "/", "//", "a//b", "/a", "a/", "..", "../..", "../../etc/passwd",
    "a/../b", "./a", ".", "ü", "日本語/ファイル.txt", "emoji-\U0001F600", "a&b=c?d#e", "a<b>c\"d'e", "tab\tkey", "new\nline",
    "\x01control", "back\\slash", "*", "~tilde", "a;b,c", "CON", "%", "%%", "=", "x" * 1024, "e\u0301", "\u00e9",
    "health", "trailing ", " leading", "t/" + "0" * 100 + "/u", "\u2028separator", "\uffff", "a:b", "@", "!$'()*",
]


def test_odd_keys_are_kept_apart_and_listed_in_order(store, s3, bucket):
    bodies = {key: key.encode() + b"!" for key in ODD_KEYS}
    for key, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert keys_of(s3, bucket) == sorted(bodies, key=lambda key: key.encode())
    assert keys_of(s3, bucket, PaginationConfig={"PageSize": 3}) == sorted(bodies, key=lambda key: key.encode())
    for key, body in bodies.items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body, key
        with urllib.request.urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})) as got:
            assert got.read() == body, key
    names = [path.name for path in (store.directory / "store").rglob("*")]
    assert not any("passwd" in name for name in names)
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": key} for key in bodies if key.isprintable()]})["Deleted"]
    assert {row["Key"] for row in deleted} == {key for key in bodies if key.isprintable()}
    assert set(keys_of(s3, bucket)) == {key for key in bodies if not key.isprintable()}


def test_random_keys_behave_like_a_dictionary(s3, bucket):
    chance = random.Random(7)
    alphabet = ["a", "b", "/", "/", ".", " ", "+", "%", "é", "~", "\U0001F4A9", "\u00ad", "&", "<"]
    model = {}
    for _ in range(400):
        key = "".join(chance.choices(alphabet, k=chance.randint(1, 6)))
        if chance.random() < 0.3:
            s3.delete_object(Bucket=bucket, Key=key)
            model.pop(key, None)
        else:
            model[key] = os.urandom(chance.randint(0, 50))
            s3.put_object(Bucket=bucket, Key=key, Body=model[key])
    assert keys_of(s3, bucket) == sorted(model, key=lambda key: key.encode())
    assert all(s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body for key, body in model.items())
    for prefix in ("a", "a/", "é", "", "b."):
        for delimiter in ("/", "a", "./"):
            check_grouping(s3, bucket, sorted(model, key=lambda key: key.encode()), prefix, delimiter)


def check_grouping(s3, bucket, keys, prefix, delimiter):
    expected_keys, expected_prefixes = [], []
    for key in keys:
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix):].partition(delimiter)
        if not found:
            expected_keys.append(key)
        elif prefix + head + delimiter not in expected_prefixes:
            expected_prefixes.append(prefix + head + delimiter)
    for page_size in (1, 3, 1000):
        for operation in ("list_objects", "list_objects_v2"):
            got_keys, got_prefixes = [], []
            for page in s3.get_paginator(operation).paginate(
                    Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": page_size}):
                got_keys += [row["Key"] for row in page.get("Contents", [])]
                got_prefixes += [row["Prefix"] for row in page.get("CommonPrefixes", [])]
            assert (got_keys, got_prefixes) == (expected_keys, expected_prefixes), (prefix, delimiter, page_size)


@pytest.mark.parametrize("path, status", [("%ff", 400), ("a%00b", 400), ("a%zz", 400), ("x" * 1025, 400)])
def test_what_cannot_be_a_key(store, path, status):
    answer = store.request("GET", f"/{BUCKET}/{path}", {"Authorization": "AWS4-HMAC-SHA256 nothing"})
    assert answer[0] == status


# ---- lists ----

def test_list_options(s3, bucket):
    for number in range(25):
        s3.put_object(Bucket=bucket, Key=f"n/{number:02}", Body=b"x" * number)
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=10, StartAfter="n/04", FetchOwner=True)
    assert [row["Key"] for row in page["Contents"]] == [f"n/{number:02}" for number in range(5, 15)]
    assert (page["IsTruncated"], page["KeyCount"], page["StartAfter"]) == (True, 10, "n/04")
    assert page["Contents"][0]["Size"] == 5 and page["Contents"][0]["Owner"]["ID"]
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert [row["Key"] for row in rest["Contents"]] == [f"n/{number:02}" for number in range(15, 25)]
    assert not rest["IsTruncated"]
    old = s3.list_objects(Bucket=bucket, Marker="n/22")
    assert [row["Key"] for row in old["Contents"]] == ["n/23", "n/24"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="!") == ("InvalidArgument", 400)
    assert s3.list_objects_v2(Bucket=bucket, Prefix="none")["KeyCount"] == 0


def test_delete_objects(store, s3, bucket):
    keys = [f"k{number}" for number in range(30)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    loud = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[:10] + ["absent"]]})
    assert [row["Key"] for row in loud["Deleted"]] == keys[:10] + ["absent"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[10:20]], "Quiet": True})
    assert "Deleted" not in quiet and "Errors" not in quiet
    assert sorted(keys_of(s3, bucket)) == sorted(keys[20:])
    for body in (b"", b"<Delete>", b"<Other/>", b"<Delete><Object><Key>a</Key></Object></Delete>x", b"<Delete/>",
                 b"<!DOCTYPE x [<!ENTITY e 'k20'>]><Delete><Object><Key>&e;</Key></Object></Delete>"):
        target, headers = store.signer().header_request("POST", f"/{bucket}", [("delete", "")], body=body)
        assert store.request("POST", target, headers, body)[0] == 400, body
    assert len(keys_of(s3, bucket)) == 10


# ---- copies ----

def test_copy(s3, bucket):
    body = os.urandom(9 * MIB)
    s3.put_object(Bucket=BUCKET, Key="src/ü %+.bin", Body=body, ContentType="a/b", Metadata={"m": "1"})
    source = {"Bucket": BUCKET, "Key": "src/ü %+.bin"}
    etag = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]["ETag"]
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["Body"].read(), got["ETag"]) == (body, etag)
    assert (got["ContentType"], got["Metadata"]) == ("a/b", {"m": "1"})
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", ContentType="c/d")
    assert s3.head_object(Bucket=bucket, Key="new")["ContentType"] == "c/d"
    itself = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "copy"}}
    assert refused(s3.copy_object, **itself) == ("InvalidRequest", 400)
    s3.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"n": "2"}
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": BUCKET, "Key": "absent"}) == \
        ("NoSuchKey", 404)
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=source, CopySourceIfMatch='"other"') == \
        ("PreconditionFailed", 412)


# ---- multipart ----

def etag_of_parts(parts):
    return f'"{hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"'


def test_multipart(store, s3, bucket):
    parts = [os.urandom(5 * MIB), os.urandom(6 * MIB), os.urandom(10)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m k", ContentType="v/d", Metadata={"a": "b"})["UploadId"]
    name = {"Bucket": bucket, "Key": "m k", "UploadId": upload}
    s3.upload_part(**name, PartNumber=9, Body=b"replaced by the next line")
    etags = {number: s3.upload_part(**name, PartNumber=number, Body=part)["ETag"]
             for number, part in zip((2, 5, 9), parts)}
    assert keys_of(s3, bucket) == []
    assert [row["Key"] for row in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["m k"]
    listed = s3.list_parts(**name)["Parts"]
    assert [(row["PartNumber"], row["Size"], row["ETag"]) for row in listed] == \
        [(number, len(part), etags[number]) for number, part in zip((2, 5, 9), parts)]
    page = s3.list_parts(**name, MaxParts=1, PartNumberMarker=2)
    assert (page["Parts"][0]["PartNumber"], page["IsTruncated"], page["NextPartNumberMarker"]) == (5, True, 5)

    def complete(*numbers, etag=None):
        return {**name, "MultipartUpload": {"Parts": [{"PartNumber": number, "ETag": etag or etags[number]}
                                                      for number in numbers]}}
    assert refused(s3.complete_multipart_upload, **complete(5, 2)) == ("InvalidPartOrder", 400)
    assert refused(s3.complete_multipart_upload, **complete(2, etag='"0"')) == ("InvalidPart", 400)
    etags[3] = etags[2]
    assert refused(s3.complete_multipart_upload, **complete(2, 3)) == ("InvalidPart", 400)
    assert refused(s3.complete_multipart_upload, **name, MultipartUpload={"Parts": []})[1] == 400
    answer = s3.complete_multipart_upload(**complete(2, 5, 9))
    assert answer["ETag"] == etag_of_parts(parts)
    got = s3.get_object(Bucket=bucket, Key="m k")
    assert got["Body"].read() == b"".join(parts)
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (answer["ETag"], "v/d", {"a": "b"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert refused(s3.complete_multipart_upload, **complete(2, 5, 9)) == ("NoSuchUpload", 404)
    assert store.temporaries() == []


def test_multipart_refusals(s3, bucket):
    name = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**name)["UploadId"]
    small = s3.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"small")["ETag"]
    last = s3.upload_part(**name, UploadId=upload, PartNumber=2, Body=b"last")["ETag"]
    assert refused(s3.complete_multipart_upload, **name, UploadId=upload, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": small}, {"PartNumber": 2, "ETag": last}]}) == ("EntityTooSmall", 400)
    assert refused(s3.upload_part, **name, UploadId="0" * 32, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    assert refused(s3.upload_part, **name, UploadId="../objects", PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    assert refused(s3.upload_part, Bucket=bucket, Key="other", UploadId=upload, PartNumber=1, Body=b"") == \
        ("NoSuchUpload", 404)
    for number in (0, 10001):
        assert refused(s3.upload_part, **name, UploadId=upload, PartNumber=number, Body=b"") == ("InvalidArgument", 400)
    s3.abort_multipart_upload(**name, UploadId=upload)
    assert refused(s3.list_parts, **name, UploadId=upload) == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, **name, UploadId=upload) == ("NoSuchUpload", 404)
    assert keys_of(s3, bucket) == []


def test_part_copies(s3, bucket):
    body = os.urandom(12 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    name = {"Bucket": bucket, "Key": "target"}
    upload = s3.create_multipart_upload(**name)["UploadId"]
    source = {"Bucket": bucket, "Key": "source"}
    ranges = [(0, 6 * MIB - 1), (6 * MIB, 12 * MIB - 1)]
    etags = [s3.upload_part_copy(**name, UploadId=upload, PartNumber=number, CopySource=source,
                                 CopySourceRange=f"bytes={start}-{end}")["CopyPartResult"]["ETag"]
             for number, (start, end) in enumerate(ranges, 1)]
    answer = s3.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": [
        {"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]})
    assert answer["ETag"] == etag_of_parts([body[start:end + 1] for start, end in ranges])
    assert s3.get_object(**name)["Body"].read() == body


def test_transfers_in_parallel(s3, bucket):
    body = os.urandom(40 * MIB)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big", Config=config)
    got = io.BytesIO()
    s3.download_fileobj(bucket, "big", got, Config=config)
    assert got.getvalue() == body


# ---- what it does not do, it says ----

def test_unknown_subresources_never_become_plain_operations(store, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    assert refused(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == ("NotImplemented", 501)
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": []}) == ("NotImplemented", 501)
    assert refused(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    assert s3.get_bucket_versioning(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId="1") == ("NotImplemented", 501)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


def test_too_large_is_refused_before_a_byte_is_stored(store):
    for length, codes in ((6 << 30, (400, 413)), ((5 << 30) + 1, (400,))):
        target, headers = store.signer().header_request("PUT", f"/{BUCKET}/huge", payload_hash="UNSIGNED-PAYLOAD",
                                                        headers={"content-length": str(length)})
        status, _, body = store.request("PUT", target, headers, b"")
        assert status in codes and b"EntityTooLarge" in body
    assert store.temporaries() == []
