# SPDX-License-Identifier: MIT
"""The S3 tools of Debian against our store, and our presigned URLs against an S3 server that we did not write."""
import base64
import datetime
import filecmp
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from ports import free_port
from store_process import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Store, program
from system import eventually

MIB = 1 << 20


@pytest.fixture(scope="module")
def store():
    with Store() as running:
        yield running


def debian(name):
    """Debian's own copy; another one in PATH may be a wrapper of something else."""
    path = f"/usr/bin/{name}"
    if not os.path.exists(path):
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def tree(tmp_path):
    """A small tree with awkward names, and one file that every tool sends in parts."""
    root = tmp_path / "tree"
    (root / "sub dir").mkdir(parents=True)
    (root / "plain.txt").write_bytes(b"plain\n")
    (root / "sub dir" / "with + % ü.txt").write_bytes(b"odd\n")
    (root / "empty").write_bytes(b"")
    (root / "big.bin").write_bytes(os.urandom(20 * MIB))
    return root


def same(left, right):
    comparison = filecmp.dircmp(left, right)
    assert not comparison.left_only and not comparison.right_only, comparison.report()
    for name in comparison.common_files:
        assert filecmp.cmp(left / name, right / name, shallow=False), name
    for name in comparison.common_dirs:
        same(left / name, right / name)


def run(arguments, environment=None, **options):
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    result = subprocess.run(arguments, env={**clean, **(environment or {})}, capture_output=True, text=True,
                            timeout=120, **options)
    assert result.returncode == 0, f"{arguments}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_awscli(store, tree, tmp_path):
    def aws(*arguments):
        return run([debian("aws"), "--endpoint-url", store.endpoint, *arguments], {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true"})
    assert BUCKET in aws("s3", "ls")
    aws("s3", "cp", "--recursive", str(tree), f"s3://{BUCKET}/aws/")
    assert "big.bin" in aws("s3", "ls", "--recursive", f"s3://{BUCKET}/aws/")
    aws("s3", "cp", "--recursive", f"s3://{BUCKET}/aws/", str(tmp_path / "back"))
    same(tree, tmp_path / "back")
    aws("s3", "mv", f"s3://{BUCKET}/aws/big.bin", f"s3://{BUCKET}/aws/moved.bin")  # part copies
    aws("s3", "cp", f"s3://{BUCKET}/aws/moved.bin", str(tmp_path / "moved.bin"))
    assert filecmp.cmp(tree / "big.bin", tmp_path / "moved.bin", shallow=False)
    assert aws("s3", "sync", str(tree), f"s3://{BUCKET}/aws/").count("upload:") == 1
    url = aws("s3", "presign", f"s3://{BUCKET}/aws/plain.txt").strip()
    assert urllib.request.urlopen(url).read() == b"plain\n"
    for algorithm in ("CRC32", "SHA1", "SHA256"):  # Debian's awscli lacks the library for CRC32C
        aws("s3api", "put-object", "--bucket", BUCKET, "--key", "checked", "--body", str(tree / "plain.txt"),
            "--checksum-algorithm", algorithm)
        answer = json.loads(aws("s3api", "get-object", "--bucket", BUCKET, "--key", "checked", "--checksum-mode",
                                "ENABLED", str(tmp_path / "checked")))
        assert answer[f"Checksum{algorithm}"]
    aws("s3", "rm", "--recursive", f"s3://{BUCKET}/aws/")
    assert store.client().list_objects_v2(Bucket=BUCKET, Prefix="aws/")["KeyCount"] == 0
    aws("s3", "mb", "s3://from-awscli")
    aws("s3", "rb", "s3://from-awscli")


def test_s3cmd(store, tree, tmp_path):
    configuration = tmp_path / "s3cfg"
    configuration.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = 127.0.0.1:{store.port}\n"
        f"host_bucket = 127.0.0.1:{store.port}\nuse_https = False\nsignature_v2 = False\n")

    def s3cmd(*arguments):
        return run([debian("s3cmd"), "-c", str(configuration), "--no-progress", *arguments])
    assert BUCKET in s3cmd("ls")
    s3cmd("put", "--recursive", "--multipart-chunk-size-mb=6", f"{tree}/", f"s3://{BUCKET}/s3cmd/")
    (tmp_path / "back").mkdir()
    s3cmd("get", "--recursive", f"s3://{BUCKET}/s3cmd/", str(tmp_path / "back"))
    same(tree, tmp_path / "back")
    s3cmd("cp", f"s3://{BUCKET}/s3cmd/plain.txt", f"s3://{BUCKET}/s3cmd/copy +.txt")
    assert "copy +.txt" in s3cmd("ls", f"s3://{BUCKET}/s3cmd/")
    assert "text/plain" in s3cmd("info", f"s3://{BUCKET}/s3cmd/plain.txt")
    assert s3cmd("sync", f"{tree}/", f"s3://{BUCKET}/s3cmd/").count("upload:") == 0
    url = s3cmd("signurl", f"s3://{BUCKET}/s3cmd/plain.txt", "+60").strip()
    assert url  # version 2 of the signature, which the store does not take: only that making it works
    s3cmd("del", "--recursive", "--force", f"s3://{BUCKET}/s3cmd/")
    assert store.client().list_objects_v2(Bucket=BUCKET, Prefix="s3cmd/")["KeyCount"] == 0


def test_rclone(store, tree, tmp_path):
    def rclone(*arguments):
        return run([debian("rclone"), "--config", "/dev/null", *arguments], {
            "RCLONE_CONFIG_MILL_TYPE": "s3", "RCLONE_CONFIG_MILL_PROVIDER": "Other",
            "RCLONE_CONFIG_MILL_ENDPOINT": store.endpoint, "RCLONE_CONFIG_MILL_ACCESS_KEY_ID": ACCESS_KEY,
            "RCLONE_CONFIG_MILL_SECRET_ACCESS_KEY": SECRET_KEY, "RCLONE_CONFIG_MILL_REGION": REGION,
            "RCLONE_S3_UPLOAD_CUTOFF": "8M", "RCLONE_S3_CHUNK_SIZE": "5M"})
    remote = f"mill:{BUCKET}/rclone"
    rclone("copy", str(tree), remote)
    rclone("check", str(tree), remote, "--download")
    rclone("copy", remote, str(tmp_path / "back"))
    same(tree, tmp_path / "back")
    rclone("moveto", f"{remote}/plain.txt", f"{remote}/deeper/moved ü.txt")
    listed = {entry["Path"]: entry for entry in json.loads(rclone("lsjson", "-R", "--files-only", remote))}
    assert listed["deeper/moved ü.txt"]["Size"] == 6 and "plain.txt" not in listed
    assert rclone("cat", f"{remote}/deeper/moved ü.txt") == "plain\n"
    rclone("purge", remote)
    assert store.client().list_objects_v2(Bucket=BUCKET, Prefix="rclone/")["KeyCount"] == 0


# ---- our URLs elsewhere ----

def presign(endpoint, provider, *arguments, access_key=ACCESS_KEY, secret_key=SECRET_KEY):
    return run([str(program("presign", "tests/integration")), *map(str, arguments)], {
        "FILEMILL_STORAGE_PROVIDER": provider, "FILEMILL_STORAGE_ENDPOINT": endpoint,
        "FILEMILL_STORAGE_BUCKET": BUCKET, "FILEMILL_STORAGE_REGION": REGION,
        "FILEMILL_STORAGE_ACCESS_KEY": access_key, "FILEMILL_STORAGE_SECRET_KEY": secret_key}).strip()


def send(method, url, body=None, headers=None):
    """Status and body."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def exercise(endpoint, provider, checks_signatures=True, **keys):
    """The life of a file by presigned URLs alone."""
    key, body = "t/a b+c%/ü.pdf", os.urandom(200_000)
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    put = presign(endpoint, provider, "PUT", key, 60, "type=application/pdf", f"length={len(body)}",
                  f"sha256={checksum}", **keys)
    headers = {"Content-Type": "application/pdf", "x-amz-checksum-sha256": checksum}
    assert send("PUT", put, body, headers)[0] == 200
    get = presign(endpoint, provider, "GET", key, 60, 'disposition=attachment; filename="x y.pdf"', **keys)
    with urllib.request.urlopen(get, timeout=30) as answer:
        assert answer.read() == body
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="x y.pdf"'
    if checks_signatures:
        assert send("GET", get[:-1] + ("0" if get[-1] != "0" else "1"))[0] == 403
        assert send("GET", get.replace("%C3%BC", "u"))[0] == 403
        assert send("PUT", get, b"")[0] == 403
    brief = presign(endpoint, provider, "GET", key, 1, **keys)
    time.sleep(2.1)
    assert send("GET", brief)[0] == 403
    assert send("HEAD", presign(endpoint, provider, "HEAD", key, 60, **keys))[0] == 200
    assert send("DELETE", presign(endpoint, provider, "DELETE", key, 60, **keys))[0] == 204
    assert send("GET", presign(endpoint, provider, "GET", key, 60, **keys))[0] == 404


def test_our_urls_at_our_store(store):
    exercise(store.endpoint, "filemill")
    once = presign(store.endpoint, "filemill", "PUT", "once", 60, "type=a/b", "length=1", "create_only")
    headers = {"Content-Type": "a/b", "If-None-Match": "*"}
    assert send("PUT", once, b"x", headers)[0] == 200
    assert send("PUT", once, b"y", headers)[0] == 412
    assert send("PUT", once, b"yy", headers)[0] == 403


@pytest.fixture(scope="module")
def foreign_server(tmp_path_factory):
    """s3rver, an S3 server from npm, installed for this test alone."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so there is no S3 server but our own to try")
    place = tmp_path_factory.mktemp("s3rver")
    installed = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), "s3rver@3.7.1"],
                               capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"s3rver could not be installed: {installed.stderr.strip()[-200:]}")
    port = free_port()
    server = subprocess.Popen(
        ["node", str(place / "node_modules" / ".bin" / "s3rver"), "--directory", str(place / "data"),
         "--address", "127.0.0.1", "--port", str(port), "--configure-bucket", BUCKET, "--silent"],
        start_new_session=True)

    def answers():
        assert server.poll() is None, "s3rver ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True
    try:
        eventually(answers, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def test_our_urls_at_a_server_that_we_did_not_write(foreign_server):
    """It parses presigned URLs and minds their expiry, but does not compute version 4 signatures: that those are
    right, the next test shows."""
    exercise(foreign_server, "minio", checks_signatures=False, access_key="S3RVER", secret_key="S3RVER")


@pytest.mark.parametrize("provider, endpoint, url", [
    ("minio", "http://minio.test:9000", "http://minio.test:9000/user-files/"),
    ("aws", "https://s3.us-east-1.amazonaws.com", "https://user-files.s3.us-east-1.amazonaws.com/"),
    ("r2", "https://account.r2.cloudflarestorage.com:443", "https://account.r2.cloudflarestorage.com/user-files/"),
])
@pytest.mark.parametrize("method, options, headers, query", [
    ("GET", [], {}, {}),
    ("GET", ["disposition=inline; filename=\"ü&=.pdf\""], {}, {"response-content-disposition": 'inline; filename="ü&=.pdf"'}),
    ("PUT", ["type=image/png", "length=12", "create_only"],
     {"content-type": "image/png", "content-length": "12", "if-none-match": "*"}, {}),
])
def test_our_signature_is_that_of_botocore(monkeypatch, provider, endpoint, url, method, options, headers, query):
    key = "t/a b+c%/~ü(1)*.pdf"
    ours = urllib.parse.urlsplit(presign(endpoint, provider, method, key, 600, *options))
    asked = dict(urllib.parse.parse_qsl(ours.query))
    signed_at = datetime.datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(botocore.auth.datetime, "datetime", type("Frozen", (datetime.datetime,), {
        "utcnow": classmethod(lambda cls: signed_at)}))
    request = botocore.awsrequest.AWSRequest(
        method, url + urllib.parse.quote(key, safe="/~") + ("?" + urllib.parse.urlencode(query) if query else ""),
        headers=headers)
    botocore.auth.S3SigV4QueryAuth(botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION,
                                   600).add_auth(request)
    theirs = urllib.parse.urlsplit(request.url)
    assert ours[:3] == theirs[:3]
    assert asked == dict(urllib.parse.parse_qsl(theirs.query))
