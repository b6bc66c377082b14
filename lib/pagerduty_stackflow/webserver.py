"""A small HTTP server that answers in time whatever its clients do.

Runs with real threads and under eventlet alike, so it uses plain sockets with deadlines, and
neither selectors nor pools. Slow clients keep nobody out: a request has one deadline as a whole,
and when all connections are taken, the one that waits longest for its client is cut.
"""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from logging import Logger
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, cast

from .clock import Clock

REQUEST_SECONDS = 3.0
"""From the first byte of a request to its last."""
EXCHANGE_SECONDS = 4.5
"""From the first byte of a request to its answer: PagerDuty waits 5 s (Webhooks: Overview)."""
IDLE_SECONDS = 5.0
ANSWER_SECONDS = 0.5
LINGER_SECONDS = 1.0
LINGER_BYTES = 2 * 1024 * 1024
ACCEPT_SECONDS = 0.25
CONNECTION_LIMIT = 128
BACKLOG = 128
LINE_LIMIT = 65536
BIND_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
RETRY_AFTER_SECONDS = 30


class Answer(NamedTuple):
    """Status, JSON object and further headers of an answer."""

    status: int
    body: Dict[str, Any]
    headers: Dict[str, str] = {}


class Refused(Exception):
    """A request that is not taken: ``reason`` in one word, and the status; a 503 asks to come
    again.
    """

    def __init__(self, reason: str, status: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status

    def answer(self) -> Answer:
        """What the client is told."""
        again = {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == 503 else {}
        return Answer(self.status, {"error": str(self)}, again)


class Request(NamedTuple):
    """A request whose body is still to be read.

    ``headers`` has names in lower case, repeated ones joined by a comma. ``read_body(limit)`` reads
    at most so many bytes and raises Refused otherwise. ``deadline`` on the monotonic clock is when
    the answer has to be ready. ``answer_at(when, late)``, once the body was read, has the server
    send what ``late()`` returns if there is no answer at that time.
    """

    method: str
    path: str
    headers: Dict[str, str]
    read_body: Callable[[int], bytes]
    deadline: float
    answer_at: Callable[[float, Callable[[], Answer]], None]


class WebServer:
    """Serves ``answer`` on a host and port. ``answer`` raises nothing, or the connection ends."""

    def __init__(self, wanted: Tuple[str, int], answer: Callable[[Request], Answer], clock: Clock,
                 logger: Logger) -> None:
        self._wanted = wanted
        self.answer = answer
        self.clock = clock
        self.logger = logger
        self._lock = threading.Lock()
        # oldest first; True while it waits for its client
        self._connections: Dict[socket.socket, bool] = {}
        # whoever takes an entry out, holding the lock, is the one that answers
        self._promises: Dict[socket.socket, Tuple[float, Callable[[], None]]] = {}
        self._promising = threading.Lock()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._tried = threading.Event()
        self.address: Optional[Tuple[str, int]] = None
        """Host and port that are listened on; None until the port was free."""

    def start(self) -> None:
        """Serve in a thread of its own; returns when the port is bound, or was found taken."""
        threading.Thread(target=self.serve_forever, daemon=True, name="webhook listener").start()
        self._tried.wait(10)

    def serve_forever(self) -> None:
        """Serve until :meth:`stop`; a port that is taken is tried again, less and less often."""
        self._idle.clear()
        try:
            listening = self._bind()
            if listening is not None:
                with listening:
                    self._accept(listening)
        finally:
            self._idle.set()

    def stop(self) -> None:
        """Stop listening, and cut the connections that wait for their clients."""
        self._stopping.set()
        self._idle.wait(2)
        with self._lock:
            waiting = [connection for connection, waits in self._connections.items() if waits]
        for connection in waiting:
            _cut(connection)

    def _bind(self) -> Optional[socket.socket]:
        attempt = 0
        while not self._stopping.is_set():
            try:
                listening = _listening_socket(*self._wanted)
            except (OSError, OverflowError, ValueError) as error:
                delay = BIND_SECONDS[min(attempt, len(BIND_SECONDS) - 1)]
                self.logger.error("cannot listen for webhooks on %s port %s, next attempt in "
                                  "%d s: %s", self._wanted[0], self._wanted[1], delay, error)
                self._tried.set()
                self._stopping.wait(delay)
                attempt += 1
            else:
                host, port = self.address = listening.getsockname()[:2]
                self.logger.info("listening for webhooks on %s port %d", host, port)
                self._tried.set()
                return listening
        return None

    def _accept(self, listening: socket.socket) -> None:
        failing = False
        while not self._stopping.is_set():
            self._keep_promises()
            try:
                connection = listening.accept()[0]
            except socket.timeout:
                continue
            except OSError as error:  # no file descriptor left, or a client that is gone already
                if not failing:
                    self.logger.warning("cannot accept a connection for webhooks: %s", error)
                failing = True
                self._stopping.wait(ACCEPT_SECONDS)  # no longer, as promises are to be kept
                continue
            failing = False
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        oldest = None
        with self._lock:
            if len(self._connections) >= CONNECTION_LIMIT:
                oldest = next((known for known, waits in self._connections.items() if waits), None)
                if oldest is None:  # every one is at work; whoever comes now has to come again
                    connection.close()
                    return
                self._connections[oldest] = False
            self._connections[connection] = True
        if oldest is not None:
            _cut(oldest)
        try:
            threading.Thread(target=self._serve, args=(connection,), daemon=True,
                             name="webhook connection").start()
        except RuntimeError as error:
            self.logger.error("no thread is left for a connection for webhooks: %s", error)
            self._forget(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            _Connection(connection, ("", 0), cast(Any, self))
        except OSError:
            pass  # the client is gone, silent, or was cut
        except Exception:
            self.logger.exception("the webhook listener failed on a connection")
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.pop(connection, None)
        self.withdraw(connection)
        connection.close()

    def promise(self, connection: socket.socket, when: float, send: Callable[[], None]) -> None:
        """Call ``send`` at ``when`` on the monotonic clock, or up to ACCEPT_SECONDS later, unless it
        is withdrawn before.
        """
        with self._promising:
            self._promises[connection] = when, send

    def withdraw(self, connection: socket.socket) -> bool:
        """Whether a promise was not kept yet; then it will not be."""
        with self._promising:
            return self._promises.pop(connection, None) is not None

    def _keep_promises(self) -> None:
        if not self._promises:
            return
        now = self.clock.monotonic()
        with self._promising:
            for connection, (when, send) in list(self._promises.items()):
                if now >= when:
                    del self._promises[connection]
                    send()

    def note_waiting(self, connection: socket.socket, waits: bool) -> None:
        """Note whether a connection waits for its client, and may be cut for another's sake."""
        with self._lock:
            self._connections.pop(connection, None)
            self._connections[connection] = waits


class _Connection(BaseHTTPRequestHandler):
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
        pass

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
        self._buffered.doubtful = False
        self.raw_requestline = self._buffered.readline(LINE_LIMIT + 1)
        if len(self.raw_requestline) > LINE_LIMIT:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if not self.parse_request():
            return
        if self.request_version != "HTTP/1.1":
            self.close_connection = True
        if self.headers.defects or self._buffered.doubtful:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        lengths = self.headers.get_all("Content-Length") or ["0"]
        self._unread = "Transfer-Encoding" in self.headers or set(lengths) != {"0"}
        headers = {name.lower(): ", ".join(self.headers.get_all(name) or [])
                   for name in self.headers}
        answer = self.server.answer(Request(
            self.command, self.path.split("?")[0], headers, self._read_body,
            began + EXCHANGE_SECONDS, self._answer_at))
        if not self._promised or self.server.withdraw(self.request):
            self._send(answer)

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

    def _answer_at(self, when: float, late: Callable[[], Answer]) -> None:
        self._promised = True
        self.server.promise(self.request, when, lambda: self._send_late(late))

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


def _listening_socket(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM,
                                                     flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.settimeout(ACCEPT_SECONDS)
    except BaseException:
        listening.close()
        raise
    return listening


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)  # closed by its own thread alone
    except OSError:
        pass
