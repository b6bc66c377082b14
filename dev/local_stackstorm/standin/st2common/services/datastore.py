"""Stands for ``st2common.services.datastore``: the datastore as a pack sees it, over HTTP."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import requests


class KeyValuePair:
    """One key: ``name`` in full, ``value`` as stored (a secret's ciphertext) unless decrypted."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def call(method: str, path: str, body: Any = None) -> tuple:
    """Status and JSON of a request to the platform; a connection each time, by way of requests, as
    st2client does it. Raises OSError.
    """
    answer = requests.request(
        method, os.environ["ST2_API_URL"] + path, data=json.dumps(body), timeout=60,
        headers={"X-Auth-Token": os.environ["ST2_AUTH_TOKEN"], "Content-Type": "application/json"})
    return answer.status_code, json.loads(answer.content or b"null")


class DatastoreService:
    """Keys of scope ``system``; with ``local`` those of this class alone, ``<pack>.<Class>:<name>``.

    In StackStorm the services of actions and sensors hold such an object, here they are one.
    """

    def __init__(self, logger: Any, pack_name: str, class_name: str) -> None:
        self._logger = logger
        self._prefix = "%s.%s:" % (pack_name, class_name)

    @property
    def datastore_service(self) -> DatastoreService:
        return self

    def list_values(self, local: bool = True, prefix: Any = None, limit: Any = None,
                    offset: Any = None) -> list:
        """Keys under ``prefix``; without ``limit`` the first 100 only. Raises on every failure."""
        query = urlencode({"limit": limit or 100, "offset": offset or 0,
                           "prefix": self._name(prefix or "", local)})
        return [KeyValuePair(**item) for item in self._ask("GET", "?" + query)]

    def get_value(self, name: str, local: bool = True, scope: str = "system",
                  decrypt: bool = False) -> Any:
        """The value; None for a key that does not exist and for EVERY failure."""
        path = self._path(name, local, scope) + "?decrypt=" + str(decrypt).lower()
        try:
            answer = self._ask("GET", path)
        except Exception:
            self._logger.exception("cannot read a value from the datastore (name=%s)", name)
            return None
        return answer and answer["value"]

    def set_value(self, name: str, value: Any, ttl: Any = None, local: bool = True,
                  scope: str = "system", encrypt: bool = False) -> bool:
        """Store ``str(value)``, for ``ttl`` seconds. Raises on every failure."""
        body = dict({"ttl": ttl} if ttl else {}, value=str(value), secret=encrypt)
        self._ask("PUT", self._path(name, local, scope), body)
        return True

    def delete_value(self, name: str, local: bool = True, scope: str = "system") -> bool:
        """False on failure; True also when there was no such key."""
        path = self._path(name, local, scope)
        try:
            self._ask("DELETE", path)
        except Exception:
            self._logger.exception("cannot delete a value from the datastore (name=%s)", name)
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = call(method, "/keys" + path, body)
        if status >= 300 and status != 404:
            raise requests.HTTPError("HTTP %d: %s" % (status, answer["faultstring"]),
                                     response=SimpleNamespace(status_code=status))
        return None if status == 404 else answer

    def _path(self, name: str, local: bool, scope: str) -> str:
        if scope != "system":
            raise ValueError("scope %s is not supported" % scope)
        return "/" + quote(self._name(name, local), safe="")

    def _name(self, name: str, local: bool) -> str:
        return self._prefix + name if local else name
