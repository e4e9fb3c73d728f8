# SPDX-License-Identifier: MIT
"""The web console, as people use it."""
import pytest
from accessibility import findings, walk_by_keyboard, wrong_with
from system import CORPUS, SAMPLES, eventually, fetch

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="python3-selenium is not installed").Keys

BROKEN = b"%PDF-1.7\n" + b"garbage " * 200
VIEWS = ["#/files", "mill.pdf", "lazy_dog.png", "cards_001.wav", "broken.pdf", "#/jobs", "#/members", "#/service"]


@pytest.fixture(scope="module")
def owner(system):
    """Who runs the service, and has a tenant with files of each kind."""
    admin, = system.sql("select user_id::text from service_admins")
    return system.user(admin["user_id"]).bootstrap("The mill")


@pytest.fixture(scope="module")
def files(system, owner):
    """Names to ids, with every job done."""
    ids = {"mill.pdf": owner.send("mill.pdf", "application/pdf", (SAMPLES / "mill.pdf").read_bytes()),
           "broken.pdf": owner.send("broken.pdf", "application/pdf", BROKEN)}
    for folder, name, mime, job in (("ocr", "lazy_dog.png", "image/png", "ocr"), ("audio", "cards_001.wav", "audio/wav", "transcribe")):
        if (CORPUS / folder / name).exists():
            ids[name] = owner.send(name, mime, (CORPUS / folder / name).read_bytes())
            assert owner.call("POST", f"/v1/files/{ids[name]}/jobs", {"type": job}).status == 202
    for file_id in ids.values():
        owner.wait(file_id)
    return ids


def open_file(browser, name):
    browser.goto("#/files")
    browser.sees(name, ".files")
    browser.goto(browser.run("return [...document.querySelectorAll('.file')].find(a => a.innerText.includes(arguments[0])).hash", name))


def visit(browser, files, view):
    """A view by its address, or a file by its name; false where there is no such file."""
    if not view.startswith("#") and view not in files:
        return False
    browser.goto(view if view.startswith("#") else f"#/files/{files[view]}")
    browser.js("document.querySelector('main h1') && !document.querySelector('main .row-ghost, main .ghost-block, .preview:empty')")
    return True


# -- getting in ----------------------------------------------------------------------------------------------------

def test_the_page_is_served_under_a_strict_policy(system):
    page = fetch("GET", f"{system.base}/console/")
    policy = page.headers["Content-Security-Policy"]
    assert page.status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert f"connect-src 'self' http://127.0.0.1:{system.store_port};" in policy
    assert fetch("GET", f"{system.base}/console/", {"If-None-Match": page.headers["ETag"]}).status == 304
    assert fetch("POST", f"{system.base}/console/").status == 405
    assert fetch("GET", f"{system.base}/console/nothing.js").status == 404


def test_a_one_time_link_signs_in_once(system, browser):
    link = system.command("console").stdout.strip()
    code = link.split("#code=")[1]
    assert fetch("GET", f"{system.base}/v1/tenants", {"Authorization": f"Bearer {code}"}).status == 401
    browser.sign_out()
    browser.driver.get("about:blank")
    browser.driver.get(link)
    browser.sees("Welcome to Filemill")
    assert "code" not in browser.driver.current_url
    browser.sign_out()
    browser.driver.get("about:blank")
    browser.driver.get(link)
    browser.sees("does not work any more")
    assert code not in system.log()
    browser.quiet("403")
    assert system.command("console", "--user", "nobody", check=False).returncode == 2


def test_a_wrong_token_is_refused(browser, user):
    browser.sign_out()
    browser.picture("sign-in")
    assert findings(browser) == []
    browser.run("document.getElementById('token').value = arguments[0]", user.token[:-8] + "AAAAAAAA")
    browser.click("Sign in")
    browser.sees("The token is not valid")
    browser.picture("sign-in-refused")
    assert findings(browser) == []
    browser.quiet("401")


# -- files ---------------------------------------------------------------------------------------------------------

def test_dropped_files_become_results(browser, user, samples):
    browser.sign_in(user)
    browser.picture("empty")
    browser.choose(*samples.values())
    browser.sees("All uploaded")
    browser.click("Close finished uploads")
    browser.js("[...document.querySelectorAll('.files .pill')].filter(p => p.innerText === 'Ready').length >= %d" % len(samples), 60)
    browser.picture("files")
    open_file(browser, "mill.pdf")
    browser.js("document.querySelectorAll('.page-text span').length > 20 && document.querySelectorAll('.word rect').length > 20")
    browser.picture("pdf")
    open_file(browser, "evening.jpg")
    browser.js("document.querySelector('.picture')?.naturalWidth > 600")
    browser.picture("picture")
    if "jfk.wav" in samples:
        open_file(browser, "jfk.wav")
        browser.js("document.querySelector('canvas.wave')?.getAttribute('aria-valuemax') === '11'")
    browser.quiet()


def test_recognised_words_have_boxes_over_the_picture(browser, owner, files):
    if "lazy_dog.png" not in files:
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    browser.sign_in(owner)
    visit(browser, files, "lazy_dog.png")
    browser.sees("quick", ".page-text")
    size = browser.run("const i = document.querySelector('.sheet-page'); return [i.viewBox.baseVal.width, i.viewBox.baseVal.height]")
    picture = browser.run("return new Promise(done => { const p = new Image(); p.onload = () => done([p.naturalWidth, p.naturalHeight]);"
                          " p.src = document.querySelector('.sheet-page image').getAttribute('href'); })")
    assert abs(size[0] / size[1] - picture[0] / picture[1]) < 0.02
    browser.one(".search input").send_keys("lazy")
    browser.sees("1 of 1", ".found")
    assert browser.run("return document.querySelectorAll('.word.now rect').length") == 1
    browser.picture("ocr")
    browser.quiet()


def test_a_transcript_is_heard_from_where_it_is_clicked(browser, owner, files):
    if "cards_001.wav" not in files:
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    browser.sign_in(owner)
    visit(browser, files, "cards_001.wav")
    browser.js("document.querySelectorAll('.transcript .said').length > 1 && document.querySelector('audio').readyState > 0")
    browser.run("document.querySelector('.transcript button').click()")
    browser.js("document.querySelector('.transcript button[aria-current]') && document.querySelector('.transcript .said.now')")
    browser.picture("sound")
    browser.keys(Keys.ESCAPE)
    browser.sees("Files", "h1")
    browser.quiet()


def test_one_more_job_is_ordered_and_watched(browser, owner, files):
    browser.sign_in(owner)
    visit(browser, files, "mill.pdf")
    browser.click("Run a job")
    browser.one("#order-type")
    browser.run("document.getElementById('order-type').value = 'thumbnail'")
    browser.click("Run")
    browser.is_told("Queued")
    browser.js("[...document.querySelectorAll('.job')].some(j => j.dataset.type === 'thumbnail' && j.innerText.includes('Done'))")
    assert len([job for job in owner.file(files["mill.pdf"])["jobs"] if job["type"] == "thumbnail"]) >= 1
    browser.sees("Ready", ".state")
    browser.quiet()


def test_a_damaged_file_shows_why_and_others_see_nothing(system, browser, owner, files):
    assert owner.file(files["broken.pdf"])["status"] == "failed"
    browser.sign_in(owner)
    visit(browser, files, "broken.pdf")
    browser.sees("The file is damaged", ".faults")
    browser.picture("failed")
    browser.quiet()
    browser.sign_in(system.user().bootstrap("Others"))
    browser.goto(f"#/files/{files['broken.pdf']}")
    browser.sees("There is no such thing")
    assert "broken.pdf" not in browser.text()
    browser.quiet("404")


# -- jobs, and the service -----------------------------------------------------------------------------------------

def test_failed_jobs_are_retried_by_the_tenant(browser, owner, files):
    browser.sign_in(owner)
    visit(browser, files, "#/jobs")
    browser.click("Failed")
    browser.sees("bad_input", ".works")
    browser.click("Retry Text of the PDF of broken.pdf")
    browser.is_told("1 queued again")
    browser.sees("bad_input", ".works")
    assert owner.wait(files["broken.pdf"])["status"] == "failed"
    browser.quiet()


def test_admins_see_the_service(system, browser, files):
    link = system.command("console", "--admin").stdout.strip()
    browser.sign_out()
    browser.driver.get("about:blank")
    browser.driver.get(link)
    browser.named("Service")
    visit(browser, files, "#/service")
    browser.sees("The file is damaged", "[aria-label=Failures]")
    browser.sees("idempotency-expire", "[aria-label=Schedules]")
    browser.run("document.querySelector('[data-key=\"run idempotency-expire\"]').click()")
    browser.is_told("as soon as a scheduler looks")
    browser.run("document.querySelector('[aria-label=Failures] .link').click()")
    browser.sees("Only Text of the PDF, The file is damaged")
    browser.js("document.querySelectorAll('.work').length === 1")
    browser.quiet()


def test_admins_pause_a_type_and_cancel_what_waits(system, browser, owner, files):
    browser.sign_in(owner)
    assert owner.call("POST", "/v1/admin/pause", {"type": "waveform"}).status == 200
    try:
        sound = owner.send("tone.wav", "audio/wav", tone())
        visit(browser, files, "#/service")
        browser.sees("paused", "[aria-label=Queue]")
        browser.sees("tone.wav", ".works")
        browser.size(1280, 1500)
        browser.picture("service")
        browser.click("Cancel Waveform of tone.wav")
        browser.click("Cancel the job")
        browser.is_told("Cancelled")
        eventually(lambda: owner.file(sound)["jobs"][0]["status"] == "cancelled", what="cancelled")
        browser.click("Resume Waveform")
        browser.sees("The queue is empty", "[aria-label=Queue]")
        browser.quiet()
    finally:
        browser.size(1280)
        owner.call("POST", "/v1/admin/resume", {"type": "waveform"})


def tone():
    import io
    import wave
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    return target.getvalue()


def test_others_have_no_view_of_the_service(system, browser, user):
    browser.sign_in(user)
    assert not [tab for tab in browser.all(".tabs a") if "Service" in tab.text]
    browser.goto("#/service")
    browser.sees("Files", "h1")
    assert user.call("GET", "/v1/admin/queue").status == 403 and "not an admin" not in system.log()
    browser.quiet()


# -- for everybody -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_view_is_accessible_and_fits(browser, owner, files, look):
    browser.sign_in(owner)
    assert wrong_with(browser, look, {view: lambda view=view: visit(browser, files, view) for view in VIEWS}) == {}
    browser.quiet()


def test_everything_is_reached_by_keyboard(browser, owner, files):
    browser.sign_in(owner)
    visit(browser, files, "mill.pdf")
    browser.driver.refresh()
    browser.one(".page-text")
    browser.run("document.activeElement.blur()")
    reached = walk_by_keyboard(browser)
    places = [stop["at"] for stop in reached]
    assert len(reached) > 15 and places == sorted(places), reached
    assert all(stop["ring"] and stop["inside"] for stop in reached), [stop for stop in reached if not (stop["ring"] and stop["inside"])]
    assert "Skip to content" in reached[0]["what"]
    browser.run("document.activeElement.blur()")
    browser.keys("g", "f")
    browser.sees("Files", "h1")
    browser.sees("mill.pdf", ".files")
    browser.keys("/", "mill")
    browser.sees("1 file")
    browser.keys(Keys.ESCAPE, "j", Keys.ENTER)
    browser.sees("mill.pdf", "h1")
    browser.js("document.querySelector('.pager input')?.value === '1'")
    browser.keys(Keys.ARROW_RIGHT)
    browser.js("document.querySelector('.pager input').value === '2'")
    browser.keys("?")
    browser.sees("Keyboard shortcuts", "dialog")
    assert findings(browser) == []
    browser.keys(Keys.ESCAPE)
    browser.js("!document.querySelector('dialog')")
    for key, title in (("j", "Jobs"), ("m", "Members"), ("s", "Service")):
        browser.keys("g", key)
        browser.sees(title, "h1")


# -- last, since the service is stopped ----------------------------------------------------------------------------

def test_a_lost_connection_comes_back(system, browser, owner, files, samples):
    browser.sign_in(owner)
    visit(browser, files, "mill.pdf")
    assert system.terminate() == 0
    browser.sees("Connection lost", "#connection")
    assert findings(browser) == []
    browser.choose(samples["evening.jpg"])
    browser.sees("The server can't be reached", ".uploads")
    browser.picture("lost")
    system.start()
    browser.sees("Connected", "#connection")
    browser.sees("All uploaded", ".uploads")
    # The stream of events goes on where it was: what happens now is seen without a reload.
    assert owner.call("POST", f"/v1/internal/files/{files['mill.pdf']}/reprocess").status in (200, 202)
    browser.js("[...document.querySelectorAll('.facts dd')].some(d => d.innerText === '2')")
    browser.sees("Ready", ".state")
    browser.quiet("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "503", "ERR_SOCKET")
