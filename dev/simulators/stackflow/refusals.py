"""The one way in which the simulator says no, and the two error bodies that the vendor prints."""

from __future__ import annotations

import uuid
from typing import Any, Dict


class Refusal(Exception):
    """A request or a person's act that StackFlow does not carry out.

    ``status`` is the HTTP status of api/rate-limits-errors.html. No page lists the values of
    ``code``; the ones used here are this simulator's choice.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self, shape: str, timestamp: str) -> Dict[str, Any]:
        """Flat as on api/rate-limits-errors.html, or nested as on troubleshooting/api.html."""
        request_id = str(uuid.uuid4())
        if shape == "nested":
            return {"error": {"code": self.code, "message": self.message, "request_id": request_id,
                              "timestamp": timestamp}}
        return {"error": self.message, "code": self.code, "requestId": request_id}


def bad_request(message: str) -> Refusal:
    """400: missing required fields, invalid enum values."""
    return Refusal(400, "VALIDATION_ERROR", message)


def forbidden(message: str) -> Refusal:
    """403: insufficient role, or a token of the wrong kind (api/authentication.html)."""
    return Refusal(403, "FORBIDDEN", message)


def not_found(what: str) -> Refusal:
    """404: invalid id, deleted record."""
    return Refusal(404, "NOT_FOUND", "{} not found".format(what))
