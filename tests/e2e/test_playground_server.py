"""The playground's server: what it serves, to whom, and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys

import pytest

from dev.playground.__main__ import made_site
from dev.playground.server import FILES, LARGEST_BODY, PageServer
from dev.site import CASEY, PLATFORM, ROOT, wait_for

OPEN = {"side": "stackflow", "act": "open", "title": "Checkout is down", "priority": "P1",
        "group": PLATFORM, "by": CASEY}


@pytest.fixture(scope="module")
def site():
    with made_site() as running:
        yield running


@pytest.fixture(scope="module")
def page(site):
    with PageServer(site) as serving:
        yield serving


@pytest.fixture
def ask(page):
    """Make a request as the page would, with other headers where they are given (None: without);
    status, headers and body of the answer.
    """
    def asking(method, path, body=None, **changes):
        own = "127.0.0.1:%d" % page.port
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Host": own, "Origin": "http://" + own, "Content-Type": "application/json",
                   "Content-Length": str(len(body or b""))}
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()
    return asking


@pytest.mark.parametrize("path", list(FILES) + ["/catalog"])
def test_what_the_page_is_made_of_is_served_with_a_policy_that_allows_itself_alone(ask, path):
    status, headers, body = ask("GET", path)
    assert (status, len(body)) == (200, int(headers["Content-Length"]))
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {one.split()[1] for one in policy} == {"'self'", "'none'"}
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
def test_no_address_is_named_in_the_page(ask, path):
    assert not re.search(rb"https?:|['\"(]//", ask("GET", path)[2])


@pytest.mark.parametrize("host", ["playground.example.com", "127.0.0.1", "127.0.0.1:1", None])
@pytest.mark.parametrize("method, path", [("GET", "/"), ("GET", "/stream"), ("POST", "/act")])
def test_a_foreign_host_gets_nothing_and_does_nothing(site, ask, host, method, path):
    before = len(site.stackflow.incidents())
    status, _, body = ask(method, path, OPEN if method == "POST" else None, Host=host)
    assert status == 403 and b"127.0.0.1" in body
    assert len(site.stackflow.incidents()) == before


@pytest.mark.parametrize("origin", ["http://playground.example.com", "null", "http://127.0.0.1:1",
                                    "https://127.0.0.1:{port}", "127.0.0.1:{port}", None])
def test_an_act_from_another_origin_is_refused(site, page, ask, origin):
    before = len(site.stackflow.incidents())
    sent = origin and origin.format(port=page.port)
    assert ask("POST", "/act", OPEN, Origin=sent)[0] == 403
    assert len(site.stackflow.incidents()) == before


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_an_act_of_the_page_itself_is_carried_out(site, page, ask, name):
    before = len(site.stackflow.incidents())
    own = "%s:%d" % (name, page.port)
    assert ask("POST", "/act", OPEN, Host=own, Origin="http://" + own)[0] == 200
    assert len(site.stackflow.incidents()) == before + 1


@pytest.mark.parametrize("method, path", [
    ("GET", "/nothing"), ("GET", "/act"), ("GET", "/../dev/site.py"), ("POST", "/nothing"),
    ("POST", "/")])
def test_an_unknown_path_is_not_found(ask, method, path):
    assert ask(method, path, OPEN if method == "POST" else None)[0] == 404


@pytest.mark.parametrize("status, body, changes", [
    (415, OPEN, {"Content_Type": "text/plain"}), (415, OPEN, {"Content_Type": None}),
    (411, OPEN, {"Content_Length": None}), (411, OPEN, {"Content_Length": "-1"}),
    (413, b" " * (LARGEST_BODY + 1), {}), (400, b"{", {}), (400, b"\xff", {}), (400, b"[]", {}),
    (400, b"", {}), (400, {}, {}), (400, dict(OPEN, act="delete"), {}),
    (400, dict(OPEN, side="elsewhere"), {}), (400, dict(OPEN, side=["stackflow"]), {}),
    (400, dict(OPEN, title=None), {}), (400, dict(OPEN, title=" "), {}),
    (400, dict(OPEN, title="x" * 2001), {}), (400, dict(OPEN, priority="P9"), {}),
    (400, dict(OPEN, by="nobody@example.com"), {})])
def test_a_bad_body_is_refused_and_changes_nothing(site, ask, status, body, changes):
    before = len(site.stackflow.incidents())
    found, _, answer = ask("POST", "/act", body, **changes)
    assert (found, list(json.loads(answer.decode()))) == (status, ["error"])
    assert len(site.stackflow.incidents()) == before


def test_what_a_system_refuses_is_said_in_its_words(site, ask):
    number = site.stackflow.create_incident("Slow report", "P4")
    order = {"side": "stackflow", "act": "resolve", "id": number, "by": CASEY}
    assert ask("POST", "/act", order)[0] == 200
    site.stackflow.close(number)
    status, _, body = ask("POST", "/act", order)
    assert (status, json.loads(body.decode())["error"]) == (
        409, "StackFlow refuses: Cannot change state from closed to resolved")


def test_nobody_acts_on_a_side_that_is_off(site, ask):
    assert ask("POST", "/act", {"side": "stackflow", "act": "off"})[0] == 200
    try:
        status, _, body = ask("POST", "/act", OPEN)
        assert (status, json.loads(body.decode())["error"]) == (409, "StackFlow is switched off")
    finally:
        assert ask("POST", "/act", {"side": "stackflow", "act": "on"})[0] == 200
    assert ask("POST", "/act", OPEN)[0] == 200


def test_the_stream_tells_of_every_change(site, page):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"

    def titles():
        for line in iter(answer.readline, b""):
            if line.startswith(b"data: "):
                now = json.loads(line[len(b"data: "):].decode())
                return [card["title"] for card in now["stackflow"]["incidents"]]

    assert "Told at once" not in titles()
    site.stackflow.create_incident("Told at once", "P4")
    wait_for(lambda: "Told at once" in titles(), 30, lambda: "the stream to tell of it")
    answer.close()
    connection.close()


def test_the_program_says_where_it_is_and_ends_with_ctrl_c():
    program = subprocess.Popen([sys.executable, "-m", "dev.playground"], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = [program.stdout.readline().decode() for _ in range(2)]
        port = int(said[1].rpartition(":")[2].strip("/\n"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=30)
        assert (program.returncode, b"Traceback" in rest) == (0, False)
    finally:
        program.kill()
        program.wait()


def test_a_port_that_is_taken_is_said_so(page):
    done = subprocess.run([sys.executable, "-m", "dev.playground", str(page.port)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 1 and b"Port %d cannot be used" % page.port in done.stdout
