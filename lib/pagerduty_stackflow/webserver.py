"""Serve HTTP with a thread for each connection and a deadline for each request.

Works with real threads and in a process that eventlet has patched.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from typing import Any, Dict, NamedTuple, Optional, Set, Tuple

from .clock import Clock

IDLE_SECONDS = 5.0  # to the first byte of a request
REQUEST_SECONDS = 3.0  # from its first byte to its last
EXCHANGE_SECONDS = 4.5  # from its first byte to the answer; PagerDuty waits for 5 s
ANSWER_SECONDS = 0.5  # for a client to accept the answer, and again to stop sending
PAUSE_SECONDS = 0.5
WAITING_LIMIT = 128
HEAD_LIMIT = 65536
CHUNK_LIMIT = 4096
CLOCK = Clock()
FIELDS = rb"\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n){0,99}\r\n"
HEAD = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.[01]" + FIELDS)
"""Python's own parser also reads bare CR, bare LF and folded lines, as not every proxy does."""
TRAILER = re.compile(FIELDS)
CHUNK = re.compile(rb"([0-9A-Fa-f]+)[\t ]*(?:;[\t -~\x80-\xff]*)?\r\n")
ORIGIN = re.compile("^[a-z][a-z0-9+.-]*://[^/?]*", re.IGNORECASE)


class Response(NamedTuple):
    """Status, JSON object and further headers."""

    status: int
    body: Dict[str, Any]
    headers: Dict[str, str] = {}


class Refused(Exception):
    """A request that is not accepted: ``reason`` in one word, its ``cause``, and the response."""

    def __init__(self, reason: str, status: int, message: str,
                 cause: Optional[BaseException] = None) -> None:
        super().__init__(message)
        self.reason, self.cause = reason, cause
        self.response = Response(status, {"error": message},
                                 {"Retry-After": "30"} if status == 503 else {})


class WebServer(ThreadingTCPServer):
    """Serve an address. ``listener`` answers the requests, also those that are ``late``."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Tuple[str, int], listener: Any) -> None:
        self.address_family = socket.getaddrinfo(*address, 0, socket.SOCK_STREAM)[0][0]
        self.listener = listener
        self.waiting: OrderedDict[Connection, None] = OrderedDict()
        self.busy: Set[Connection] = set()
        self.lock = threading.Lock()
        super().__init__(address, Connection)

    def get_request(self) -> Any:
        """Accept a connection; pause if that fails, as it does without file descriptors."""
        try:
            return super().get_request()
        except OSError as error:
            self.listener.logger.warning("cannot accept a connection for webhooks: %s", error)
            CLOCK.sleep(PAUSE_SECONDS)
            raise

    def service_actions(self) -> None:
        """Answer in place of the connections that are busy past their deadlines."""
        with self.lock:
            for connection in list(self.busy):
                if CLOCK.monotonic() >= connection.deadline:
                    self.busy.remove(connection)
                    connection.late = connection.close_connection = True
                    with suppress(OSError):
                        connection.send(self.listener.late(connection))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a defect; a client that left or went silent is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.listener.logger.exception("the webhook listener failed on a connection")


class Connection(BaseHTTPRequestHandler):
    """One connection, and its present request.

    ``command`` is the method, ``route`` the path without a slash at its end. The answer has to be
    ready at ``deadline`` (monotonic); else the server answers in its place, and sets ``late``.
    """

    server: WebServer
    protocol_version = default_request_version = request_version = "HTTP/1.1"
    wbufsize = -1
    command = ""
    late = False
    _buffer = b""

    def finish(self) -> None:
        """Forget the connection, which the server closes."""
        self.server.waiting.pop(self, None)
        self.server.busy.discard(self)
        super().finish()

    def handle_one_request(self) -> None:
        """Read a request and answer it."""
        self.close_connection = self._unread = True
        self.server.waiting[self] = None
        if len(self.server.waiting) > WAITING_LIMIT:
            with suppress(OSError):
                self.server.waiting.popitem(last=False)[0].request.shutdown(socket.SHUT_RDWR)
        self._until = CLOCK.monotonic() + IDLE_SECONDS
        if not self._buffer and not self._receive():
            return
        began = CLOCK.monotonic()
        self._until, self.deadline = began + REQUEST_SECONDS, began + EXCHANGE_SECONDS
        head = self._take_to(b"\r\n\r\n")
        self.raw_requestline, _, lines = head.partition(b"\r\n")
        self.rfile = BytesIO(lines)
        if not HEAD.fullmatch(head):
            self.send(Response(400, {"error": "the request is malformed"}))
        elif self.parse_request():
            self.close_connection |= self.request_version != "HTTP/1.1"
            self.route = ORIGIN.sub("", self.path).split("?")[0].rstrip("/")
            self._unread = ("Transfer-Encoding" in self.headers or
                            self.headers.get("Content-Length", "0") != "0")
            self.server.busy.add(self)
            response = self.server.listener.answer(self)
            with self.server.lock:  # not while the server answers in its place
                self.server.busy.discard(self)
            if not self.late:
                self.send(response)

    def read_body(self, limit: int) -> bytes:
        """Return the body. Raises Refused if it is malformed, or larger than ``limit`` bytes."""
        lengths, codings = [[value.strip(" \t").lower() for value in self.headers.get_all(name, [])]
                            for name in ("Content-Length", "Transfer-Encoding")]
        if not lengths and not codings:
            raise Refused("no_length", 411, "a Content-Length is required")
        chunked = not lengths and codings == ["chunked"] and self.request_version == "HTTP/1.1"
        if not chunked and (codings or len(set(lengths)) > 1 or not lengths[0].isdecimal()):
            raise Refused("bad_request", 400, "the length of the body is not certain")
        try:
            body = self._take_chunks(limit) if chunked else self._take(
                int(lengths[0]) if len(lengths[0]) < 19 else sys.maxsize, limit)
        except socket.timeout:
            raise Refused("slow", 503, "the body did not arrive in time") from None
        except OSError:
            raise Refused("cut_short", 400, "the body ended early") from None
        self._unread = False
        self.server.waiting.pop(self, None)
        return body

    def _take_chunks(self, limit: int) -> bytes:
        body = b""
        for _ in range(CHUNK_LIMIT):
            chunk = CHUNK.fullmatch(self._take_to(b"\r\n"))
            size = int(chunk.group(1), 16) if chunk else 0
            if chunk and not size:
                self._buffer = b"\r\n" + self._buffer
                if TRAILER.fullmatch(self._take_to(b"\r\n\r\n")):
                    return body
            body += self._take(size, limit - len(body))
            if not size or self._take(2, 2) != b"\r\n":
                break
        raise Refused("bad_request", 400, "the chunks of the body are malformed")

    def _take(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise Refused("too_large", 413, "the body is too large")
        while len(self._buffer) < size:
            if not self._receive():
                raise ConnectionError
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _take_to(self, end: bytes) -> bytes:
        """Take all up to and with ``end``, or as much as may come before it."""
        while end not in self._buffer and len(self._buffer) < HEAD_LIMIT and self._receive():
            pass
        text, found, self._buffer = self._buffer.partition(end)
        return (text + found)[:HEAD_LIMIT]

    def _receive(self) -> bool:
        """Add to the buffer; False at the end of the stream. Raises socket.timeout."""
        left = self._until - CLOCK.monotonic()
        if left <= 0:
            raise socket.timeout("the deadline has passed")
        self.request.settimeout(left)
        self.wfile.flush()  # the parser may have written "100 Continue"
        data = self.request.recv(65536)
        self._buffer += data
        return bool(data)

    def send(self, response: Response) -> None:
        """Send the answer."""
        body = json.dumps(response.body).encode()
        self.send_response_only(response.status)
        for pair in dict({"Date": self.date_time_string(), "Content-Type": "application/json",
                          "Content-Length": str(len(body))}, **response.headers).items():
            self.send_header(*pair)
        if self.close_connection or self._unread:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body * (self.command != "HEAD"))
        self.request.settimeout(ANSWER_SECONDS)
        self.wfile.flush()
        if self._unread:  # or the client would see a reset in place of the answer
            self._until = CLOCK.monotonic() + ANSWER_SECONDS
            self.request.shutdown(socket.SHUT_WR)
            for _ in range(64):
                self._buffer = b""
                if not self._receive():
                    break
