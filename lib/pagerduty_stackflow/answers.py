"""What an HTTP answer means: whether to try again, how long to wait before, and which error it is.
"""

from __future__ import annotations

import math
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, Union

from .errors import ApiError, ConflictError, NotFoundError

PAGERDUTY = "PagerDuty"
STACKFLOW = "StackFlow"
QUOTED = 300
"""Characters of a server's own message that an error repeats."""
CODE_LIMIT = 60
"""Characters of an error code; what is longer is none."""

# PagerDuty REST API, Errors: codes that say that somebody else moved the incident first.
PAGERDUTY_CONFLICTS = (1001, 1002, 1005, 1006, 1011, 1012, 1019)
PAGERDUTY_NOT_FOUND = (2100, 5001)


def may_retry(status: int) -> bool:
    """The one table: 408, 429 and 5xx are tried again, everything else is final."""
    return status in (408, 429) or 500 <= status <= 599


def pause(status: int, headers: Mapping[str, str], now: float) -> Optional[float]:
    """Seconds, more than 0, that the server asks to wait, or None; ``now`` is in epoch seconds.

    `Retry-After` in seconds or as a date; on a 429 before it `ratelimit-reset` in seconds
    (PagerDuty REST API, Rate Limits), and behind it `X-RateLimit-Reset` in epoch seconds (StackFlow
    api/rate-limits-errors.html). Both sides send the latter two with other answers as well, where
    they do not speak of the failure.
    """
    low = {name.lower(): value for name, value in headers.items()}
    waits = [_seconds(low.get("retry-after")) or _until(low.get("retry-after"), now)]
    if status == 429:
        epoch = _seconds(low.get("x-ratelimit-reset"))
        waits.insert(0, _seconds(low.get("ratelimit-reset")))
        waits.append(None if epoch is None else epoch - now)
    return next((wait for wait in waits if wait is not None and wait > 0), None)


def pause_before_next(headers: Mapping[str, str], now: float) -> Optional[float]:
    """Seconds until the rate limit allows another call, where an answer says that it is used up;
    else None. ``now`` is in epoch seconds.

    PagerDuty: `ratelimit-remaining` and `ratelimit-reset` in seconds (REST API, Rate Limits);
    StackFlow: `X-RateLimit-Remaining` and `X-RateLimit-Reset` in epoch seconds (api/
    rate-limits-errors.html). Both are whole numbers, rounded nobody knows how: one second is added.
    """
    low = {name.lower(): value for name, value in headers.items()}
    if _seconds(low.get("ratelimit-remaining")) == 0:
        reset = _seconds(low.get("ratelimit-reset"))
    elif _seconds(low.get("x-ratelimit-remaining")) == 0:
        epoch = _seconds(low.get("x-ratelimit-reset"))
        reset = None if epoch is None else epoch - now
    else:
        return None
    return reset + 1 if reset is not None and reset >= 0 else None


def _seconds(text: Optional[str]) -> Optional[float]:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(text: Optional[str], now: float) -> Optional[float]:
    try:
        moment = parsedate_to_datetime(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def server_message(body: Any) -> Tuple[str, Union[int, str, None]]:
    """The server's own words and its error code, from any of the shapes that the two systems use.

    PagerDuty: `error` as an object, a string or a list, or the Events API's `message` and `errors`.
    StackFlow: `error` as a string beside `code`, or as an object; its Cognito names the error in
    `__type`.
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
    """Text from strings, lists and objects of them, on one line."""
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
    """The error of an answer that is no success; ``secrets`` are blotted out of what it quotes."""
    words, code = server_message(body)
    for secret in secrets:
        words = words.replace(secret, "***")
        code = None if secret in str(code) else code
    message = "%s: %d%s%s" % (what, status, " code %s" % code if code is not None else "",
                              ": " + words[:QUOTED] if words else "")
    if 300 <= status < 400:
        return ApiError(message + ": redirects are not followed",
                        "set the base URL of %s to where it redirects" % system, False, system,
                        status, code)
    kind: Type[ApiError] = ApiError
    meaning = status
    if status == 409 or (system == PAGERDUTY and code in PAGERDUTY_CONFLICTS):
        kind, meaning = ConflictError, 409
    elif status == 404 or (system == PAGERDUTY and code in PAGERDUTY_NOT_FOUND):
        kind, meaning = NotFoundError, 404
    return kind(message, _hint(system, meaning), may_retry(status), system, status, code)


HINTS: Dict[int, str] = {
    400: "%s refused the request as malformed; its own words are in the message",
    401: "the key or token of %s is expired, revoked or wrong: renew it",
    402: "the plan of %s lacks this feature",
    403: "the key or role used at %s may not do this",
    404: "check the id: %s does not know it",
    409: "%s does not allow this change now, or somebody else was faster; it was read again",
    422: "a rule of %s forbids this: see stackflow.resolve_fields for required fields",
    429: "the rate limit of %s is used up: run it again later"}


def _hint(system: str, status: int) -> str:
    if status in HINTS:
        return HINTS[status] % system
    if may_retry(status):
        return "%s has trouble: run it again later" % system
    return "%s refuses the request: look at its own words, and check its base URL" % system
