"""The playground's page in a real browser: what people press, and what they see on either side."""

from __future__ import annotations

import shutil

import pytest

from dev.playground.__main__ import made_site
from dev.playground.server import PageServer
from dev.site import wait_for

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("Debian's packages chromium and chromium-driver are not installed",
                allow_module_level=True)

from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
         "disable-background-networking", "disable-component-update", "disable-sync",
         "window-size=1280,820")
HOSTILE = ("<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
           "[[ 7*7 ]]")
SEEN = """
const words = (node, one) => node.querySelector(one).textContent;
const cards = (side) => [...document.querySelectorAll(`#${side} .card`)].map((card) => ({
  id: card.id, name: words(card, ".name"), title: words(card, "h3"), state: words(card, ".state"),
  facts: Object.fromEntries([...card.querySelectorAll("dl > div")].map(
    (row) => [words(row, "dt"), words(row, "dd")]))}));
return {stackflow: cards("stackflow"), pagerduty: cards("pagerduty"),
  stream: [...document.querySelectorAll(".entry")].map((entry) => ({
    what: words(entry, ".who") + " " + words(entry, ".what"),
    steps: [...entry.querySelectorAll(".steps li")].map(
      (row) => words(row, "b") + ": " + words(row, "span"))}))};
"""
SECONDS = 30
"""How long something that is to be seen is waited for."""


class Page:
    """The page as a person uses it: controls are found by their words, incidents by titles."""

    def __init__(self, driver):
        self.driver = driver

    def seen(self):
        """Cards of both sides and the stream, as they are shown now."""
        return self.driver.execute_script(SEEN)

    def card(self, side, title):
        """The newest card of a side whose title contains this, or None."""
        return next((card for card in self.seen()[side] if title in card["title"]), None)

    def told(self, words):
        """Whether a line of the stream contains this."""
        return any(words in line for entry in self.seen()["stream"]
                   for line in [entry["what"]] + entry["steps"])

    def wait(self, condition, what):
        """The first true value."""
        return wait_for(condition, SECONDS, lambda: "%s; seen: %s" % (what, self.seen()))

    def wait_state(self, side, title, state):
        """The card, when it has this state."""
        def card():
            found = self.card(side, title)
            return found if found and found["state"] == state else None
        return self.wait(card, "%r %s in %s" % (title, state, side))

    def wait_told(self, words):
        """Until the stream says so."""
        self.wait(lambda: self.told(words), "the stream to say %r" % words)

    def press(self, label, within="body"):
        """Press the button of that label, as soon as there is one to be pressed."""
        def button():
            for one in self.driver.find_elements("css selector", "%s button" % within):
                if one.text.startswith(label) and one.is_displayed() and one.is_enabled():
                    return one
        self.wait(button, "a button %r in %s" % (label, within)).click()

    def press_on(self, side, title, label):
        """Press a button of an incident."""
        card = self.wait(lambda: self.card(side, title), "%r in %s" % (title, side))
        self.press(label, "[id='%s']" % card["id"])

    def open(self, side, title, **choices):
        """Open an incident by the form of a side; choices by what is shown."""
        form = self.driver.find_element("css selector", "#%s form.open" % side)
        field = form.find_element("name", "title")
        field.clear()
        field.send_keys(title)
        for name, words in choices.items():
            Select(form.find_element("name", name)).select_by_visible_text(words)
        form.find_element("tag name", "button").click()

    def pair(self, title):
        """A P1 that was opened in StackFlow and paged."""
        self.open("stackflow", title, priority="P1")
        return self.wait_state("pagerduty", title, "triggered")

    def tab_to(self, matches):
        """Press Tab until the element that has the focus matches a CSS selector; it shows it."""
        for _ in range(200):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            element = self.driver.switch_to.active_element
            if self.driver.execute_script("return arguments[0].matches(arguments[1])", element,
                                          matches):
                assert element.value_of_css_property("outline-style") == "solid"
                return element
        raise AssertionError("no Tab leads to %s" % matches)


@pytest.fixture(scope="module")
def site():
    with made_site() as running:
        yield running


@pytest.fixture(scope="module")
def server(site):
    with PageServer(site) as serving:
        yield serving


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument("--" + flag)
    options.add_argument("--user-data-dir=%s" % tmp_path_factory.mktemp("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def page(site, server, driver):
    driver.get(server.url)
    shown = Page(driver)
    shown.wait(lambda: driver.find_elements("css selector", "#pagerduty[data-state=on]"), "sides")
    yield shown
    assert [line for line in driver.get_log("browser") if line["level"] != "INFO"] == []
    site.settle(site.idle, SECONDS)


def test_a_p1_opened_in_stackflow_pages_somebody_in_pagerduty(page):
    page.open("stackflow", "Payments fail", priority="P1")
    card = page.wait_state("pagerduty", "Payments fail", "triggered")
    assert card["facts"]["Paged"] == "Casey Oncall ×1"
    assert card["facts"]["Service"] == "Production API"
    page.wait_told("rule: stackflow_created")
    page.wait_told("action: trigger_incident")
    page.wait_told("done: open in StackFlow, without an incident in PagerDuty")


def test_what_pages_nobody_is_explained(page):
    page.open("stackflow", "Slow report", priority="P3")
    page.wait_told("pre-filter: nothing to do: P3 is under the threshold P2")
    page.open("pagerduty", "Wi-Fi is slow", service="Office Network (not mapped)")
    page.wait_told("pre-filter: nothing to do: service P0000ZZ is not in service_mapping")
    assert page.card("pagerduty", "Slow report") is page.card("stackflow", "Wi-Fi is slow") is None
    assert page.card("stackflow", "Slow report")["facts"]["Last agreed"] == "–"


def test_an_acknowledgement_is_followed_and_the_stream_says_why(page):
    page.pair("Login fails")
    page.press_on("pagerduty", "Login fails", "Acknowledge")
    card = page.wait_state("stackflow", "Login fails", "in progress")
    page.wait_told("done: acknowledged in PagerDuty; %s set to in_progress" % card["name"])
    page.wait_told("pre-filter: nothing to do: an echo of the pack's own write")


def test_a_lost_webhook_is_seen_as_drift_and_repaired_by_reconcile(page):
    number = page.pair("Backup failed") and page.card("stackflow", "Backup failed")["name"]
    page.press("Lose webhook", "#stackflow")
    page.press_on("stackflow", "Backup failed", "Resolve")
    page.wait_state("stackflow", "Backup failed", "resolved")
    page.wait_told("sent: lost on its way")
    page.press("Look for drift")
    page.wait_told("would: %s: resolve: resolved in StackFlow" % number)
    assert page.card("pagerduty", "Backup failed")["state"] == "triggered"
    page.press("Reconcile")
    page.wait_state("pagerduty", "Backup failed", "resolved")
    page.wait_told("repaired: %s: resolve: resolved in StackFlow" % number)


def test_a_doubled_webhook_is_told_twice_and_pages_once(page):
    page.press("Double webhook", "#stackflow")
    page.pair("Queue is full")
    page.wait_told("sent again: the listener answers 202")
    cards = [card for card in page.seen()["pagerduty"] if "Queue is full" in card["title"]]
    assert [card["facts"]["Paged"] for card in cards] == ["Casey Oncall ×1"]


def test_a_side_is_switched_off_and_on_and_reconcile_makes_up_for_it(page):
    page.press("Switch off", "#pagerduty")
    page.wait(lambda: not page.driver.find_element(
        "css selector", "#pagerduty form.open button").is_enabled(), "nothing to be pressed there")
    page.open("stackflow", "Cache is cold", priority="P1")
    page.wait_told("hint: PagerDuty has trouble: run it again later")
    assert page.card("pagerduty", "Cache is cold") is None
    page.press("Switch on", "#pagerduty")
    page.press("Reconcile")
    page.wait_state("pagerduty", "Cache is cold", "triggered")


def test_a_breached_sla_starts_the_policy_of_incident_command(page):
    page.pair("Search is down")
    page.press_on("stackflow", "Search is down", "Breach SLA")
    page.wait(lambda: page.card("pagerduty", "Search is down")["facts"]["Assigned to"] ==
              "Kim Command", "Kim to be paged")
    page.wait_told("done: the escalation policy was started")
    page.press_on("pagerduty", "Search is down", "Acknowledge")
    page.wait_state("stackflow", "Search is down", "in progress")


def test_a_group_is_changed_and_a_note_written_behind_more(page):
    page.pair("Replica lags")
    card = "[id='%s']" % page.card("stackflow", "Replica lags")["id"]
    page.driver.find_element("css selector", card + " summary").click()
    Select(page.driver.find_element("css selector", card + " [name=group]")
           ).select_by_visible_text("Database Reliability")
    page.press("Hand over", card)
    page.wait(lambda: page.card("pagerduty", "Replica lags")["facts"]["Service"] ==
              "Database Service", "it to be moved")
    page.driver.find_element("css selector", card + " [name=text]").send_keys("Vacuum runs\n")
    page.wait(lambda: "Vacuum runs" in page.driver.find_element(
        "css selector", "#pagerduty .card .notes").text, "the note there")


def test_a_hostile_title_is_text_everywhere(page):
    page.open("stackflow", HOSTILE, priority="P1")
    card = page.wait_state("pagerduty", HOSTILE, "triggered")
    assert HOSTILE in card["title"]
    assert page.driver.title == "Playground of pagerduty_stackflow"
    assert page.driver.find_elements("css selector", "main img, main script") == []


def test_the_keyboard_alone_opens_and_acknowledges(page):
    title = page.tab_to("#stackflow form.open [name=title]")
    title.send_keys(Keys.CONTROL, "a")
    title.send_keys("Disk is full")
    page.tab_to("#stackflow form.open button").send_keys(Keys.ENTER)
    card = page.wait_state("pagerduty", "Disk is full", "triggered")
    page.tab_to("[id='%s'] [data-act=acknowledge]" % card["id"]).send_keys(Keys.ENTER)
    page.wait_state("stackflow", "Disk is full", "in progress")
    # The button is gone; who pressed it is still at the incident.
    assert page.driver.switch_to.active_element.get_attribute("id") == card["id"]


def test_what_happens_is_read_out_and_every_control_has_a_name(page):
    log = page.driver.find_element("css selector", "#between .scroll")
    assert (log.get_attribute("role"), log.get_attribute("aria-live")) == ("log", "polite")
    page.pair("Certificate expired")
    nameless = [one.get_attribute("outerHTML") for one in page.driver.find_elements(
        "css selector", "button, select, input, summary, a") if one.is_displayed() and
        not one.accessible_name]
    assert nameless == []
    buttons = page.driver.find_elements("css selector", ".card .acts button")
    names = [one.accessible_name for one in buttons if one.is_displayed()]
    assert len(set(names)) == len(names) > 0


def test_nothing_is_asked_of_any_other_address(site, page, server):
    names = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(names) >= 3 and all(name.startswith(server.url) for name in names)
    refused = page.driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then(() => done(false), () => done(true))",
        site.listener_url + "/healthz")
    assert refused
    assert any("Content Security Policy" in line["message"]
               for line in page.driver.get_log("browser"))


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_desk_and_a_phone_by_day_and_by_night(page, width, scheme):
    run = page.driver.execute_cdp_cmd
    run("Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 1000})
    run("Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    try:
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
        back = page.driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (max(back) < 60) == (scheme == "dark")
    finally:
        run("Emulation.clearDeviceMetricsOverride", {})
        run("Emulation.setEmulatedMedia", {"features": []})
