"""A server on a real socket that answers one request after another as a script says, however badly.
"""

import re
import socket
import struct
import threading


def answer(status=200, body=b"{}", headers=(), length=None, keep=True):
    """An ordinary answer; `length`: what it claims about its body."""
    def step(connection, _):
        lines = ["HTTP/1.1 %d Something" % status,
                 "Content-Length: %d" % (len(body) if length is None else length)]
        lines += ["%s: %s" % header for header in headers]
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return keep
    return step


def reset(connection, _):
    """Zero linger makes close() send RST instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def silent(connection, _):
    """Nothing comes, until the client gives up."""
    connection.recv(1)
    return False


def stalled(connection, closing):
    """The body begins, and nothing more comes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n1")
    return silent(connection, closing)


def trickle(connection, closing):
    """A body without an end, one byte every 20 ms."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not closing.wait(0.02):
        connection.sendall(b"1\r\n1\r\n")
    return False


def unread(step):
    """The step is taken before anything of the request is read."""
    step.unread = True
    return step


class ScriptedServer:
    """`steps` in the order of the requests, the last one again and again; `requests` as received.

    `connections` counts how often a client connected.
    """

    def __init__(self, *steps):
        self._steps = list(steps)
        self._closing = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listening.getsockname()[1]
        self.requests = []
        self.connections = 0
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing.set()
        for one in [self._listening] + self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def _accept(self):
        while not self._closing.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            while True:
                step = self._steps[0]
                if not getattr(step, "unread", False):
                    request = self._read(connection)
                    if request is None:
                        break
                    self.requests.append(request)
                if len(self._steps) > 1:
                    self._steps.pop(0)
                if not step(connection, self._closing):
                    break
        except OSError:
            pass  # the client hung up
        connection.close()

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return None
            data += part
        length = re.search(rb"(?i)content-length: *(\d+)", data)
        wanted = data.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
        while len(data) < wanted:
            data += connection.recv(65536)
        return data.decode("latin-1")
