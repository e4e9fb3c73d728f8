# SPDX-License-Identifier: MIT
"""samples/seal.mjs where it is meant to run: a page encrypts what it uploads, and the server reads it."""
import json
from pathlib import Path

import pytest
from system import System, one_page_pdf

MODULE = (Path(__file__).parents[2] / "samples" / "seal.mjs").read_text()
MARK = "only the page and the server read this"

UPLOAD = MODULE.replace("export async function", "async function") + """
const [token, tenant, bytes, done] = arguments;
const call = async (method, path, body) => (await fetch(path, {
  method, body: body && JSON.stringify(body),
  headers: { Authorization: "Bearer " + token, ...(body && { "Content-Type": "application/json" }) },
})).json();
(async () => {
  const plain = new Blob([Uint8Array.from(bytes)], { type: "application/pdf" });
  const { encryption, body } = await seal(await call("GET", "/v1/encryption/key"), plain);
  const init = await call("POST", "/v1/files/init-upload", {
    tenant_id: tenant, filename: "page.pdf", mime: plain.type, size_bytes: plain.size, encryption,
  });
  const put = await fetch(init.upload_url, { method: "PUT", body, headers: init.required_headers });
  const finalized = await call("POST", "/v1/files/finalize", { file_id: init.file_id });
  done(JSON.stringify({ init, put: put.status, finalized }));
})().catch((error) => done(JSON.stringify({ error: String(error) })));
"""


@pytest.fixture(scope="module")
def system():
    with System(encryption_key="7a" * 32) as running:
        yield running


def test_a_page_encrypts_what_it_uploads(system, user, browser):
    browser.open()
    plain = one_page_pdf(MARK).ljust(150000, b"\n")  # three chunks
    said = json.loads(browser.driver.execute_async_script(UPLOAD, user.token, user.tenant, list(plain)))
    assert said.get("put") in (200, 204), said
    file = user.wait(said["init"]["file_id"])
    assert file["status"] == "ready" and file["detected_mime"] == "application/pdf", file
    stored = system.s3().get_object(Bucket=system.bucket, Key=said["init"]["r2_key"])["Body"].read()
    assert stored[:6] == b"FMSEAL" and MARK.encode() not in stored
    assert user.call("GET", f"/v1/files/{file['file_id']}/content").body == plain
    assert MARK in user.derivative(file["file_id"], "pdf_text").decode()
