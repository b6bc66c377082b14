"""One family of errors. Each says what failed, what the operator does next, and whether trying
again helps.
"""

from __future__ import annotations

from typing import Any, Dict, Optional


class PackError(Exception):
    """Base of every error that the pack raises on purpose.

    ``kind`` is a short constant for rules and dashboards, ``hint`` what the operator does next,
    ``retryable`` whether the same call may succeed later without anybody changing anything.
    """

    kind = "error"

    def __init__(self, message: str, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

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


class CredentialsError(PackError):
    """A key, token or secret is missing, wrong or unreadable."""

    kind = "credentials"


class ApiError(PackError):
    """A call to PagerDuty, StackFlow or AWS did not succeed.

    ``system`` names the other side, ``status`` is the HTTP status or None when no answer came,
    ``code`` the server's own error code when it sent one.
    """

    kind = "api"

    def __init__(self, message: str, hint: str = "", retryable: bool = False, system: str = "",
                 status: Optional[int] = None, code: Optional[Any] = None) -> None:
        super().__init__(message, hint, retryable)
        self.system = system
        self.status = status
        self.code = code


class NotFoundError(ApiError):
    """404, or PagerDuty's code 2100 or 5001: the record does not exist."""

    kind = "not_found"


class ConflictError(ApiError):
    """Somebody else moved the record between our read and our write: read again and decide again.
    """

    kind = "conflict"


AGAIN = "run it again: it reads both sides anew"
"""The hint of a ConflictError that the pack finds itself, right before a write."""


def words_of(error: BaseException) -> str:
    """An error of ours in its own words; of any other the type, as its text may hold anything."""
    if not isinstance(error, PackError):
        return type(error).__name__
    return "%s: %s" % (error.message, error.hint) if error.hint else error.message
