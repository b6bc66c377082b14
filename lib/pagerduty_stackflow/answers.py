"""What an HTTP answer means: which error it is, and how long to wait before the next try."""

from __future__ import annotations

import json
import math
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, Union

from .deliveries import clean
from .errors import ApiError, ConflictError, NotFoundError

PAGERDUTY = "PagerDuty"
STACKFLOW = "StackFlow"
QUOTED = 300
"""Characters of a server's own message that an error repeats."""
CODE_LIMIT = 60
"""Characters of an error code; anything longer is none."""
PAGERDUTY_CONFLICTS = (1001, 1002, 1005, 1006, 1011, 1012, 1019)
"""Somebody else moved the incident first (PagerDuty REST API, Errors)."""
PAGERDUTY_NOT_FOUND = (2100, 5001)
UNCLEAN = (b"\\u", b"\\b", b"\\f", b"\x7f", b"\xc2")
"""What a body holds if any of its texts needs cleaning."""


def may_retry(status: int) -> bool:
    """Tell whether a status is tried again: 408, 429 and 5xx are, everything else is final."""
    return status in (408, 429) or 500 <= status <= 599


def pause(status: int, headers: Mapping[str, str], now: float) -> Optional[float]:
    """Return the seconds, above 0, that the server asks to wait, or None; ``now`` in epoch seconds.

    Every answer shows the rate limit, so it counts after a 429 alone: `ratelimit-reset` in seconds
    (PagerDuty), then `Retry-After`, then `X-RateLimit-Reset` in epoch seconds (StackFlow).
    """
    after = headers.get("Retry-After")
    waits = [_seconds(after), _until(after, now)]
    if status == 429:
        waits = [_seconds(headers.get("ratelimit-reset")), *waits,
                 _seconds(headers.get("X-RateLimit-Reset"), now)]
    return next((wait for wait in waits if wait is not None and wait > 0), None)


def pause_before_next(headers: Mapping[str, str], now: float) -> Optional[float]:
    """Return the seconds until the next call if the rate limit is used up, and one for rounding."""
    wait = None
    if _seconds(headers.get("ratelimit-remaining")) == 0:
        wait = _seconds(headers.get("ratelimit-reset"))
    elif _seconds(headers.get("X-RateLimit-Remaining")) == 0:
        wait = _seconds(headers.get("X-RateLimit-Reset"), now)
    return wait + 1 if wait is not None and wait >= 0 else None


def _seconds(text: Optional[str], since: float = 0.0) -> Optional[float]:
    try:
        number = float(text or "") - since
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(text: Optional[str], now: float) -> Optional[float]:
    try:
        moment = parsedate_to_datetime(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def parse(text: bytes) -> Any:
    """Return the JSON of a body, cleaned for whatever shows or stores it; None if it is none."""
    try:
        value = json.loads(text.decode("utf-8")) if text.strip() else None
    except (ValueError, RecursionError):
        return None
    return clean(value) if any(mark in text for mark in UNCLEAN) else value


def server_message(body: Any) -> Tuple[str, Union[int, str, None]]:
    """Return the server's own words and its error code.

    PagerDuty: `error` as an object, a string or a list, or the Events API's `message` and `errors`.
    StackFlow: `error` as a string beside `code`, or as an object; Cognito: `__type`.
    """
    if not isinstance(body, dict):
        return "", None
    error = body if body.get("error") is None else body["error"]
    if isinstance(error, dict):
        words = [_words(error.get("message")), _words(error.get("errors"))]
        code = error.get("code", error.get("__type"))
    else:
        words, code = [_words(error)], body.get("code")
    known = isinstance(code, (int, str)) and len(str(code)) <= CODE_LIMIT
    return ": ".join(filter(None, words)), code if known else None


def _words(value: Any, depth: int = 4) -> str:
    """Return the text in strings, lists and objects of them, on one line."""
    if isinstance(value, str):
        return " ".join(value.split())
    if value is None or not depth:
        return ""
    if isinstance(value, dict):
        found = ((name, _words(inner, depth - 1)) for name, inner in value.items())
        value = ["%s: %s" % pair for pair in found if pair[1]]
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(inner, depth - 1) for inner in value)))
    return str(value)


def error_of(system: str, what: str, status: int, body: Any,
             secrets: Sequence[str] = ()) -> ApiError:
    """Return the error of an answer that is no success; its quotation holds no ``secrets``."""
    words, code = server_message(body)
    for secret in secrets:
        words = words.replace(secret, "***")
        code = None if secret in str(code) else code
    message = "%s: %d%s%s" % (what, status, " code %s" % code if code is not None else "",
                              ": " + words[:QUOTED] if words else "")
    kind: Type[ApiError] = ApiError
    meaning = status
    if status == 409 or (system == PAGERDUTY and code in PAGERDUTY_CONFLICTS):
        kind, meaning = ConflictError, 409
    elif status == 404 or (system == PAGERDUTY and code in PAGERDUTY_NOT_FOUND):
        kind, meaning = NotFoundError, 404
    elif 300 <= status < 400:
        message, meaning = message + ": redirects are not followed", 300
    hint = HINTS.get(meaning, HINTS[500] if may_retry(status) else HINTS[499])
    error = kind(message, hint % system, may_retry(status), system, status)
    error.code = code
    return error


HINTS: Dict[int, str] = {
    300: "set the base URL of %s to where it redirects",
    400: "%s refused the request as malformed; its own words are in the message",
    401: "the key or token of %s is expired, revoked or wrong: renew it",
    402: "the plan of %s lacks this feature",
    403: "the key or role used at %s may not do this",
    404: "check the id: %s does not know it",
    409: "%s does not allow this change now, or somebody else was faster; it was read again",
    422: "a rule of %s forbids this: see stackflow.resolve_fields for required fields",
    429: "the rate limit of %s is used up: run it again later",
    499: "%s refuses the request: look at its own words, and check its base URL",
    500: "%s has trouble: run it again later"}
PROXY_HINT = ("check the proxy that the variables HTTPS_PROXY and HTTP_PROXY of StackStorm's "
              "processes name, and its user and password in them")


def page_error(system: str, what: str, status: int) -> ApiError:
    """Return the error of an HTML page. It has no status, as no API sends one."""
    return ApiError("%s: %d with an HTML page: the answer did not come from the API of %s" % (
        what, status, system), PROXY_HINT if status == 407 else
        "ask whoever runs the firewall or proxy in front of %s to let this host through, and check "
        "its base URL" % system, False, system)
