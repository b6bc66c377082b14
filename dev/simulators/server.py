"""A simulator behind a real socket."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, List

from dev.simulators.base import Request, Response, Simulator

TICK_SECONDS = 0.02


class HttpServer(ThreadingHTTPServer):
    """One thread for each connection; none of them outlives the process."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hung up is no error of ours.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """Serves a simulator on 127.0.0.1, on a free port by default, until `close()`.

    ``works``: timers and webhooks are seen to as well; else by whoever turns the simulator's clock.
    """

    def __init__(self, simulator: Simulator, works: bool = True, port: int = 0) -> None:
        self.simulator = simulator
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"simulator": simulator})
        self._http = HttpServer(("127.0.0.1", port), handler)
        self.url = "http://127.0.0.1:{}".format(self._http.server_address[1])
        # A slow receiver must not stop the account's own timers: two threads.
        loops: List[Callable[[], None]] = [
            lambda: self._http.serve_forever(poll_interval=TICK_SECONDS)]
        if works:
            loops += [lambda: self._repeat(simulator.work), lambda: self._repeat(simulator.deliver)]
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and ticking; a delivery under way is waited for."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()

    def _repeat(self, job: Callable[[], None]) -> None:
        while not self._closing.wait(TICK_SECONDS):
            job()


class _Handler(BaseHTTPRequestHandler):
    simulator: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # A keep-alive connection left open ends with the tests, not with the process.
    timeout = 60

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        request = Request.build(self.command, self.path, dict(self.headers.items()), body)
        try:
            response = self.simulator.handle(request)
        except ConnectionResetError:
            self._reset()
            return
        if response.delay:
            time.sleep(response.delay)
        self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        body = response.body
        if response.half:
            body = body[:len(body) // 2]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        # Zero linger makes close() send RST instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: requests are recorded by the simulator."""
