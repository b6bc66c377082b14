"""One way to make an HTTP call: one session, one table of what is tried again, one family of
errors.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
import threading
from typing import (Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type,
                    TypeVar, Union)
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.timeout import Timeout

from .answers import error_of, may_retry, pause, pause_before_next
from .bounded_json import loads
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
    """A write got no usable answer, so it may have been done: read the record before trying again.
    """

    kind = "outcome_unknown"


Written = TypeVar("Written")


def write_once(write: Callable[[], Written], find: Callable[[], Optional[Written]]) -> Written:
    """What ``write`` returns, or ``find`` where its answer was lost and it is there: it is looked up
    before it is written a second time. OutcomeUnknownError where it is not there after that either.
    """
    try:
        return write()
    except OutcomeUnknownError:
        found = find()
    if found is not None:
        return found
    try:
        return write()
    except OutcomeUnknownError:
        found = find()
        if found is None:
            raise
        return found


class Answer(NamedTuple):
    """A successful answer; ``body`` is the parsed JSON, or None where there was none."""

    status: int
    body: Any
    headers: Mapping[str, str]


def no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An `auth` that changes nothing: it keeps requests from putting a netrc password over our
    header.
    """
    return request


class _Failure(NamedTuple):
    """One try that failed; ``not_done``: it was surely not carried out. ``wait``: seconds that the
    server asks to wait before the next.
    """

    error: ApiError
    wait: Optional[float] = None
    not_done: bool = False


class Transport:
    """Makes the calls of one action run, or of one poll; ``requests`` counts what was sent.

    A host that says that its rate limit is used up is left alone until the limit is renewed: a 429
    would cost other clients of the account theirs.
    """

    def __init__(self, http: HttpSettings, clock: Clock,
                 session: Optional[requests.Session] = None) -> None:
        self._http = http
        self._clock = clock
        self._session = session
        self._resume: Dict[str, float] = {}
        self.requests = 0
        self.renew()

    def renew(self) -> None:
        """Begin a new budget of RUN_SECONDS: a sensor lives on from poll to poll."""
        self._end = self._clock.monotonic() + RUN_SECONDS

    def request(self, system: str, method: str, url: str, headers: Mapping[str, str],
                params: Sequence[Tuple[str, str]] = (), data: Any = None,
                form: Optional[Mapping[str, str]] = None, repeatable: bool = True) -> Answer:
        """Make a call, with its retries, within `http.total_seconds`.

        A call that is not ``repeatable`` is tried again only where it was surely not carried out
        (refused connection, 429); otherwise OutcomeUnknownError says that it has to be looked up.
        Raises ApiError or a subclass; never shows a header, a query value or a body of ours.
        """
        if self._session is None:
            self._session = requests.Session()
        host, path = urlsplit(url)[1:3]
        what = "%s %s %s" % (system, method, path)
        options = {"headers": dict(headers, **{"User-Agent": USER_AGENT}), "params": list(params),
                   "json": data, "data": form}
        secrets = _secrets(headers, data, form)
        self._wait_for_limit(host)
        end = min(self._clock.monotonic() + self._http.total_seconds, self._end)
        error = ApiError("%s: the time of this run is used up" % what,
                         "run it again: it goes on from what is written by then", True, system)
        tries = 0
        while True:
            left = end - self._clock.monotonic()
            if left <= 0:
                raise error
            tries += 1
            result = self._attempt(system, what, method, url, options, secrets,
                                   min(left, self._http.timeout_seconds))
            if isinstance(result, Answer):
                self._note_limit(host, result.headers)
                return result
            error = result.error
            if not repeatable and not result.not_done:
                raise OutcomeUnknownError(error.message, error.hint, True, system, error.status,
                                          error.code)
            if not error.retryable:
                raise error
            delay = result.wait or random.uniform(0, min(MAX_WAIT, 2.0 ** tries))
            if self._clock.monotonic() + delay >= end:
                if tries > 1:
                    error.message += " (%d tries)" % tries
                    error.args = (error.message,)
                raise error
            self._clock.sleep(delay)

    def _note_limit(self, host: str, headers: Mapping[str, str]) -> None:
        wait = pause_before_next(headers, self._clock.now().timestamp())
        if wait is not None:
            self._resume[host] = self._clock.monotonic() + min(wait, LONGEST_WINDOW)

    def _wait_for_limit(self, host: str) -> None:
        """Wait until a limit that is used up is renewed, unless the run ends before. The call's own
        time begins after that.
        """
        now = self._clock.monotonic()
        resume = self._resume.pop(host, now)
        if now < resume < self._end:
            self._clock.sleep(resume - now)

    def _attempt(self, system: str, what: str, method: str, url: str, options: Dict[str, Any],
                 secrets: Sequence[str], limit: float) -> Union[Answer, _Failure]:
        """One try of at most ``limit`` seconds. Errors are made here and raised by the caller, so
        that no exception of requests, which holds URLs and headers, is chained to them.
        """
        assert self._session is not None
        self.requests += 1
        end = self._clock.monotonic() + limit
        try:
            response = self._session.request(method, url, **dict(
                options, timeout=Timeout(total=limit), allow_redirects=False, stream=True,
                auth=no_netrc))
            text = _read(response, max(0.0, end - self._clock.monotonic()))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return _network_failure(system, what, error)
        status = response.status_code
        if text is None:
            return _Failure(ApiError(
                "%s: the answer is longer than %d bytes" % (what, MAX_BODY),
                "check the base URL of %s; a proxy may be answering" % system, False, system,
                status))
        body = _parse(text)
        if 200 <= status < 300:
            if body is None and text.strip():
                return _Failure(ApiError(
                    "%s: the answer is not JSON" % what,
                    "check the base URL of %s; a proxy may be answering" % system, True, system,
                    status))
            return Answer(status, body, response.headers)
        wait = pause(status, response.headers, self._clock.now().timestamp())
        return _Failure(error_of(system, what, status, body, secrets), wait,
                        not_done=status == 429 or not may_retry(status))


def _read(response: requests.Response, limit: float) -> Optional[bytes]:
    """The body, within ``limit`` seconds; None where it is too long."""
    parts, size = [], 0
    with response, _Deadline(response, limit):
        for part in response.iter_content(65536):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY:
                return None
    expected = response.headers.get("Content-Length", "")
    if expected.isdecimal() and response.raw.tell() < int(expected):  # urllib3 1 does not look
        raise requests.exceptions.ChunkedEncodingError("the body ended early")
    return b"".join(parts)


class _Deadline:
    """Cuts a connection off after so many seconds, as the timeout of a socket begins anew with
    every byte that comes; raises ReadTimeout then.
    """

    def __init__(self, response: requests.Response, seconds: float) -> None:
        self._passed = False
        self._twin: Optional[socket.socket] = None
        self._timer = threading.Timer(seconds, self._cut_off)
        self._timer.daemon = True
        try:
            self._twin = socket.socket(fileno=os.dup(response.raw.fileno()))
        except (OSError, ValueError, AttributeError):
            pass  # read to its end already, or no socket at all

    def __enter__(self) -> None:
        if self._twin is not None:
            self._timer.start()

    def __exit__(self, *_: Any) -> None:
        if self._twin is not None:
            self._timer.cancel()
            self._timer.join()
            self._twin.close()
        if self._passed:
            raise requests.exceptions.ReadTimeout("the body is too slow")

    def _cut_off(self) -> None:
        self._passed = True
        try:
            if self._twin is not None:
                self._twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster


def _parse(text: bytes) -> Any:
    try:
        return loads(text) if text.strip() else None
    except ValueError:
        return None


def _secrets(headers: Mapping[str, str], data: Any, form: Optional[Mapping[str, str]]) -> List[str]:
    """What a server must not echo into an error: gateways are known to quote the credentials."""
    found = [headers.get("Authorization", "").rpartition(" ")[2]]
    found += [found[0].rpartition("token=")[2]]
    if isinstance(data, dict):
        found += [str(data.get("routing_key")), *map(str, data.get("AuthParameters", {}).values())]
    found += list((form or {}).values())
    return sorted((one for one in found if len(one) >= 8), key=len, reverse=True)


def _network_failure(system: str, what: str, error: Exception) -> _Failure:
    if _has_cause(error, ssl.SSLCertVerificationError):
        return _Failure(ApiError(
            "%s: the TLS certificate is not trusted" % what,
            "check the base URL of %s; for a CA of your own set REQUESTS_CA_BUNDLE to its file" %
            system, False, system), not_done=True)
    if isinstance(error, ValueError) or not isinstance(error, NETWORK):
        words = str(error) if type(error) is OSError else type(error).__name__
        return _Failure(ApiError(
            "%s: the request cannot be made (%s)" % (what, words),
            "look for characters that do not belong there in the key or token, the e-mail and the "
            "base URL of %s, and at REQUESTS_CA_BUNDLE" % system, False, system), not_done=True)
    not_done = (_has_cause(error, NewConnectionError) or
              isinstance(error, requests.exceptions.ConnectTimeout))
    return _Failure(ApiError("%s: %s" % (what, _reason(error)),
                             "check the network, the proxy and the base URL of %s" % system, True,
                             system), not_done=not_done)


NETWORK = (requests.exceptions.ConnectionError, requests.exceptions.Timeout,
           requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError,
           HTTPError, ConnectionError, socket.timeout, ssl.SSLError)


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
