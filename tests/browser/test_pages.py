# SPDX-License-Identifier: MIT
"""Documents of several pages, page by page, where all that workers store is encrypted."""
import pytest
from accessibility import wrong_with
from scans import scan_pdf, text_pdf
from system import CORPUS, SAMPLES, System

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="python3-selenium is not installed").Keys
PAGES = 23  # more than are drawn at once


@pytest.fixture(scope="module")
def system():
    with System(backoff_unit_ms=200, encrypt_outputs="all", encryption_key="5a" * 32) as running:
        yield running


@pytest.fixture(scope="module")
def owner(system):
    return system.user().bootstrap("The sealed mill")


@pytest.fixture(scope="module")
def files(owner):
    ids = {"long.pdf": owner.send("long.pdf", "application/pdf", text_pdf(range(1, PAGES + 1))),
           "turned.pdf": owner.send("turned.pdf", "application/pdf", text_pdf([1, 2]).replace(b"/MediaBox", b"/Rotate 90 /MediaBox")),
           "scan.pdf": owner.send("scan.pdf", "application/pdf", scan_pdf(2)),
           "evening.jpg": owner.send("evening.jpg", "image/jpeg", (SAMPLES / "evening.jpg").read_bytes())}
    sound = CORPUS / "audio" / "jfk.wav"
    if sound.exists():
        ids["jfk.wav"] = owner.send("jfk.wav", "audio/wav", sound.read_bytes())
    assert owner.call("POST", f"/v1/files/{ids['scan.pdf']}/jobs", {"type": "ocr"}).status == 202
    for file_id in ids.values():
        assert owner.wait(file_id)["status"] == "ready"
    return ids


def open_file(browser, file_id):
    browser.goto(f"#/files/{file_id}")
    browser.js("document.querySelectorAll('.word rect').length > 5")


def drawn(browser, page, seconds=60):
    """The page is there as its picture: how many words have boxes over it, and the picture's size."""
    browser.js(f"document.querySelector('.pager input').value === '{page}' && "
               "document.querySelector('.sheet-page.picture image')?.getAttribute('href').startsWith('blob:')", seconds)
    return browser.run("return new Promise(done => { const p = new Image(); p.onload = () => done({width: p.naturalWidth, height: p.naturalHeight,"
                       " boxes: document.querySelectorAll('.sheet-page .word rect').length, text: document.querySelector('.page-text').innerText});"
                       " p.src = document.querySelector('.sheet-page image').getAttribute('href'); })")


def ordered(owner, file_id):
    return [job["status"] for job in owner.file(file_id)["jobs"] if job["type"] == "page_images"]


def test_every_page_has_its_picture_and_keys_turn_pages(browser, owner, files):
    browser.sign_in(owner)
    open_file(browser, files["long.pdf"])
    assert ordered(owner, files["long.pdf"]) == [], "nothing is drawn that nobody looks at"
    browser.run("document.activeElement.blur()")
    browser.keys(Keys.ARROW_RIGHT)
    second = drawn(browser, 2)
    assert "Page number 2" in second["text"] and second["boxes"] == len(second["text"].split()) > 10
    assert (second["width"], second["height"]) == (1200, 480)
    browser.picture("sealed-page")
    browser.keys(Keys.ARROW_RIGHT)
    assert "Page number 3" in drawn(browser, 3)["text"]
    assert ordered(owner, files["long.pdf"]) == ["done"]
    browser.run("const n = document.querySelector('.pager input'); n.value = 22; n.dispatchEvent(new Event('change'));")
    assert "Page number 22" in drawn(browser, 22)["text"]
    browser.keys(*[Keys.ARROW_LEFT] * 19)
    assert "Page number 3" in drawn(browser, 3)["text"]
    assert ordered(owner, files["long.pdf"]) == ["done", "done"], "what was drawn is kept"
    made, = [entry["metadata"] for entry in owner.file(files["long.pdf"])["derivatives"] if entry["kind"] == "page_images"]
    assert {name: made[name] for name in ("first", "last", "drawn")} == {"first": 21, "last": 23, "drawn": 3}
    browser.sees("Ready", ".state")
    browser.quiet()


def test_a_page_that_is_turned_fits_its_words(browser, owner, files):
    browser.sign_in(owner)
    open_file(browser, files["turned.pdf"])
    browser.run("document.activeElement.blur()")
    browser.keys(Keys.ARROW_RIGHT)
    second = drawn(browser, 2)
    assert (second["width"], second["height"]) == (480, 1200)
    inside = browser.run("const v = document.querySelector('.sheet-page').viewBox.baseVal; return v.width === 120 && v.height === 300 && "
                         "[...document.querySelectorAll('.sheet-page rect')].every(r => +r.getAttribute('x') + +r.getAttribute('width') <= 120)")
    assert inside
    browser.quiet()


def test_looking_at_a_page_that_cannot_be_drawn_does_the_file_no_harm(system, browser, owner):
    file_id = owner.send("hostile.pdf", "application/pdf", text_pdf([7, 8]))
    assert owner.wait(file_id)["status"] == "ready"
    system.sql("insert into quarantine (tenant_id, sha256, type, crashes, reason) select tenant_id, sha256, 'page_images', 2, "
               "'crash' from files where id = %s", file_id)
    browser.sign_in(owner)
    open_file(browser, file_id)
    browser.run("document.activeElement.blur()")
    browser.keys(Keys.ARROW_RIGHT)
    browser.js("[...document.querySelectorAll('.job')].some(j => j.dataset.type === 'page_images' && j.innerText.includes('ordered') && "
               "j.innerText.includes('quarantined'))", 30)
    browser.js("!document.querySelector('.pages-bar').innerText.includes('Drawing')")
    browser.sees("Ready", ".state")
    assert browser.run("return document.querySelector('.faults').childElementCount") == 0
    assert ordered(owner, file_id) == ["failed"] and owner.file(file_id)["status"] == "ready"
    browser.quiet()


def test_words_that_were_recognised_have_boxes_over_their_page(browser, owner, files):
    browser.sign_in(owner)
    open_file(browser, files["scan.pdf"])
    browser.run("document.activeElement.blur()")
    browser.keys(Keys.ARROW_RIGHT)
    second = drawn(browser, 2)
    assert "Recognised" in second["text"] and "sacks of grain" in second["text"] and second["boxes"] > 10
    browser.one(".search input").send_keys("sacks")
    browser.sees("of 2", ".found")
    browser.picture("sealed-scan")
    browser.quiet()


def test_sealed_pictures_and_waveforms_are_shown(browser, owner, files):
    browser.sign_in(owner)
    browser.goto("#/files")
    shown = owner.call("GET", f"/v1/files?tenant_id={owner.tenant}").json["files"]
    pictures = sum(not file["mime"].startswith("audio/") for file in shown)
    assert pictures >= 4
    browser.js("[...document.querySelectorAll('.file img')].filter(i => i.complete && i.naturalWidth > 100).length"
               f" === {pictures}")
    browser.goto(f"#/files/{files['evening.jpg']}")
    browser.js("document.querySelector('.picture')?.naturalWidth > 600")
    if "jfk.wav" in files:
        browser.goto(f"#/files/{files['jfk.wav']}")
        browser.js("document.querySelector('canvas.wave')?.getAttribute('aria-valuemax') === '11' && document.querySelector('audio').readyState > 0")
    browser.quiet()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_pages_are_accessible_and_fit(browser, owner, files, look):
    browser.sign_in(owner)

    def second_page():
        browser.goto("#/files")
        open_file(browser, files["long.pdf"])
        browser.run("document.activeElement.blur()")
        browser.keys(Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
        drawn(browser, 2)
        return True
    assert wrong_with(browser, look, {"page": second_page}) == {}
    browser.quiet()


def test_who_may_not_order_reads_the_words(system, browser, owner, files):
    reader = system.user()
    assert owner.call("POST", f"/v1/tenants/{owner.tenant}/members", {"user_id": reader.id, "role": "member"}).status == 201
    system.sql("update files set visibility = 'public' where id = %s", files["scan.pdf"])
    system.sql("delete from file_derivatives where file_id = %s and kind = 'page_images'", files["scan.pdf"])
    before = ordered(owner, files["scan.pdf"])
    browser.sign_in(reader)
    open_file(browser, files["scan.pdf"])
    browser.run("document.activeElement.blur()")
    browser.keys(Keys.ARROW_RIGHT)
    browser.js("document.querySelector('.pager input').value === '2' && document.querySelectorAll('.sheet-page.words text').length > 10")
    assert ordered(owner, files["scan.pdf"]) == before
    browser.quiet("403")
