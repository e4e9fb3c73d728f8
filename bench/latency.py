"""finalize → ready of a one-page PDF, as a listener on the events stream sees it, one file at a time."""
import http.client
import time

from harness import System, percentile
from system import one_page_pdf

FILES = 200


def listen_until_settled(system, user, file_id, finalize):
    """Opens the stream first, then finalizes; returns the seconds from the call to the event that settles it."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
    connection.request("GET", f"/v1/files/{file_id}/events", headers={"Authorization": f"Bearer {user.token}"})
    stream = connection.getresponse()
    assert stream.status == 200, stream.status
    started = time.perf_counter()
    finalize()
    for line in stream:
        if line.startswith(b"data:") and (b'"ready"' in line or b'"failed"' in line):
            break
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed


def main(table):
    with System() as system:
        user = system.user().bootstrap()
        times = []
        for number in range(FILES + 10):
            file_id = user.upload("page.pdf", "application/pdf", one_page_pdf(f"page {number}"))
            elapsed = listen_until_settled(system, user, file_id, lambda: user.finalize(file_id))
            if number >= 10:
                times.append(elapsed * 1000)
        table.add("finalize → ready, one-page PDF, p50", percentile(times, 0.5), "ms", aim="30")
        table.add("finalize → ready, one-page PDF, p99", percentile(times, 0.99), "ms", aim="100")
