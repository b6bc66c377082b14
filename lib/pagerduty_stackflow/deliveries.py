"""What the webhooks of both sides have in common: signatures over raw bytes, and JSON that may hold
anything.

What comes out of here can be stored: StackStorm drops a payload silently that its database cannot
hold.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Optional, Sequence, Union

from .errors import PackError
from .incidents import format_time

DIGEST = re.compile(r"[0-9a-f]{64}")
DEPTH_LIMIT = 40
"""Levels of nesting that are kept; MongoDB refuses documents of more than 100."""
INTEGER_LIMIT = 2 ** 63
"""MongoDB's integers have 64 bits."""
DIGITS_LIMIT = 19
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tab, line feed and carriage return."""


def _integer(digits: str) -> Optional[int]:
    return int(digits) if len(digits) <= DIGITS_LIMIT + 1 else None


DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=lambda _: None)


class SignatureMissing(PackError):
    """The header is missing or malformed: answer 401."""

    kind = "signature_missing"


class SignatureMismatch(PackError):
    """A well-formed header that matches no secret of ours: answer 503, so that the delivery comes
    again.
    """

    kind = "signature_mismatch"


class BadDelivery(PackError):
    """A genuine body that is not a JSON object: answer 400."""

    kind = "bad_delivery"


def check_signature(body: bytes, header: Optional[str], prefixes: Sequence[str],
                    secrets: Sequence[str]) -> int:
    """Which secret signed the body, counted from 1.

    The header holds lower-case hex HMAC-SHA256 digests of the raw body, separated by commas, each
    behind one of ``prefixes``; anything else in it is ignored. Raises SignatureMissing where it
    holds no digest, SignatureMismatch where none matches, BadDelivery for an empty body.
    """
    entries = [entry.strip() for entry in (header or "").split(",")]
    digests = [entry[len(prefix):] for entry in entries for prefix in prefixes
               if entry.startswith(prefix) and DIGEST.fullmatch(entry[len(prefix):])]
    if not digests:
        raise SignatureMissing("the signature header is missing or malformed")
    found = 0
    for number, secret in enumerate(secrets, start=1):
        expected = hmac.new(_bytes(secret), body, hashlib.sha256).hexdigest()
        for digest in digests:  # all of them, so that the time taken tells nothing
            if hmac.compare_digest(digest, expected) and secret and not found:
                found = number
    if not found:
        raise SignatureMismatch("the signature matches none of the secrets")
    if not body:
        raise BadDelivery("the body is empty")
    return found


def check_shared_secret(header: Optional[str], secrets: Sequence[str]) -> int:
    """Which secret the header holds, counted from 1; raises as :func:`check_signature` does."""
    if not header:
        raise SignatureMissing("the header with the shared secret is missing")
    given = header.encode("latin-1", "replace")  # the bytes as they came
    found = 0
    for number, secret in enumerate(secrets, start=1):
        if hmac.compare_digest(given, _bytes(secret)) and secret and not found:
            found = number
    if not found:
        raise SignatureMismatch("the shared secret is none of ours")
    return found


def loads(text: Union[str, bytes], decode: Callable[[Any], Any] = json.loads) -> Any:
    """Decode JSON. Raises ValueError for all that cannot be decoded."""
    try:
        return decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def load_object(body: bytes) -> Dict[str, Any]:
    """The JSON object of a body, :func:`clean`; raises BadDelivery for anything else."""
    cleaned: Dict[str, Any] = clean(load_unclean(body))
    return cleaned


def load_unclean(body: bytes) -> Dict[str, Any]:
    """Like :func:`load_object`, for who cleans what is taken of it."""
    try:
        value = loads(body.decode("utf-8", "replace").lstrip("\ufeff"), DECODER.decode)
    except ValueError:
        raise BadDelivery("the body is not JSON, or nested too deeply") from None
    if not isinstance(value, dict):
        raise BadDelivery("the body is not a JSON object")
    return value


def clean(value: Any, depth: int = DEPTH_LIMIT) -> Any:
    """Return a value of JSON without what a database or another parser would refuse: control
    characters go, half a surrogate pair becomes "?", other parts become null.
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return CONTROLS.sub("", value).encode("utf-8", "replace").decode()  # half a pair: "?"
    if value is None:
        return None
    if isinstance(value, dict):
        return None if not depth else {_name(str(key)): clean(inner, depth - 1)
                                       for key, inner in value.items()}
    if isinstance(value, list):
        return None if not depth else [clean(inner, depth - 1) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -INTEGER_LIMIT <= value < INTEGER_LIMIT else None
    return None


def _name(key: str) -> str:
    return key if key.isidentifier() else str(clean(key))


def text(value: Any) -> Optional[str]:
    """A string that is not blank, or an integer in digits; None for anything else."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def time_text(value: Any) -> Optional[str]:
    """A time as it came, or seconds or milliseconds since 1970 as ISO 8601 UTC; None for anything
    else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return text(value)
    try:
        seconds = value / 1000 if abs(value) >= 1e11 else value
        return format_time(datetime.fromtimestamp(seconds, timezone.utc))
    except (OverflowError, ValueError, OSError):
        return None


def as_object(value: Any) -> Dict[str, Any]:
    """The object itself, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def as_object_or_none(value: Any) -> Optional[Dict[str, Any]]:
    """The object itself, or None in place of anything else."""
    return value if isinstance(value, dict) else None


def digest_id(body: bytes) -> str:
    """An id for a delivery that brings none: equal bodies have equal ids."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")
