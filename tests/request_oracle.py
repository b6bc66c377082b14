"""Every request that the pack makes in a test is held against PagerDuty's published OpenAPI files,
where those lie beside the repository.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, List
from urllib.parse import quote, urlencode

import jsonschema

from dev.simulators.base import Request
from pagerduty_stackflow.transport import USER_AGENT

PLACE = Path(__file__).resolve().parents[2] / "shared" / "oracle" / "oracle.py"


def available() -> bool:
    """Whether the files and what reads them are there."""
    return (PLACE.exists() and importlib.util.find_spec("referencing") is not None and
            hasattr(jsonschema, "Draft202012Validator"))  # StackStorm 3.9.0 has an older one


@lru_cache(maxsize=None)
def _spec(name: str) -> Any:
    place = importlib.util.spec_from_file_location("request_oracle_files", PLACE)
    assert place is not None and place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return getattr(module, name)()


def from_the_pack(request: Request) -> bool:
    """Whether the pack's transport sent it, and not a test by itself."""
    return request.headers.get("user-agent") == USER_AGENT


@lru_cache(maxsize=4096)
def _errors(method: str, path: str, query: str, headers: Any, body: bytes) -> List[str]:
    events = path.startswith("/v2/")
    host = "https://events.pagerduty.com" if events else "https://api.pagerduty.com"
    url = host + quote(path) + ("?" + query if query else "")
    errors: List[str] = _spec("events_v2" if events else "rest_v2").errors(
        method, url, dict(headers), body or None)
    return errors


def deviations(request: Request) -> List[str]:
    """How a request deviates from the published API; empty where it conforms."""
    return _errors(request.method, request.path, urlencode(request.query),
                   tuple(sorted(request.headers.items())), request.body)


def recording(handle: Callable[..., Any], seen: List[Request]) -> Callable[..., Any]:
    """A simulator's `handle` that also notes what the pack sent."""
    def handle_and_note(simulator: Any, request: Request) -> Any:
        if from_the_pack(request):
            seen.append(request)
        return handle(simulator, request)
    return handle_and_note
