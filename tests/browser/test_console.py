"""The web console, as people use it."""
import pytest
from system import fetch


def open_file(browser, name):
    browser.goto("#/files")
    browser.sees(name, ".files")
    browser.goto(browser.run("return [...document.querySelectorAll('.file')].find(a => a.innerText.includes(arguments[0])).hash", name))


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


def test_a_wrong_token_is_refused(browser, user):
    browser.sign_out()
    browser.run("document.getElementById('token').value = arguments[0]", user.token[:-8] + "AAAAAAAA")
    browser.click("Sign in")
    browser.sees("The token is not valid")
    browser.quiet("401")


def test_dropped_files_become_results(browser, user, samples):
    browser.sign_in(user)
    browser.picture("empty")
    browser.choose(*samples.values())
    browser.sees("All uploaded")
    browser.click("Close finished uploads")
    browser.js("[...document.querySelectorAll('.files .pill')].filter(p => p.innerText === 'Ready').length >= %d" % len(samples), 30)
    browser.picture("files")
    open_file(browser, "mill.pdf")
    browser.js("document.querySelectorAll('.page-text span').length > 20 && document.querySelectorAll('.word rect').length > 20")
    browser.picture("pdf")
    open_file(browser, "evening.jpg")
    browser.js("document.querySelector('.picture, .sheet-page image') !== null")
    browser.picture("picture")
    if "jfk.wav" in samples:
        open_file(browser, "jfk.wav")
        browser.js("document.querySelector('canvas.wave')?.getAttribute('aria-valuemax') === '11'")
        browser.picture("sound")
    browser.quiet()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_narrow_and_dark_pages_fit(browser, user, look):
    browser.sign_in(user)
    try:
        browser.size(360, 780)
        browser.prefer(scheme=look)
        open_file(browser, "mill.pdf")
        browser.one(".page-text")
        assert browser.run("return document.documentElement.scrollWidth <= 360")
        browser.picture(f"narrow-{look}")
        for control in browser.all("button, a, input, select, [role=slider]"):
            assert not control.is_displayed() or control.accessible_name.strip(), control.get_attribute("outerHTML")
    finally:
        browser.size(1280)
        browser.prefer()


def test_a_damaged_file_shows_why_and_others_see_nothing(system, browser, user):
    file_id = user.send("broken.pdf", "application/pdf", b"%PDF-1.7\n" + b"garbage " * 200)
    assert user.wait(file_id)["status"] == "failed"
    browser.sign_in(user)
    browser.goto(f"#/files/{file_id}")
    browser.sees("The file is damaged")
    browser.quiet()
    browser.sign_in(system.user().bootstrap("Others"))
    browser.goto(f"#/files/{file_id}")
    browser.sees("There is no such thing")
    browser.quiet("404")
