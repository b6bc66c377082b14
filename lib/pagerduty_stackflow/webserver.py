"""A small HTTP server that answers in time whatever its clients do.

Runs with real threads and under eventlet alike, so it uses plain sockets with deadlines, and
neither selectors nor pools. Slow clients keep nobody out: a request has one deadline as a whole,
and when all connections are taken, the one that waits longest for its client is cut.
"""

from __future__ import annotations

import socket
import threading
from logging import Logger
from typing import Any, Callable, Dict, Optional, Tuple, cast

from .clock import Clock
from .http_connection import Answer, Connection, Request

ACCEPT_SECONDS = 0.25
"""How long the accepting thread waits for a connection before it looks after late answers."""
CONNECTION_LIMIT = 128
BACKLOG = 128
BIND_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between tries to get the port; the last one repeats."""


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
            Connection(connection, ("", 0), cast(Any, self))
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
        """Take a promise back; False where it was kept already, or never made."""
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
