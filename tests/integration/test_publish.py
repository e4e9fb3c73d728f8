# SPDX-License-Identifier: MIT
"""Media publishing, as its document describes it: other software inserts into publish_jobs, nothing else runs but a
scheduler, a worker and a store; pictures come from a source with a bearer and go to a second bucket behind a CDN."""
import contextlib
import http.client
import http.server
import io
import os
import signal
import threading
import time
import urllib.parse
import uuid
from pathlib import Path

import pytest
from store_process import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Store
from system import System, eventually

pytest.importorskip("PIL", reason="python3-pil is not installed")
from PIL import Image  # noqa: E402

BEARER = "canary-raid-bearer-7f3a"
B2_SECRET = SECRET_KEY
CDN = "https://cdn.example"
EXIF_CANARY = "canary of a camera"
LARGEST = 400_000
CACHE = "public, max-age=31536000, immutable"

# As the document has them.
PENDING = "SELECT COUNT(*) FROM publish_jobs WHERE status = 'pending';"
ATTENTION = """SELECT * FROM publish_jobs
WHERE status = 'failed' AND retry_count >= max_retries;"""
AVERAGE = """SELECT AVG(EXTRACT(EPOCH FROM (completed_at - started_at))) as avg_seconds
FROM publish_jobs
WHERE status = 'completed' AND completed_at > NOW() - INTERVAL '1 hour';"""
SUMMARY = """SELECT publish_status, COUNT(*)
FROM auction_files
WHERE deleted_at IS NULL
GROUP BY publish_status;"""
VERIFY = "SELECT * FROM publish_jobs WHERE status = 'pending' LIMIT 5;"
RAISE = "UPDATE publish_jobs SET max_retries = 10 WHERE status = 'failed';"
CLEAN = """DELETE FROM publish_jobs
WHERE status = 'completed'
AND completed_at < NOW() - INTERVAL '90 days';"""


def picture(width=2000, height=1500, colour=0):
    image = Image.linear_gradient("L").resize((width, height))
    image = Image.merge("RGB", (image, image.rotate(180), Image.new("L", (width, height), colour)))
    exif = Image.Exif()
    exif[0x010F] = EXIF_CANARY  # Make
    exif[0x0112] = 6            # to be turned by a quarter
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85, exif=exif)
    return out.getvalue()


class Raid(http.server.ThreadingHTTPServer):
    """What `<endpoint>?key=` answers is `answers[key]`: bytes, or a function of (handler, times asked)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RaidHandler)
        self.answers, self.asked, self.open = {}, {}, True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/pub/download"


class RaidHandler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        raid = self.server
        url = urllib.parse.urlsplit(self.path)
        key = urllib.parse.parse_qs(url.query).get("key", [""])[0]
        raid.asked[key] = raid.asked.get(key, 0) + 1
        if self.headers.get("Authorization") != f"Bearer {BEARER}":
            self.answer(401)
            return
        what = raid.answers.get(key)
        if what is None or url.path != "/pub/download":
            self.answer(404)
        elif callable(what):
            what(self, raid.asked[key])
        else:
            self.answer(200, what)

    def log_message(self, *unused):
        pass


class Publisher(System):
    """Scheduler, worker and store: no gateway. The variables are the document's."""

    def __init__(self, raid, b2):
        super().__init__(roles="scheduler,worker,store", backoff_unit_ms=50, log_level="debug", worker_slots=2,
                         transfer_low_speed_ms=3000, source_max_bytes=LARGEST)
        self.environment.update({
            "RAID_PUBLISHER_SECRET": BEARER, "RAID_PUB_ENDPOINT": raid.url, "B2_KEY_ID": ACCESS_KEY,
            "B2_APP_KEY": B2_SECRET, "B2_BUCKET": BUCKET, "B2_ENDPOINT": b2.endpoint, "B2_REGION": REGION,
            "CDN_BASE_URL": CDN + "/", "WORKER_POLL_INTERVAL": "15000", "MAX_RETRIES": "5"})

    def is_ready(self):
        assert self.process.poll() is None, self.log()[-4000:]
        return self.command("health", check=False).returncode == 0

    def job(self, job):
        return self.sql("select * from publish_jobs where id = %s", job)[0]

    def insert(self, **columns):
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        return self.sql(f"insert into publish_jobs ({names}) values ({marks}) returning *", *columns.values())[0]

    def ended(self, job, status="completed", seconds=60):
        def look():
            row = self.job(job["id"])
            return row if row["status"] in ("completed", "failed", "cancelled") else None
        row = eventually(look, seconds, what=f"end of {job['source_key']}")
        assert row["status"] == status, row
        return row

    def publish(self, key, status="completed", **more):
        return self.ended(self.insert(source_key=key, **more), status)

    def file(self, job):
        return self.sql("select * from auction_files where id = %s", job["file_id"])[0]


@pytest.fixture(scope="module")
def raid():
    server = Raid()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def b2():
    with Store() as store:
        yield store


@pytest.fixture(scope="module")
def system(raid, b2):
    with Publisher(raid, b2) as running:
        yield running


@pytest.fixture(scope="module")
def everything(b2):
    """All of it, a gateway too, with every output encrypted that is not for everybody."""
    with System(encrypt_outputs="all", encryption_key="5e" * 32, publish_bucket=BUCKET, publish_endpoint=b2.endpoint,
                publish_region=REGION, publish_access_key=ACCESS_KEY, publish_secret_key=B2_SECRET, cdn_base_url=CDN) as running:
        yield running


def fetch_object(b2, url):
    assert url.startswith(CDN + "/published/"), url
    return b2.client().get_object(Bucket=BUCKET, Key=url[len(CDN) + 1:])


def shown(b2, url):
    return Image.open(io.BytesIO(fetch_object(b2, url)["Body"].read()))


def test_a_row_inserted_by_other_software_is_published(system, raid, b2):
    """Although the queue is only looked at every 15 s, and nobody but the database says anything."""
    raid.answers["lots/12/front view.jpg"] = picture()
    job = system.insert(source_key="lots/12/front view.jpg", asset_group_id="lot-12", variant="front")
    assert job["status"] == "pending" and job["retry_count"] == 0 and job["max_retries"] == 5
    job = system.ended(job)
    assert (job["started_at"] - job["created_at"]).total_seconds() < 10, "woken, not polled"
    assert job["started_at"] <= job["completed_at"] and job["error_message"] is None
    assert (job["asset_group_id"], job["variant"]) == ("lot-12", "front")
    for url, size in ((job["thumb_url"], (300, 400)), (job["display_url"], (1200, 1600))):
        stored = fetch_object(b2, url)
        assert (stored["CacheControl"], stored["ContentType"]) == (CACHE, "image/webp")
        body = stored["Body"].read()
        image = Image.open(io.BytesIO(body))
        assert image.format == "WEBP" and image.size == size, "upright"
        assert not image.getexif() and b"EXIF" not in body and EXIF_CANARY.encode() not in body
    file = system.file(job)
    assert file["publish_status"] == "published" and file["thumb_url"] == job["thumb_url"]
    assert file["display_url"] == job["display_url"] and file["published_at"] is not None
    assert file["original_name"] == "front view.jpg"


def test_publishing_again_takes_new_names_and_the_new_bytes(system, raid, b2):
    raid.answers["again.jpg"] = picture(800, 600, 0)
    first = system.publish("again.jpg")
    raid.answers["again.jpg"] = picture(800, 600, 255)
    second = system.publish("again.jpg")
    assert second["file_id"] == first["file_id"] and second["display_url"] != first["display_url"]
    assert shown(b2, second["display_url"]).convert("RGB").getpixel((9, 9))[2] > 200
    assert system.file(second)["display_url"] == second["display_url"]
    gone = first["display_url"][len(CDN) + 1:]
    to_go = system.sql("select 1 from object_deletions where key = %s", gone)  # before the bucket: it may be struck off
    left = {row["Key"] for row in b2.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])}
    assert to_go or gone not in left, "old ones go"


def test_a_file_of_ours_is_published_by_its_key(system, b2):
    tenant, owner, file = (str(uuid.uuid4()) for _ in range(3))
    key, data = f"t/{tenant}/u/{owner}/{file}.jpg", picture(640, 480)
    system.s3().put_object(Bucket=system.bucket, Key=key, Body=data)
    system.sql("insert into tenants (id, name) values (%s, 'T')", tenant)
    system.sql("insert into files (id, tenant_id, owner_user_id, r2_key_original, mime, size_bytes, status) values"
               " (%s, %s, %s, %s, 'image/jpeg', %s, 'ready')", file, tenant, owner, key, len(data))
    job = system.publish(key)
    assert str(job["file_id"]) == file and job["source_key"] == key
    assert shown(b2, job["thumb_url"]).size == (300, 400)
    by_id = system.ended(system.insert(file_id=file))
    assert by_id["display_url"] != job["display_url"] and shown(b2, by_id["display_url"]).size == (480, 640)


def test_what_is_published_is_for_everybody(everything, b2):
    """Encryption or not: the object behind the CDN is a plain picture, and the gateway's links lead there."""
    user = everything.user().bootstrap()
    file_id = user.send("lot.jpg", "image/jpeg", picture(640, 480))
    user.wait(file_id)
    job = everything.sql("insert into publish_jobs (file_id) values (%s) returning id", file_id)[0]["id"]
    look = "select status, display_url, error_message from publish_jobs where id = %s"
    row = eventually(lambda: [row for row in everything.sql(look, job) if row["status"] in ("completed", "failed")],
                     what="published")[0]
    assert row["status"] == "completed", row
    for kind, size in (("published_thumb", (300, 400)), ("published_display", (480, 640))):
        found = user.call("GET", f"/v1/files/{file_id}/derivatives/{kind}")
        assert found.status == 200 and "expires_in_seconds" not in found.json, found
        stored = fetch_object(b2, found.json["download_url"])
        assert stored["ContentType"] == "image/webp" and not found.json["download_url"].endswith(".enc")
        assert Image.open(io.BytesIO(stored["Body"].read())).size == size
        for path in (f"/v1/files/{file_id}/derivatives/{kind}?redirect=1", f"/v1/files/{file_id}/derivatives/{kind}/content"):
            assert way(everything, user, path) == (303, found.json["download_url"]), path
        assert not everything.sql("select key from object_keys where key like '%%' || %s || '%%'", kind)
        assert everything.user().bootstrap().call("GET", f"/v1/files/{file_id}/derivatives/{kind}").status == 404
    assert row["display_url"] == found.json["download_url"]
    sealed = everything.sql("select r2_key, exists (select from object_keys k where k.key = r2_key) as sealed"
                            " from file_derivatives where file_id = %s and kind not like 'published%%'", file_id)
    assert sealed and all(row["sealed"] and row["r2_key"].endswith(".enc") for row in sealed), sealed


def way(system, user, path):
    """Status and Location of an answer that is not followed: the CDN is not there."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {user.token}"})
        reply = connection.getresponse()
        return reply.status, reply.headers["Location"]
    finally:
        connection.close()


def test_a_url_of_the_source_is_a_source(system, raid, b2):
    raid.answers["by-url"] = picture(300, 200)
    job = system.ended(system.insert(source_url=f"{raid.url}?key=by-url&v=2"))
    assert shown(b2, job["display_url"]).size == (200, 300), "never enlarged"


def test_no_other_origin_is_asked(system, raid):
    other = Raid()
    try:
        for url in (other.url + "?key=x", raid.url.replace("127.0.0.1", "127.0.0.1@localhost"),
                    f"http://127.0.0.1:{raid.server_port}.example/pub/download?key=x"):
            job = system.ended(system.insert(source_url=url), "failed")
            assert job["error_message"].startswith("source_not_allowed") and job["retry_count"] == 1
        raid.answers["moved"] = lambda handler, times: handler.answer(302, Location=other.url + "?key=x")
        job = system.publish("moved", "failed", max_retries=2)
        assert job["error_message"].startswith("source_refused: GET") and job["retry_count"] == 2
        assert other.asked == {}, "the bearer is for one origin"
    finally:
        other.shutdown()
        other.server_close()


@pytest.mark.parametrize("row", [
    {}, {"source_key": "https://x/"}, {"source_key": "a\nb"}, {"source_url": "ftp://x/y"}, {"source_url": "http://x /"},
    {"source_key": "a", "source_url": "http://x/"}, {"source_key": "a", "status": "completed"},
    {"source_key": "a", "max_retries": 0}, {"source_key": ""}, {"source_key": "k" * 1001}])
def test_rows_that_make_no_sense_are_refused(system, row):
    psycopg2 = pytest.importorskip("psycopg2")
    row = row or {"asset_group_id": "g"}
    with pytest.raises(psycopg2.Error) as refusal:
        system.insert(**row)
    assert refusal.value.pgcode == "22023"


def stall(handler, times):
    if times > 1:
        handler.answer(200, picture(300, 200))
        return
    handler.send_response(200)
    handler.send_header("Content-Length", "50000")
    handler.end_headers()
    time.sleep(60)


def hold(handler, go_on, data):
    """Answers, but not the last bytes before it may: slowly enough to be met on the way, too fast to have stalled."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        while not go_on.wait(0.1) and len(data) > 400:
            handler.wfile.write(data[:200])
            data = data[200:]
        handler.wfile.write(data)


def test_what_may_pass_is_tried_again(system, raid):
    raid.answers["once-500"] = lambda handler, times: handler.answer(*((500,) if times == 1 else (200, picture(300, 200))))
    raid.answers["stalls"] = stall
    jobs = [system.insert(source_key=key) for key in ("once-500", "stalls")]
    for job in jobs:
        job = system.ended(job)
        assert job["retry_count"] == 1 and job["error_message"] is None and raid.asked[job["source_key"]] == 2


def test_five_tries_each_later_than_the_one_before(system, raid):
    times = []

    def fail(handler, count):
        times.append(time.monotonic())
        handler.answer(503)
    raid.answers["down"] = fail
    job = system.publish("down", "failed")
    assert job["retry_count"] == job["max_retries"] == 5 and len(times) == 5
    assert job["error_message"].startswith("source_unavailable: GET")
    waits = [later - earlier for earlier, later in zip(times, times[1:])]
    assert all(wait >= 0.045 * 2 ** place for place, wait in enumerate(waits)), waits  # twice as long each time, less the jitter
    assert system.file(job)["publish_status"] == "failed" and system.file(job)["publish_error"] == job["error_message"]


@pytest.mark.parametrize("key, code", [("nothing-there", "source_missing"), ("page.html", ""), ("large.jpg", "source_too_large"),
                                       ("cut.jpg", "")])
def test_what_cannot_get_better_is_not_tried_again(system, raid, key, code):
    raid.answers.update({"page.html": b"<html><body>log in</body></html>", "large.jpg": b"\xff\xd8" * LARGEST,
                         "cut.jpg": picture(600, 400)[:400]})
    job = system.publish(key, "failed")
    assert job["retry_count"] == 1 and raid.asked[key] == 1 and job["error_message"].startswith(code), job
    attention = system.sql(ATTENTION)
    assert job["id"] in {row["id"] for row in attention}


def test_a_wrong_bearer_says_so_and_nothing_more(system, raid):
    raid.answers["forbidden"] = lambda handler, times: handler.answer(401, b"you sent " + BEARER.encode())
    job = system.publish("forbidden", "failed", max_retries=1)
    assert job["error_message"].startswith("source_refused: GET") and "401" in job["error_message"]
    assert BEARER not in job["error_message"]


def test_a_worker_killed_on_its_way_costs_one_try(system, raid, b2):
    reached, go_on = threading.Event(), threading.Event()

    def hang(handler, times):
        if times == 1:
            reached.set()
            hold(handler, go_on, picture())
            return
        handler.answer(200, picture(500, 400))
    raid.answers["killed"] = hang
    job = system.insert(source_key="killed")
    assert reached.wait(60)
    assert system.job(job["id"])["status"] == "processing" and system.file(job)["publish_status"] == "processing"
    for pid in system.pids("filemill-worker"):
        os.kill(pid, signal.SIGKILL)
    go_on.set()
    job = system.ended(job)
    assert job["retry_count"] == 1 and raid.asked["killed"] == 2
    assert shown(b2, job["thumb_url"]).size == (320, 400)
    keys = system.sql("select r2_key from file_derivatives where file_id = %s", job["file_id"])
    assert len(keys) == 2, "once, whoever wrote"


def test_the_second_bucket_may_be_away(system, raid, b2):
    raid.answers["away"] = picture(300, 200)
    b2.kill()
    try:
        job = system.insert(source_key="away", max_retries=30)
        tried = eventually(lambda: (row := system.job(job["id"]))["retry_count"] > 0 and row["error_message"] and row, what="a try")
        assert tried["error_message"].startswith("storage_unavailable")
        counted = [counters for service in system.stats()["services"] for counters in [service["counters"]]
                   if 'filemill_storage_errors_total{provider="minio"}' in counters]
        assert counted, "the second bucket's errors, by its provider"
        assert not [counters for counters in counted if 'filemill_storage_errors_total{provider="filemill"}' in counters]
    finally:
        b2.start()
    system.ended(job)


def test_the_documents_queries_work_as_they_are(system, raid):
    assert system.sql("insert into paused_types (type) values ('publish_image') returning type")
    try:
        raid.answers["later"] = picture(300, 200)
        job = system.insert(source_key="later", priority=0)
        assert system.sql(PENDING) == [{"count": 1}]
        waiting, = system.sql(VERIFY)
        assert waiting["id"] == job["id"] and waiting["priority"] == 0
    finally:
        system.sql("delete from paused_types")
    system.sql("notify filemill_jobs")
    system.ended(job)
    assert system.sql(AVERAGE)[0]["avg_seconds"] > 0
    summary = {row["publish_status"]: row["count"] for row in system.sql(SUMMARY)}
    assert summary["published"] >= 2 and summary["failed"] >= 2


def test_raising_max_retries_tries_failed_ones_again(system, raid):
    raid.answers["mended"] = lambda handler, times: handler.answer(500)
    job = system.publish("mended", "failed", max_retries=1)
    assert job["id"] in {row["id"] for row in system.sql(ATTENTION)}
    raid.answers["mended"] = picture(300, 200)
    raid.answers["down"] = picture(300, 200)
    system.sql(RAISE)
    job = system.ended(job)
    assert (job["retry_count"], job["max_retries"]) == (1, 10)


def test_one_failed_job_is_set_back_by_hand_and_a_pending_one_stopped(system, raid):
    raid.answers["by-hand"] = lambda handler, times: handler.answer(500)
    job = system.publish("by-hand", "failed", max_retries=1)
    raid.answers["by-hand"] = picture(300, 200)
    system.sql("update publish_jobs set status = 'pending' where id = %s", job["id"])
    assert system.ended(job)["retry_count"] == 0
    raid.answers["stopped"] = lambda handler, times: handler.answer(500)
    job = system.insert(source_key="stopped", max_retries=1000)
    system.sql("update publish_jobs set status = 'cancelled' where id = %s", job["id"])
    assert system.ended(job, "cancelled")


def test_what_has_ended_while_its_lock_was_waited_for_stays_as_it_is(system, raid):
    psycopg2 = pytest.importorskip("psycopg2")
    raid.answers["ended"] = picture(300, 200)
    job = system.publish("ended")
    system.sql("insert into paused_types (type) values ('publish_image')")
    told = []

    def stop():
        try:
            told.append(system.sql("update publish_jobs set status = 'cancelled' where id = %s", job["id"]))
        except psycopg2.Error as error:
            told.append(error.pgcode)
    thread = threading.Thread(target=stop)
    holder = psycopg2.connect(system.shell["PSQL_URL"])
    try:
        system.sql("update jobs set status = 'queued', finished_at = null where id = %s", job["id"])
        with holder.cursor() as cursor:
            cursor.execute("select from files where id = %s for no key update", (job["file_id"],))
            thread.start()
            eventually(lambda: system.sql("select 1 from pg_stat_activity where %s = any (pg_blocking_pids(pid))",
                                          holder.get_backend_pid()), what="the one that waits")
            cursor.execute("update jobs set status = 'done', finished_at = now() where id = %s", (job["id"],))
        holder.commit()
    finally:
        holder.close()
        thread.join()
        system.sql("delete from paused_types")
    assert told == ["22023"] and system.job(job["id"])["status"] == "completed"


def test_attached_first_published_later(system, raid):
    raid.answers["attached"] = picture(300, 200)
    file, = system.sql("insert into auction_files (source_key, asset_group_id) values ('attached', 'lot-9') returning *")
    assert file["publish_status"] == "pending"
    job = system.ended(system.insert(file_id=file["id"]))
    assert job["asset_group_id"] == "lot-9" and job["source_key"] == "attached"
    assert system.file(job)["publish_status"] == "published"


def test_a_role_that_may_publish_may_nothing_else(system):
    rows = system.sql("select table_name, privilege_type from information_schema.role_table_grants"
                      " where grantee = 'filemill_publisher'")
    assert {row["table_name"] for row in rows} == {"publish_jobs", "auction_files"}


def test_a_deleted_file_is_not_published(system, raid):
    psycopg2 = pytest.importorskip("psycopg2")
    raid.answers["withdrawn"] = picture(300, 200)
    job = system.publish("withdrawn")
    system.sql("update auction_files set deleted_at = now() where id = %s", job["file_id"])
    with pytest.raises(psycopg2.Error) as refusal:
        system.insert(file_id=job["file_id"])
    assert refusal.value.pgcode == "FM003"


def test_rows_may_be_deleted_whatever_their_state(system, raid, b2):
    reached, go_on = threading.Event(), threading.Event()

    def hang(handler, times):
        reached.set()
        hold(handler, go_on, picture())
    raid.answers["deleted"] = hang
    job = system.insert(source_key="deleted")
    assert reached.wait(60)
    system.sql("delete from publish_jobs where id = %s", job["id"])
    go_on.set()
    assert system.file(job)["publish_status"] == "pending" and system.file(job)["display_url"] is None
    system.sql("insert into paused_types (type) values ('publish_image')")
    try:
        waiting = system.insert(source_key="deleted")
        system.sql("delete from publish_jobs where id = %s", waiting["id"])
    finally:
        system.sql("delete from paused_types")
    assert not system.sql("select 1 from publish_jobs where file_id = %s", job["file_id"])
    raid.answers["deleted"] = picture(300, 200)
    again = system.publish("deleted")
    assert again["file_id"] == job["file_id"] and shown(b2, again["thumb_url"]).size == (200, 300)

    def left():
        prefix = again["thumb_url"][len(CDN) + 1:].rsplit("/", 1)[0]
        return b2.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("KeyCount", 0)
    eventually(lambda: left() == 2, 30, every=0.2, what="what the deleted one may have written is gone")


def restart_scheduler(system):
    """Its chores come round once a minute, and two seconds after it starts."""
    for pid in system.pids("filemill-scheduler"):
        os.kill(pid, signal.SIGKILL)


def test_deleted_files_and_old_jobs_go_in_their_time(system, raid, b2):
    raid.answers["sold"] = picture(300, 200)
    raid.answers["kept"] = picture(300, 200)
    sold, kept, young = system.publish("sold"), system.publish("kept"), system.publish("by-url")
    key = sold["thumb_url"][len(CDN) + 1:]
    folder = key.rsplit("/", 1)[0]
    update = "update auction_files set deleted_at = now() - %s::interval where id = %s"
    system.sql(update, "0 s", sold["file_id"])
    assert system.sql("select status from files where id = %s", sold["file_id"])[0]["status"] == "deleted"
    system.sql("update auction_files set deleted_at = null where id = %s", sold["file_id"])
    assert system.file(sold)["publish_status"] == "published", "taken back"

    def left(prefix):
        return b2.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("KeyCount", 0)
    assert left(folder) == 2
    system.sql(update, "31 days", sold["file_id"])
    system.sql(update, "29 days", kept["file_id"])
    old = system.publish("attached")
    system.sql("update jobs set finished_at = now() - interval '91 days' where id = %s", old["id"])
    restart_scheduler(system)
    eventually(lambda: system.sql("select 1 from files where id = %s and purged_at is not null", sold["file_id"]),
               what="handed to deletion")
    eventually(lambda: not system.sql("select 1 from publish_jobs where id = %s", old["id"]), what="90 days are over")
    eventually(lambda: left(folder) == 0, 30, what="no object left")
    assert left(kept["thumb_url"][len(CDN) + 1:].rsplit("/", 1)[0]) == 2, "29 days are no 30"
    assert system.file(old)["publish_status"] == "published", "also without its job"
    assert system.job(young["id"])["status"] == "completed"
    eventually(lambda: not system.sql("select 1 from object_deletions where key = %s", key), what="struck off")
    assert not system.sql("select 1 from object_deletions where key like 'source:%'"), "there is no such object"


def test_the_documents_cleaning_takes_what_is_old(system, raid):
    raid.answers["cleaned"] = picture(300, 200)
    old, new = system.publish("cleaned"), system.publish("cleaned")
    system.sql("update jobs set finished_at = now() - interval '91 days' where id = %s", old["id"])
    system.sql(CLEAN)
    assert [row["id"] for row in system.sql("select id from publish_jobs where file_id = %s", new["file_id"])] == [new["id"]]


def test_no_secret_is_in_any_log_or_row(system):
    log = system.log()
    assert "state=sent" in log, "debug lines are there"
    rows = str(system.sql("select * from jobs")) + str(system.sql("select * from file_events"))
    for secret in (BEARER, B2_SECRET, "X-Amz-Signature"):
        assert secret not in log and secret not in rows
    worker = system.pids("filemill-worker")[0]
    told = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"PUBLISH_SECRET_KEY" not in told and B2_SECRET.encode() not in told, "workers hold no key of a bucket"


def test_sigterm_lets_what_runs_end(system, raid):
    reached = threading.Event()

    def slowly(handler, times):
        reached.set()
        time.sleep(0.7)
        handler.answer(200, picture(300, 200))
    raid.answers["last"] = slowly
    system.insert(source_key="last")
    assert reached.wait(60)
    assert system.terminate() == 0
    assert "state=crashed" not in system.log()
