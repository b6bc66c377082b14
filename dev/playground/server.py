"""The page over HTTP, on loopback: its files, a stream of what changes, and one way to act.

Whoever has the page open may do what it offers, so nobody else's page may: a request has to name
this very host (a foreign name that leads here is DNS rebinding), and an act has to come from a page
of its origin.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Dict
from urllib.parse import urlsplit

from dev.playground.acts import Hands, NotPossible
from dev.playground.view import catalog, snapshot
from dev.simulators.server import TICK_SECONDS, HttpServer
from dev.site import ROOT, LocalSite

HOST = "127.0.0.1"
HERE = os.path.dirname(os.path.abspath(__file__))
JSON = "application/json"
FILES = {"/": (os.path.join(HERE, "page.html"), "text/html; charset=utf-8"),
         "/page.css": (os.path.join(HERE, "page.css"), "text/css; charset=utf-8"),
         "/page.js": (os.path.join(HERE, "page.js"), "text/javascript; charset=utf-8"),
         "/icon.png": (os.path.join(ROOT, "icon.png"), "image/png")}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                               "'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                               "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store"}
LARGEST_BODY = 16 * 1024
LOOK_SECONDS = 0.1
"""Pause between two looks at the site."""
QUIET_LOOKS = 50
"""After so many without a change a line is sent all the same, which finds out who has gone."""


class PageServer:
    """Serves the page of a running site until ``close()``; port 0 takes a free one. Raises OSError
    where the port is taken.
    """

    def __init__(self, site: LocalSite, port: int = 0) -> None:
        self.site, self.hands, self.closing = site, Hands(site), threading.Event()
        self._http = HttpServer((HOST, port), type("Handler", (_Handler,), {"page": self}))
        self.port = int(self._http.server_address[1])
        self.hosts = ["%s:%d" % (name, self.port) for name in (HOST, "localhost")]
        self.url = "http://%s/" % self.hosts[0]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(TICK_SECONDS,))
        self._thread.start()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; open streams end."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Refused(Exception):
    """A request that is not answered as asked: status and words."""


class _Handler(BaseHTTPRequestHandler):
    page: PageServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._show)

    def do_POST(self) -> None:
        self._answer(self._act)

    def _answer(self, work: Any) -> None:
        try:
            if self.headers.get("Host") not in self.page.hosts:
                raise _Refused(403, "this server goes by the name of %s only" % self.page.hosts[0])
            work(urlsplit(self.path).path)
        except _Refused as refused:
            # What is left of a body that was not read must not be taken for the next request.
            self.close_connection = True
            self._say(refused.args[0], {"error": refused.args[1]})

    def _show(self, path: str) -> None:
        if path in FILES:
            with open(FILES[path][0], "rb") as file:
                self._send(200, FILES[path][1], file.read())
        elif path == "/catalog":
            self._say(200, catalog(self.page.hands))
        elif path == "/stream":
            self._stream()
        else:
            raise _Refused(404, "not found")

    def _stream(self) -> None:
        """Server-sent events: the whole snapshot whenever it has changed."""
        self.close_connection = True
        self._send(200, "text/event-stream")
        sent, looks = "", 0
        while not self.page.closing.wait(LOOK_SECONDS if sent else 0):
            now, looks = json.dumps(snapshot(self.page.site, self.page.hands)), looks + 1
            if now != sent or looks > QUIET_LOOKS:
                message = "data: %s\n\n" % now if now != sent else ":\n\n"
                sent, looks = now, 0
                self.wfile.write(message.encode())

    def _act(self, path: str) -> None:
        if (self.headers.get("Origin") or "").partition("http://")[2] not in self.page.hosts:
            raise _Refused(403, "acts are taken from this server's own page only")
        if path != "/act":
            raise _Refused(404, "not found")
        try:
            self.page.hands.do(self._body())
        except ValueError as error:
            raise _Refused(400, str(error)) from error
        except NotPossible as error:
            raise _Refused(409, str(error)) from error
        self._say(200, {})

    def _body(self) -> Dict[str, Any]:
        if self.headers.get_content_type() != JSON:
            raise _Refused(415, "the body has to be " + JSON)
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise _Refused(411, "the length of the body is missing")
        if int(length) > LARGEST_BODY:
            raise _Refused(413, "the body is too large")
        order = json.loads(self.rfile.read(int(length)).decode("utf-8"))
        if not isinstance(order, dict):
            raise ValueError("the body has to be a JSON object")
        return order

    def _say(self, status: int, document: Any) -> None:
        self._send(status, JSON, json.dumps(document).encode())

    def _send(self, status: int, kind: str, body: Any = None) -> None:
        self.send_response(status)
        headers = dict(HEADERS, **{"Content-Type": kind})
        if body is not None:
            headers["Content-Length"] = str(len(body))
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the terminal is for the address of the page."""
