"""The datastore, and the HTTP API that sensors and actions reach it through.

Stands for st2api/controllers/v1/keyvalue and the models below it. Values are text. MongoDB removes
expired keys within a minute; here they vanish the moment their time is up.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qsl, unquote, urlsplit

_CIPHER = "local-cipher:"
_NOT_FOUND = 404, {"faultstring": "there is no such thing"}


def encrypt(value: str) -> str:
    """Unreadable at a glance and no more: this is development equipment."""
    return _CIPHER + base64.b64encode(value.encode()[::-1]).decode()


def decrypt(value: str) -> str:
    """The clear text. Raises ValueError for what ``encrypt`` did not make, as StackStorm does."""
    if not value.startswith(_CIPHER):
        raise ValueError("the value is not encrypted")
    return base64.b64decode(value[len(_CIPHER):])[::-1].decode()


class Datastore:
    """System-scoped keys of a StackStorm that has a crypto key."""

    def __init__(self) -> None:
        self.unreachable = False
        self._keys: dict = {}
        self._lock = threading.Lock()
        self._skipped = 0.0

    def fail(self, unreachable: bool = True) -> None:
        """Let no sensor and no action reach it until ``fail(False)``."""
        self.unreachable = unreachable

    def advance(self, seconds: float) -> None:
        """Let keys age by so many seconds."""
        self._skipped += seconds

    def set(self, name: str, value: Any, ttl: Any = None, secret: bool = False) -> None:
        """Store ``str(value)``, for ``ttl`` whole seconds. Raises ValueError."""
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
            raise ValueError("a key's name is made of letters, digits and _ . : - only")
        if ttl is not None and type(ttl) is not int:
            raise ValueError("ttl is a whole number of seconds")
        item = {"name": name, "value": encrypt(str(value)) if secret else str(value),
                "secret": secret, "encrypted": secret, "scope": "st2kv.system"}
        with self._lock:
            self._keys[name] = item, self._now() + ttl if ttl else None

    def get(self, name: str) -> Any:
        """The clear value, or None."""
        item = self._living().get(name)
        return item and (decrypt(item["value"]) if item["secret"] else item["value"])

    def raw(self, name: str) -> str:
        """What a template sees: the stored text (a secret's ciphertext), or empty text."""
        return self._living().get(name, {"value": ""})["value"]

    def delete(self, name: str) -> bool:
        """Remove a key; whether it was there."""
        with self._lock:
            return self._keys.pop(name, None) is not None

    def list(self, prefix: str = "") -> dict:
        """Names and clear values of all keys that start with ``prefix``."""
        return {name: self.get(name) for name in self._living() if name.startswith(prefix)}

    def answer(self, method: str, name: str, query: dict, body: Any) -> tuple:
        """Status and JSON of a request to ``/v1/keys`` or ``/v1/keys/<name>``."""
        if method == "PUT":
            try:
                self.set(name, body["value"], body.get("ttl"), body.get("secret", False))
            except ValueError as error:
                return 400, {"faultstring": str(error)}
        elif method == "DELETE":
            return (204, None) if self.delete(name) else _NOT_FOUND
        elif not name:
            offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
            found = [item for key, item in self._living().items()
                     if key.startswith(query.get("prefix", ""))]
            return 200, found[offset:] if limit == -1 else found[offset:offset + limit]
        item = self._living().get(name)
        if item and item["secret"] and query.get("decrypt") == "true":
            item = dict(item, value=decrypt(item["value"]), encrypted=False)
        return (200, item) if item else _NOT_FOUND

    def _living(self) -> dict:
        with self._lock:
            return {name: item for name, (item, until) in self._keys.items()
                    if until is None or until > self._now()}

    def _now(self) -> float:
        return time.monotonic() + self._skipped


class Api:
    """Loopback server of ``/v1/keys`` and of the sensors' ``/v1/dispatch``.

    ``tokens`` maps the token of each living process to its owner.
    """

    def __init__(self, datastore: Datastore, dispatch: Callable[..., tuple]) -> None:
        self.tokens: dict = {}

        class Handler(BaseHTTPRequestHandler):
            def respond(handler) -> None:
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                url = urlsplit(handler.path)
                kind, _, name = url.path[len("/v1/"):].partition("/")
                status, answer = _NOT_FOUND
                if kind == "keys" and datastore.unreachable:
                    return  # the connection just closes
                if handler.headers.get("X-Auth-Token") not in self.tokens:
                    status, answer = 401, {"faultstring": "unauthorized"}
                elif kind == "keys":
                    status, answer = datastore.answer(handler.command, unquote(name), dict(
                        parse_qsl(url.query)), json.loads(body or b"null"))
                elif kind == "dispatch":
                    status, answer = dispatch(**json.loads(body))
                data = b"" if status == 204 else json.dumps(answer).encode()
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(data)))
                handler.end_headers()
                handler.wfile.write(data)

            do_GET = do_PUT = do_DELETE = do_POST = respond

            def log_message(handler, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/v1" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
