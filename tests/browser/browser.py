# SPDX-License-Identifier: MIT
"""Driving the console as a person does: what is on the page is found by its words and roles."""
import time

from system import PATIENCE, eventually

# What a page may say on its console: each line is a failed test unless the test expects it.
# The question whether somebody runs the service is answered 403 to all others.
HARMLESS = ("favicon.ico", "/v1/admin/queue")


# What is said for a few seconds only is kept, for whoever looks later.
KEEP_TOASTS = """
window.toasted = '';
document.addEventListener('DOMContentLoaded', () => new MutationObserver((changes) => {
  for (const change of changes) for (const note of change.addedNodes) window.toasted += `${note.textContent}\n`;
}).observe(document.getElementById('toasts') ?? document.head, { childList: true }));
"""


class Browser:
    def __init__(self, system, pictures, profile):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--mute-audio",
                     "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}", "--window-size=1280,860"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.set_capability("pageLoadStrategy", "normal")
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_script_timeout(60 * PATIENCE)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": KEEP_TOASTS})
        self.system, self.pictures = system, pictures

    def close(self):
        self.driver.quit()

    # -- looking ------------------------------------------------------------------------------------------------

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector="body"):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def all(self, selector):
        from selenium.webdriver.common.by import By
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector, seconds=30):
        """The first element in sight that matches."""
        def find():
            return next((element for element in self.all(selector) if element.is_displayed()), None)
        return eventually(self.forgiving(find), seconds, what=selector)

    def forgiving(self, look):
        """Views draw themselves anew: an element may be gone between finding and asking it."""
        from selenium.common.exceptions import StaleElementReferenceException

        def guarded():
            try:
                return look()
            except StaleElementReferenceException:
                return None
        return guarded

    def named(self, name, seconds=30):
        """A button or link in sight by its accessible name."""
        def find():
            for element in self.all("button, a, [role=button]"):
                if element.is_displayed() and (element.accessible_name or "").strip() == name:
                    return element
            return None
        return eventually(self.forgiving(find), seconds, what=f"control {name!r}")

    def click(self, name, seconds=30):
        def press():
            self.named(name, seconds).click()
            return True
        eventually(self.forgiving(press), seconds, what=f"click {name!r}")

    def sees(self, words, selector="body", seconds=40):
        eventually(lambda: words in self.text(selector), seconds, what=f"{words!r} in {selector}, which says {self.text(selector)[:600]!r}")

    def is_told(self, words):
        """By a note that came since the last one that was looked for, and may be gone."""
        eventually(lambda: words in self.run("return window.toasted"), 40, what=f"a note {words!r}")
        self.run("window.toasted = ''")

    def js(self, expression, seconds=30):
        return eventually(lambda: self.run(f"return {expression}"), seconds, what=expression)

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver).send_keys(*keys).perform()

    def log(self):
        return [entry for entry in self.driver.get_log("browser") if not any(word in entry["message"] for word in HARMLESS)]

    def quiet(self, *expected):
        """No error, no warning and no violation of the policy since the last look, but those that are expected."""
        loud = [entry["message"] for entry in self.log() if entry["level"] in ("SEVERE", "WARNING")]
        assert not [line for line in loud if not any(word in line for word in expected)], loud

    # -- doing --------------------------------------------------------------------------------------------------

    def size(self, width, height=860):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def prefer(self, **features):
        """Media features, as scheme="dark"; none: as the machine has them."""
        names = {"scheme": "prefers-color-scheme", "motion": "prefers-reduced-motion"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": names[name], "value": value} for name, value in features.items()]})

    def picture(self, name):
        time.sleep(0.05)  # what moves comes to rest
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))

    def open(self, path="/console/"):
        self.driver.get(self.system.base + path)

    def sign_out(self):
        if not self.driver.current_url.startswith(self.system.base):
            self.open()
        self.run("sessionStorage.clear(); localStorage.clear(); window.onbeforeunload = null;")
        self.open("/console/?")  # another address, so that the page is loaded anew
        self.one("#token")

    def sign_in(self, user):
        self.sign_out()
        self.run("document.getElementById('token').value = arguments[0]", user.token)
        self.click("Sign in")
        self.one(".drop")

    def goto(self, fragment):
        self.run("location.hash = arguments[0]", fragment)

    def choose(self, *paths):
        """Files, as through the file picker."""
        picker = self.all("input[type=file]")[0]
        picker.send_keys("\n".join(str(path) for path in paths))
