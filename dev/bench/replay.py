"""Gives recorded answers: ``python -m dev.bench.replay FILE`` writes its port and serves until the
end of stdin.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def main() -> None:
    """Serve what the file holds: paths with their bodies."""
    with open(sys.argv[1], encoding="utf-8") as file:
        answers = {path: body.encode() for path, body in json.load(file).items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._give(200 if self.path in answers else 404, answers.get(self.path, b"{}"))

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._give(200, b"{}")

        def do_DELETE(self) -> None:
            self._give(200, b"{}")

        def _give(self, status: int, body: bytes) -> None:
            self.wfile.write(b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n%s" % (status, len(body), body))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
