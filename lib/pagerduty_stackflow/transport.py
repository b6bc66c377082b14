"""HTTP calls: one session, one time budget, one rule of what is tried again."""

from __future__ import annotations

import random
import re
import ssl
from typing import (Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type,
                    TypeVar, Union)
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util.timeout import Timeout

from .answers import PROXY_HINT, error_of, may_retry, page_error, parse, pause, pause_before_next
from .clock import Clock
from .errors import ApiError
from .settings import HttpSettings

RUN_SECONDS = 540
"""Budget of one action run, under StackStorm's own 600 s for a Python action, and of one poll."""
MAX_WAIT = 30.0
"""Longest pause in seconds between two tries when the server names none."""
LONGEST_WINDOW = 61.0
"""Longest pause in seconds for a rate limit that is used up: both sides count by the minute."""
MAX_BODY = 32 * 1024 * 1024
USER_AGENT = "stackstorm-pagerduty_stackflow"


class OutcomeUnknownError(ApiError):
    """A write got no usable answer, so it may have been done: read the record before a retry."""

    kind = "outcome_unknown"


Written = TypeVar("Written")


def write_once(write: Callable[[], Written], find: Callable[[], Optional[Written]],
               look_first: bool = False) -> Written:
    """Return what ``write`` returns, or what ``find`` finds after its answer was lost.

    It looks before each further write, and with ``look_first`` before the first. Raises
    OutcomeUnknownError if two writes got no answer and nothing is there.
    """
    found = find() if look_first else None
    lost: List[OutcomeUnknownError] = []
    while found is None:
        if len(lost) == 2:
            raise lost[-1]
        try:
            return write()
        except OutcomeUnknownError as error:
            lost.append(error)
            found = find()
    return found


class Call(NamedTuple):
    """A request. If it is not ``repeatable``, a second try might do the same thing twice."""

    system: str
    method: str
    url: str
    headers: Mapping[str, str] = {}
    params: Sequence[Tuple[str, str]] = ()
    json: Any = None
    form: Optional[Mapping[str, str]] = None
    repeatable: bool = True

    @property
    def name(self) -> str:
        """Return its name in errors, without header, query and body."""
        return "%s %s %s" % (self.system, self.method, urlsplit(self.url).path)

    @property
    def secrets(self) -> List[str]:
        """Return the values that no error may quote: gateways echo credentials."""
        body = self.json if isinstance(self.json, dict) else {}
        token = self.headers.get("Authorization", "").replace("token=", " ").rpartition(" ")[2]
        found = [token, body.get("routing_key"), *body.get("AuthParameters", {}).values(),
                 *(self.form or {}).values()]
        return sorted((str(one) for one in found if one and len(one) >= 8), key=len, reverse=True)


class Transport:
    """Make the calls of one action run, or of one poll; ``requests`` counts them.

    If a host's rate limit is used up, the next call waits until it is renewed: a 429 would cost
    other clients of the account theirs.
    """

    def __init__(self, http: HttpSettings, clock: Clock,
                 session: Optional[requests.Session] = None) -> None:
        self._http = http
        self._clock = clock
        self._session = session or requests.Session()
        self._resume: Dict[str, float] = {}
        self.requests = 0
        self.renew()

    def renew(self) -> None:
        """Begin a new budget of RUN_SECONDS: a sensor lives on from poll to poll."""
        self._end = self._clock.monotonic() + RUN_SECONDS

    def request(self, call: Call) -> Any:
        """Make a call, with its retries, within `http.total_seconds`, and return its JSON.

        A call that is not repeatable is tried again only if it was surely not carried out; else it
        raises OutcomeUnknownError. Raises ApiError or a subclass.
        """
        start = self._clock.monotonic()
        resume = self._resume.pop(urlsplit(call.url).netloc, start)
        if start < resume < self._end:
            self._clock.sleep(resume - start)
        end = min(self._clock.monotonic() + self._http.total_seconds, self._end)
        error: Optional[ApiError] = ApiError(
            "%s: the time of this run is used up" % call.name,
            "run it again: it continues from what is written by then", True, call.system)
        tries = 0
        while self._clock.monotonic() < end:
            tries += 1
            body, error = self._attempt(call, min(end - self._clock.monotonic(),
                                                  self._http.timeout_seconds))
            if error is None:
                return body
            if not call.repeatable and not error.not_done:
                raise OutcomeUnknownError(error.message, error.hint, True, call.system,
                                          error.status)
            delay = error.wait or random.uniform(0, min(MAX_WAIT, 2.0 ** tries))
            if not error.retryable or self._clock.monotonic() + delay >= end:
                break
            self._clock.sleep(delay)
        assert error is not None
        if tries > 1:
            error.message += " (%d tries)" % tries
        raise error

    def _attempt(self, call: Call, seconds: float) -> Tuple[Any, Optional[ApiError]]:
        """Make one try of at most ``seconds`` and return its JSON or its error. Raised here, the
        error would be chained to an exception of requests, which holds URLs and headers.
        """
        self.requests += 1
        end = self._clock.monotonic() + seconds
        try:
            response = self._session.request(
                call.method, call.url, params=list(call.params), json=call.json, data=call.form,
                headers=dict(call.headers, **{"User-Agent": USER_AGENT}),
                auth=lambda request: request,  # else requests puts a password of netrc over ours
                timeout=Timeout(total=seconds), allow_redirects=False, stream=True)
            text = self._read(response, end)
        except (requests.RequestException, HTTPError, OSError, ValueError) as broken:
            return None, _network_error(call, broken)
        status, now = response.status_code, self._clock.now().timestamp()
        wait = pause_before_next(response.headers, now)
        if wait is not None:
            self._resume[urlsplit(call.url).netloc] = (
                self._clock.monotonic() + min(wait, LONGEST_WINDOW))
        body = None if text is None else parse(text)
        if text is None or (200 <= status < 300 and text.strip() and body is None):
            return None, ApiError("%s: the answer is %s" % (
                call.name, "not JSON" if text is not None else "longer than %d bytes" % MAX_BODY),
                "check the base URL of %s; a proxy may be answering" % call.system,
                text is not None, call.system, status)
        if 200 <= status < 300:
            return body, None
        page = text.lstrip().startswith(b"<") and status >= 400 and not may_retry(status)
        error = (page_error(call.system, call.name, status) if page else
                 error_of(call.system, call.name, status, body, call.secrets))
        error.wait = pause(status, response.headers, now)
        error.not_done = status == 429 or not may_retry(status)
        return None, error

    def _read(self, response: requests.Response, end: float) -> Optional[bytes]:
        """Read a body; None if it is too long. The time is looked at after each part."""
        parts, size = [], 0
        with response:
            for part in response.iter_content(65536):
                parts.append(part)
                size += len(part)
                if size > MAX_BODY:
                    return None
                if self._clock.monotonic() >= end:
                    raise requests.exceptions.ReadTimeout("the body is too slow")
        expected = response.headers.get("Content-Length", "")
        if expected.isdecimal() and response.raw.tell() < int(expected):  # urllib3 1 does not look
            raise requests.exceptions.ChunkedEncodingError("the body ended early")
        return b"".join(parts)


_CERTIFICATE = "check the base URL of %s; for a CA of your own set REQUESTS_CA_BUNDLE to its file"
_CHARACTERS = ("look for characters that do not belong there in the key or token, the e-mail and "
               "the base URL of %s, and at REQUESTS_CA_BUNDLE")
_WAY = "check the network, the proxy and the base URL of %s"
_Exceptions = Union[Type[BaseException], Tuple[Type[BaseException], ...]]
_BROKEN: Sequence[Tuple[_Exceptions, str, str, bool, bool]] = (
    (ssl.SSLCertVerificationError, "the TLS certificate is not trusted", _CERTIFICATE, False, True),
    (ValueError, "the request cannot be made (%s)", _CHARACTERS, False, True),
    ((NewConnectionError, requests.exceptions.ConnectTimeout),
     "connection refused, host not found or not reached in time", _WAY, True, True),
    (requests.exceptions.SSLError, "TLS certificate or handshake refused", _WAY, True, False),
    ((requests.exceptions.Timeout, ReadTimeoutError), "no answer in time", _WAY, True, False),
    (requests.exceptions.ChunkedEncodingError, "the answer broke off", _WAY, True, False),
    ((requests.exceptions.ConnectionError, requests.exceptions.ContentDecodingError, HTTPError,
      ConnectionError, ssl.SSLError), "the connection broke", _WAY, True, False),
    (Exception, "the request cannot be made (%s)", _CHARACTERS, False, True))
"""Exceptions, what to say, what to do, whether to try again, and whether the request was surely not
carried out. The first row that fits counts.
"""


def _network_error(call: Call, error: Exception) -> ApiError:
    """Explain an exception in words that hold no URL and no header."""
    tunnel = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    if tunnel:
        words, hint, not_done = "the proxy refuses the connection: %s", PROXY_HINT, True
        name, retryable = tunnel.group(1), may_retry(int(tunnel.group(1)))
    else:
        causes = _causes(error)
        words, hint, retryable, not_done = next(
            row[1:] for row in _BROKEN if any(isinstance(one, row[0]) for one in causes))
        name = str(error) if type(error) is OSError else type(error).__name__
    made = ApiError("%s: %s" % (call.name, words.replace("%s", name)),
                    hint.replace("%s", call.system), retryable, call.system)
    made.not_done = not_done
    return made


def _causes(error: BaseException) -> List[BaseException]:
    """Return an exception and those that requests and urllib3 wrapped in it."""
    found = [error]
    for one in found:  # it grows meanwhile
        found += [inner for inner in (*one.args, getattr(one, "reason", None))
                  if isinstance(inner, BaseException) and inner not in found]
    return found
