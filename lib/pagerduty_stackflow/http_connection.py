"""One connection of the web server: its requests, each read within a deadline, and their answers.

What a proxy in front could have read in another way is refused, and the connection closed.
"""

from __future__ import annotations

import io
import json
import re
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, NamedTuple, Optional

from .clock import Clock

REQUEST_SECONDS = 3.0
"""From the first byte of a request to its last."""
EXCHANGE_SECONDS = 4.5
"""From the first byte of a request to its answer: PagerDuty waits 5 s (Webhooks: Overview)."""
IDLE_SECONDS = 5.0
"""From the answer, or from the start of a connection, to the first byte of the next request."""
ANSWER_SECONDS = 0.5
"""To send an answer to a client that may not take it."""
LINGER_SECONDS = 1.0
LINGER_BYTES = 2 * 1024 * 1024
"""What is still taken in of a request that was answered before its end."""
LINE_LIMIT = 65536
RETRY_AFTER_SECONDS = 30


class Answer(NamedTuple):
    """Status, JSON object and further headers of an answer."""

    status: int
    body: Dict[str, Any]
    headers: Dict[str, str] = {}


class Refused(Exception):
    """A request that is not taken: ``reason`` in one word, and the status; a 503 asks to come
    again. ``too_late``: the client was answered by then.
    """

    def __init__(self, reason: str, status: int, message: str, too_late: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.too_late = too_late

    def answer(self) -> Answer:
        """What the client is told."""
        again = {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == 503 else {}
        return Answer(self.status, {"error": str(self)}, again)


class Request(NamedTuple):
    """A request whose body is still to be read.

    ``headers`` has names in lower case, repeated ones joined by a comma. ``read_body(limit)`` reads
    at most so many bytes and raises Refused otherwise. ``deadline`` on the monotonic clock is when
    the answer has to be ready. ``answer_at(when, late)``, once the body was read, has the server
    send what ``late()`` returns if there is no answer at that time. It returns a function that
    says whether that has not happened, and takes care that it does not happen any more.
    """

    method: str
    path: str
    headers: Dict[str, str]
    read_body: Callable[[int], bytes]
    deadline: float
    answer_at: Callable[[float, Callable[[], Answer]], Callable[[], bool]]


class Connection(BaseHTTPRequestHandler):
    """One connection with its requests, one after the other."""

    protocol_version = "HTTP/1.1"
    server: Any  # the WebServer
    command = ""
    request_version = "HTTP/1.1"

    def setup(self) -> None:
        self._clock: Clock = self.server.clock
        self._reader = _DeadlineReader(self.request, self._clock)
        self._buffered = _Lines(self._reader)
        self.rfile = self._buffered

    def finish(self) -> None:
        """Nothing: there is no file to flush, and the server closes the connection."""

    def handle_one_request(self) -> None:
        self.close_connection = True
        self._unread = True
        self._promised = False
        self._expects_continue = False
        self.server.note_waiting(self.request, True)
        self._reader.deadline = self._clock.monotonic() + IDLE_SECONDS
        if not self._buffered.peek(1):
            return
        began = self._clock.monotonic()
        self._reader.deadline = began + REQUEST_SECONDS
        if not self._read_head():
            return
        headers = {name.lower(): ", ".join(self.headers.get_all(name) or [])
                   for name in self.headers}
        answer = self.server.answer(Request(
            self.command, self.path.split("?")[0], headers, self._read_body,
            began + EXCHANGE_SECONDS, self._answer_at))
        if self._is_in_time():
            self._send(answer)

    def _read_head(self) -> bool:
        """Read the request line and the headers; False where they are none, and the connection ends.
        """
        self._buffered.doubtful = False
        self.raw_requestline = self._buffered.readline(LINE_LIMIT + 1)
        if len(self.raw_requestline) > LINE_LIMIT:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        if not self.parse_request():
            return False
        if self.request_version != "HTTP/1.1":
            self.close_connection = True
        if self.headers.defects or self._buffered.doubtful:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        lengths = self.headers.get_all("Content-Length") or ["0"]
        self._unread = "Transfer-Encoding" in self.headers or set(lengths) != {"0"}
        return True

    def handle_expect_100(self) -> bool:
        """Not before the request was found worth reading."""
        self._expects_continue = True
        return True

    def send_error(self, code: int, message: Optional[str] = None,
                   explain: Optional[str] = None) -> None:
        """Answer 400 to what the base class could not read."""
        self.close_connection = True
        self._send(Answer(HTTPStatus.BAD_REQUEST, {"error": "the request is malformed"}))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the counters say what was asked, and a log per request would drown the rest."""

    def _read_body(self, limit: int) -> bytes:
        length = self._content_length()
        if length > limit:
            raise Refused("too_large", 413, "the body is larger than %d bytes" % limit)
        try:
            if self._expects_continue:
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._buffered.read(length)
        except socket.timeout:
            raise Refused("slow", 503, "the body did not arrive in time") from None
        except OSError:
            body = b""
        if len(body) < length:
            raise Refused("cut_short", 400, "the body is shorter than its Content-Length")
        self._unread = False
        self.server.note_waiting(self.request, False)
        return body

    def _answer_at(self, when: float, late: Callable[[], Answer]) -> Callable[[], bool]:
        self._promised = True
        self.server.promise(self.request, when, lambda: self._send_late(late))
        return self._is_in_time

    def _is_in_time(self) -> bool:
        """Whether no late answer was sent; from now on none will be."""
        if self._promised and not self.server.withdraw(self.request):
            return False
        self._promised = False
        return True

    def _send_late(self, late: Callable[[], Answer]) -> None:
        """In another thread, while the connection's own is at work and leaves the socket alone."""
        self.close_connection = True
        try:
            self._send(late())
            self.request.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client is gone

    def _content_length(self) -> int:
        lengths = {value.strip() for value in self.headers.get_all("Content-Length") or []}
        if "Transfer-Encoding" in self.headers and lengths:
            raise Refused("bad_request", 400, "both Content-Length and Transfer-Encoding")
        if not lengths:
            raise Refused("no_length", 411, "a Content-Length is required")
        value = lengths.pop()
        if lengths or not re.fullmatch("[0-9]+", value):
            raise Refused("bad_request", 400, "the Content-Length is not a number")
        return int(value[-18:]) if len(value.lstrip("0")) < 18 else 10 ** 18

    def _send(self, answer: Answer) -> None:
        if self._unread:
            self.close_connection = True
        body = json.dumps(answer.body).encode()
        lines = ["HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase),
                 "Date: " + self.date_time_string(), "Content-Type: application/json",
                 "Content-Length: %d" % len(body)]
        lines += ["%s: %s" % pair for pair in answer.headers.items()]
        lines += ["Connection: close"] * self.close_connection
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.request.settimeout(ANSWER_SECONDS)
        self.request.sendall(head + (b"" if self.command == "HEAD" else body))
        if self._unread:
            self._linger()

    def _linger(self) -> None:
        """Take what is still coming for a moment, or the client would see a reset in place of the
        answer.
        """
        self.server.note_waiting(self.request, True)
        self.request.shutdown(socket.SHUT_WR)
        self._reader.deadline = self._clock.monotonic() + LINGER_SECONDS
        taken, piece = 0, b"x"
        while piece and taken < LINGER_BYTES:
            piece = self._buffered.read1(65536)
            taken += len(piece)


class _Lines(io.BufferedReader):
    """Notes as ``doubtful`` that the proxy in front may have seen other lines: one that ends in
    another way than CR LF, goes on from the line before, or holds a CR or NUL (RFC 9112, 2.2, 5.2).
    """

    doubtful = False

    def readline(self, size: Optional[int] = -1) -> bytes:
        line = super().readline(size)
        if (line[-2:] != b"\r\n" or line[:1] in (b" ", b"\t") or b"\r" in line[:-2] or
                b"\0" in line):
            self.doubtful = True
        return line


class _DeadlineReader(io.RawIOBase):
    """The receiving half of a socket; socket.timeout once the deadline has passed, however the
    bytes trickle in.
    """

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - self._clock.monotonic()
        if left <= 0:
            raise socket.timeout("the deadline has passed")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
