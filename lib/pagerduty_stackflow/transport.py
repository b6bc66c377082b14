"""One way to make an HTTP call: one session, one table of what is tried again, one family of
errors.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import InvalidHeader, NewConnectionError
from urllib3.util.retry import Retry

from .clock import Clock
from .errors import ApiError, ConflictError, NotFoundError
from .settings import HttpSettings

PAGERDUTY = "PagerDuty"
STACKFLOW = "StackFlow"
RUN_SECONDS = 540
"""Budget of one action run, under StackStorm's own 600 s for a Python action."""
MAX_WAIT = 30.0
"""Longest pause in seconds between two tries when the server names none."""
MAX_BODY = 32 * 1024 * 1024
USER_AGENT = "stackstorm-pagerduty_stackflow"
QUOTED = 300
"""Characters of a server's own message that an error repeats."""

# PagerDuty REST API, Errors: codes that say that somebody else moved the incident first.
PAGERDUTY_CONFLICTS = (1001, 1002, 1005, 1006, 1011, 1012, 1019)
PAGERDUTY_NOT_FOUND = (2100, 5001)


class OutcomeUnknownError(ApiError):
    """A write got no usable answer, so it may have been done: read the record before trying again.
    """

    kind = "outcome_unknown"


@dataclass(frozen=True)
class Answer:
    """A successful answer; ``body`` is the parsed JSON, or None where there was none."""

    status: int
    body: Any
    headers: Mapping[str, str]


def may_retry(status: int) -> bool:
    """The one table: 408, 429 and 5xx are tried again, everything else is final."""
    return status in (408, 429) or 500 <= status <= 599


def pause(headers: Mapping[str, str], now: float) -> Optional[float]:
    """Seconds that the server asks to wait, or None.

    `ratelimit-reset` in seconds (PagerDuty REST API, Rate Limits), `Retry-After` in seconds or as a
    date, `X-RateLimit-Reset` in epoch seconds (StackFlow api/rate-limits-errors.html); ``now`` is
    in epoch seconds.
    """
    low = {name.lower(): value for name, value in headers.items()}
    try:
        if "ratelimit-reset" in low:
            return max(0.0, float(low["ratelimit-reset"]))
        if "retry-after" in low:
            return max(0.0, float(Retry(0).parse_retry_after(low["retry-after"])))
        if "x-ratelimit-reset" in low:
            return max(0.0, float(low["x-ratelimit-reset"]) - now)
    except (ValueError, InvalidHeader):
        return None
    return None


def server_message(body: Any) -> Tuple[str, Optional[Any]]:
    """The server's own words and its error code, from any of the shapes that the two systems use.

    PagerDuty: `error` as an object, a string or a list, or the Events API's `message` and `errors`.
    StackFlow: `error` as a string beside `code`, or as an object.
    """
    if not isinstance(body, dict):
        return "", None
    error = body.get("error", body)
    if isinstance(error, str):
        return error, body.get("code")
    if isinstance(error, list):
        return "; ".join(str(item) for item in error), None
    if not isinstance(error, dict):
        return "", None
    details = error.get("errors")
    if isinstance(details, dict):
        details = ["%s: %s" % item for item in details.items()]
    words = [str(error.get("message") or "")]
    words += [str(item) for item in details] if isinstance(details, list) else [str(details or "")]
    return ": ".join(word for word in words if word), error.get("code")


def no_redirects_and_no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An `auth` that changes nothing: it keeps requests from putting a netrc password over our
    header.
    """
    return request


class Transport:
    """Makes the calls of one action run, or of one poll."""

    def __init__(self, http: HttpSettings, clock: Clock,
                 session: Optional[requests.Session] = None) -> None:
        self._http = http
        self._clock = clock
        self._session = session
        self._end = clock.monotonic() + RUN_SECONDS

    def request(self, system: str, method: str, url: str, headers: Mapping[str, str],
                params: Sequence[Tuple[str, str]] = (), data: Any = None,
                form: Optional[Mapping[str, str]] = None, repeatable: bool = True) -> Answer:
        """Make a call, with its retries, within `http.total_seconds`.

        A call that is not ``repeatable`` is tried again only where it was surely not carried out
        (refused connection, 429); otherwise OutcomeUnknownError says that it has to be looked up.
        Raises ApiError or a subclass; never shows a header, a query value or a body of ours.
        """
        what = "%s %s %s" % (system, method, urlsplit(url).path)
        end = min(self._clock.monotonic() + self._http.total_seconds, self._end)
        tries = 0
        while True:
            tries += 1
            error, wait, surely_undone = self._attempt(system, what, method, url, headers, params,
                                                       data, form, end)
            if isinstance(error, Answer):
                return error
            if not error.retryable:
                raise error
            if not repeatable and not surely_undone:
                raise OutcomeUnknownError(error.message, error.hint, True, system, error.status,
                                          error.code)
            delay = wait if wait is not None else random.uniform(0, min(MAX_WAIT, 2.0 ** tries))
            if self._clock.monotonic() + delay >= end:
                error.message += " (%d tries)" % tries
                error.args = (error.message,)
                raise error
            self._clock.sleep(delay)

    def _attempt(self, system: str, what: str, method: str, url: str, headers: Mapping[str, str],
                 params: Sequence[Tuple[str, str]], data: Any, form: Optional[Mapping[str, str]],
                 end: float) -> Tuple[Any, Optional[float], bool]:
        """One try: the answer or the error, the pause that the server asks for, and whether it was
        surely not carried out.
        """
        if self._session is None:
            self._session = requests.Session()
        limit = min(self._http.timeout_seconds, max(0.1, end - self._clock.monotonic()))
        try:
            response = self._session.request(
                method, url, params=list(params), json=data, data=form,
                headers=dict(headers, **{"User-Agent": USER_AGENT}),
                timeout=limit, allow_redirects=False, stream=True, auth=no_redirects_and_no_netrc)
            text = self._read(response, limit)
        except (requests.RequestException, OSError) as error:
            refused = _has_cause(error, NewConnectionError)
            return ApiError("%s: %s" % (what, _reason(error)),
                            "check the network, the proxy and the base URL of %s" % system, True,
                            system), None, refused
        body = _parse(response, text)
        if 200 <= response.status_code < 300:
            if body is None and text.strip():
                return ApiError("%s: the answer is not JSON" % what,
                                "check the base URL of %s; a proxy may be answering" % system, True,
                                system, response.status_code), None, False
            return Answer(response.status_code, body, response.headers), None, False
        wait = pause(response.headers, self._clock.now().timestamp())
        return (_error(system, what, response.status_code, body), wait,
                response.status_code == 429)

    def _read(self, response: requests.Response, limit: float) -> bytes:
        """The body, within the time and size that one request may take."""
        end = self._clock.monotonic() + limit
        parts, size = [], 0
        with response:
            for part in response.iter_content(65536):
                parts.append(part)
                size += len(part)
                if size > MAX_BODY or self._clock.monotonic() > end:
                    raise requests.exceptions.ReadTimeout("the body is too long or too slow")
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and "Content-Encoding" not in response.headers:
            if size < int(expected) and response.request.method != "HEAD":
                raise requests.exceptions.ChunkedEncodingError("the body ended early")
        return b"".join(parts)


def _parse(response: requests.Response, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8")) if text.strip() else None
    except (ValueError, RecursionError):
        return None


def _has_cause(error: BaseException, kind: Type[BaseException]) -> bool:
    """Whether ``kind`` is anywhere in what requests wrapped: in arguments, reasons or causes."""
    seen = 0
    pending = [error]
    while pending and seen < 20:
        seen += 1
        one = pending.pop()
        if isinstance(one, kind):
            return True
        pending += [cause for cause in (getattr(one, "reason", None), one.__cause__,
                                        one.__context__) if isinstance(cause, BaseException)]
        pending += [cause for cause in one.args if isinstance(cause, BaseException)]
    return False


def _reason(error: BaseException) -> str:
    """A network error in words that hold no URL and no header."""
    table: Sequence[Tuple[Type[BaseException], str]] = (
        (requests.exceptions.SSLError, "TLS certificate or handshake refused"),
        (requests.exceptions.ConnectTimeout, "no connection in time"),
        (requests.exceptions.Timeout, "no answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"))
    for kind, words in table:
        if isinstance(error, kind):
            return words
    if _has_cause(error, NewConnectionError):
        return "connection refused or host not found"
    if isinstance(error, (requests.exceptions.ConnectionError, OSError)):
        return "the connection broke"
    return type(error).__name__


def _error(system: str, what: str, status: int, body: Any) -> ApiError:
    words, code = server_message(body)
    message = "%s: %d%s%s" % (what, status, " code %s" % code if code is not None else "",
                              ": " + words[:QUOTED] if words else "")
    if 300 <= status < 400:
        return ApiError(message + ": redirects are not followed",
                        "set the base URL of %s to where it redirects" % system, False, system,
                        status, code)
    kind: Type[ApiError] = ApiError
    if status == 409 or (system == PAGERDUTY and code in PAGERDUTY_CONFLICTS):
        kind = ConflictError
    elif status == 404 or (system == PAGERDUTY and code in PAGERDUTY_NOT_FOUND):
        kind = NotFoundError
    return kind(message, _hint(system, status), may_retry(status), system, status, code)


def _hint(system: str, status: int) -> str:
    hints: Dict[int, str] = {
        400: "%s refused the request as malformed; its own words are in the message",
        401: "the key or token of %s is expired, revoked or wrong: renew it",
        402: "the plan of %s lacks this feature",
        403: "the key or role used at %s may not do this",
        404: "check the id: %s does not know it",
        409: "somebody changed the record in %s at the same time; it is read again",
        422: "a rule of %s forbids this: see stackflow.resolve_fields for required fields",
        429: "the rate limit of %s is used up; it is tried again later"}
    if status in hints:
        return hints[status] % system
    return "%s has trouble; it is tried again later" % system if status >= 500 else ""
