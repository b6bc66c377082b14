"""One family of errors. Each says what failed, what the operator does next, and whether trying
again helps.
"""

from __future__ import annotations

from typing import Any, Dict, Optional


class PackError(Exception):
    """Base of every error that the pack raises on purpose.

    ``kind`` is a short constant for rules and dashboards, ``hint`` the operator's next step,
    ``retryable`` whether the same call may succeed later.
    """

    kind = "error"

    def __init__(self, message: str, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def as_result(self) -> Dict[str, Any]:
        """The ``error`` object of a failed action."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint,
                "retryable": self.retryable}


class DefectError(PackError):
    """An error of the pack itself. What the text of the exception quotes is not repeated here."""

    kind = "defect"

    def __init__(self, error: Exception) -> None:
        super().__init__("unexpected %s in the pack" % type(error).__name__,
                         "the trace is in the execution's stderr; please report it")


class ConfigError(PackError):
    """The pack's config is unusable; the message lists every problem, one per line."""

    kind = "config"


class BadInputError(PackError):
    """A parameter of an action is malformed or names something that does not exist."""

    kind = "bad_input"


class RoutingError(PackError):
    """No mapping entry leads from an assignment group to a service, so nobody would be paged."""

    kind = "routing"


class DatastoreError(PackError):
    """The StackStorm datastore did not answer where absence would have decided something."""

    kind = "datastore"


class DatastoreDeniedError(DatastoreError):
    """StackStorm answered 401 or 403: its user may not read or write the pack's keys."""

    kind = "datastore_denied"


class CredentialsError(PackError):
    """A key, token or secret is missing, wrong or unreadable."""

    kind = "credentials"


class ApiError(PackError):
    """A call to PagerDuty, StackFlow or AWS did not succeed.

    ``system`` names the other side, ``status`` is the HTTP status of its own answer, or None if
    nothing came from it, and ``code`` its own error code if it sent one. ``not_done``: the request
    was surely not carried out; ``wait``: the seconds that the server asks to wait.
    """

    kind = "api"
    code: Any = None
    not_done = False
    wait: Optional[float] = None

    def __init__(self, message: str, hint: str = "", retryable: bool = False, system: str = "",
                 status: Optional[int] = None) -> None:
        super().__init__(message, hint, retryable)
        self.system = system
        self.status = status


class NotFoundError(ApiError):
    """404, or PagerDuty's code 2100 or 5001: the record does not exist."""

    kind = "not_found"


class RoutingKeyError(ApiError):
    """PagerDuty knows no integration with this routing key: somebody deleted it."""

    kind = "routing_key"


class ConflictError(ApiError):
    """Somebody else changed the record between our read and our write: read and decide again."""

    kind = "conflict"


AGAIN = "run it again: it reads both sides anew"
"""The hint of a ConflictError that the pack finds itself, right before a write."""


def describe(error: BaseException) -> str:
    """Return an error's message and hint; of a foreign error its type, as its text may be secret.
    """
    if not isinstance(error, PackError):
        return type(error).__name__
    return "%s: %s" % (error.message, error.hint) if error.hint else error.message
