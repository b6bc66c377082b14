"""The page over HTTP, on loopback: three files, a stream of what changes, and one way to act.

Whoever has the page open may do what it offers, so nobody else's page may: a request has to name
this very host (a foreign name that leads here is DNS rebinding), and an act has to come from a page
of its origin.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from dev.playground.acts import Hands, NotPossible
from dev.playground.view import snapshot
from dev.simulators.server import TICK_SECONDS, HttpServer
from dev.site import ROOT, LocalSite

HOST = "127.0.0.1"
HERE = os.path.dirname(os.path.abspath(__file__))
FILES = {"/": (os.path.join(HERE, "page.html"), "text/html; charset=utf-8"),
         "/page.css": (os.path.join(HERE, "page.css"), "text/css; charset=utf-8"),
         "/page.js": (os.path.join(HERE, "page.js"), "text/javascript; charset=utf-8"),
         "/icon.png": (os.path.join(ROOT, "icon.png"), "image/png")}
CATALOG, STREAM, ACT = "/catalog", "/stream", "/act"
JSON = "application/json"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                               "'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                               "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}
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
        self.hands = Hands(site)
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"page": self, "site": site})
        self._http = HttpServer((HOST, port), handler)
        self.port = int(self._http.server_address[1])
        self.url = "http://%s:%d/" % (HOST, self.port)
        self.hosts = ["%s:%d" % (name, self.port) for name in (HOST, "localhost")]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(TICK_SECONDS,),
                                        daemon=True)
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


class _Handler(BaseHTTPRequestHandler):
    page: PageServer
    site: LocalSite
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self._is_foreign_host():
            return
        if path in FILES:
            name, kind = FILES[path]
            with open(name, "rb") as file:
                self._answer(200, file.read(), kind)
        elif path == CATALOG:
            self._say(200, self.page.hands.catalog())
        elif path == STREAM:
            self._stream()
        else:
            self._refuse(404, "not found")

    def do_POST(self) -> None:
        origin = (self.headers.get("Origin") or "").partition("http://")[2]
        if self._is_foreign_host():
            return
        if origin not in self.page.hosts:
            self._refuse(403, "acts are taken from this server's own page only")
        elif urlsplit(self.path).path != ACT:
            self._refuse(404, "not found")
        elif self.headers.get("Content-Type", "").partition(";")[0].strip() != JSON:
            self._refuse(415, "the body has to be " + JSON)
        else:
            self._act()

    def _is_foreign_host(self) -> bool:
        foreign = self.headers.get("Host") not in self.page.hosts
        if foreign:
            self._refuse(403, "this server goes by the name of %s only" % self.page.hosts[0])
        return foreign

    def _act(self) -> None:
        try:
            order = self._body()
            if order is not None:
                self.page.hands.do(order)
                self._say(200, {})
        except ValueError as error:
            self._refuse(400, str(error))
        except NotPossible as error:
            self._refuse(409, str(error))

    def _body(self) -> Optional[Dict[str, Any]]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self._refuse(411, "the length of the body is missing")
            return None
        if int(length) > LARGEST_BODY:
            self._refuse(413, "the body is too large")
            return None
        order = json.loads(self.rfile.read(int(length)).decode("utf-8"))
        if not isinstance(order, dict):
            raise ValueError("the body has to be a JSON object")
        return order

    def _stream(self) -> None:
        """Server-sent events: the whole snapshot whenever it has changed."""
        self.close_connection = True
        self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        sent, looks = "", 0
        while not self.page.closing.wait(LOOK_SECONDS if sent else 0):
            now = json.dumps(snapshot(self.site, self.page.hands))
            looks += 1
            if now != sent or looks > QUIET_LOOKS:
                message = "data: %s\n\n" % now if now != sent else ":\n\n"
                sent, looks = now, 0
                self.wfile.write(message.encode())

    def _refuse(self, status: int, words: str) -> None:
        # What is left of a body that was not read must not be taken for the next request.
        self.close_connection = True
        self._say(status, {"error": words})

    def _say(self, status: int, document: Any) -> None:
        self._answer(status, json.dumps(document).encode(), JSON)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, headers: Dict[str, str]) -> None:
        self.send_response(status)
        for name, value in dict(HEADERS, **headers).items():
            self.send_header(name, value)
        if self.close_connection and "Connection" not in headers:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the terminal is for the address of the page."""
