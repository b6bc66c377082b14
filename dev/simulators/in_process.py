"""The simulators without a network: an adapter for requests that calls them as objects."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.response import HTTPResponse

from dev.simulators.base import Request, Simulator


class InProcess(BaseAdapter):
    """Mounted on a session, answers its requests from a simulator; faults break them as on a
    network.
    """

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator

    def send(self, request: Any, **_: Any) -> requests.Response:
        body = request.body or b""
        asked = Request.build(request.method, request.url, dict(request.headers),
                              body if isinstance(body, bytes) else body.encode())
        try:
            answer = self._simulator.handle(asked)
        except ConnectionResetError as error:
            raise requests.exceptions.ConnectionError(error, request=request) from error
        if answer.half:
            raise requests.exceptions.ChunkedEncodingError("half a body", request=request)
        made = requests.Response()
        made.status_code = answer.status
        made.headers = CaseInsensitiveDict(answer.headers)
        made.url = request.url
        made.request = request
        made.raw = HTTPResponse(io.BytesIO(answer.body), headers=answer.headers,
                                status=answer.status, preload_content=False)
        return made

    def close(self) -> None:
        pass
