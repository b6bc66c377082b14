"""Check signatures over raw bytes, and read JSON that may hold anything.

StackStorm silently drops a payload that its database cannot hold, so :func:`clean` removes that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from .errors import PackError
from .incidents import format_time

DIGEST = re.compile(r"[0-9a-f]{64}")
DEPTH_LIMIT = 40  # levels of nesting that are kept; MongoDB refuses more than 100
INTEGER_LIMIT = 2 ** 63  # MongoDB's integers have 64 bits
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # not tab, LF and CR


DECODER = json.JSONDecoder(parse_int=lambda digits: int(digits[:21]), parse_constant=lambda _: None)
"""Reading more digits would take too long; :func:`clean` makes null of 21."""


class SignatureMissing(PackError):
    """The header is missing or malformed: answer 401."""

    kind = "signature_missing"


class SignatureMismatch(PackError):
    """A well-formed header matches no secret: answer 503, so that the delivery comes again."""

    kind = "signature_mismatch"


class BadDelivery(PackError):
    """A genuine body that is not a JSON object: answer 400."""

    kind = "bad_delivery"


def check_signature(body: bytes, header: Optional[str], prefixes: Sequence[str],
                    secrets: Sequence[str]) -> int:
    """Return which secret signed the body, counted from 1.

    The header holds lower-case hex HMAC-SHA256 digests of the raw body, separated by commas, each
    behind one of ``prefixes``; anything else in it is ignored. Raises SignatureMissing if it holds
    no digest, SignatureMismatch if none matches, BadDelivery for an empty body.
    """
    entries = [entry.strip() for entry in (header or "").split(",")]
    digests = [entry[len(prefix):].encode() for entry in entries for prefix in prefixes
               if entry.startswith(prefix) and DIGEST.fullmatch(entry[len(prefix):])]
    number = _number(digests, secrets, lambda secret: hmac.new(
        secret, body, hashlib.sha256).hexdigest().encode())
    if not body:
        raise BadDelivery("the body is empty")
    return number


def check_shared_secret(header: Optional[str], secrets: Sequence[str]) -> int:
    """Return which secret the header holds; raises as :func:`check_signature` does."""
    given = header.encode("latin-1", "replace") if header else b""  # the bytes as they came
    return _number([given] if given else [], secrets, bytes)


def _number(given: List[bytes], secrets: Sequence[str], proof: Callable[[bytes], bytes]) -> int:
    if not given:
        raise SignatureMissing("the header with the signature or secret is missing or malformed")
    found = 0
    for number, secret in enumerate(secrets, start=1):
        expected = proof(secret.encode("utf-8", "surrogatepass"))
        for one in given:  # all of them, so that the time taken tells nothing
            if hmac.compare_digest(one, expected) and secret and not found:
                found = number
    if not found:
        raise SignatureMismatch("the signature or secret matches none of the configured ones")
    return found


def loads(text: Union[str, bytes], decode: Callable[[Any], Any] = json.loads) -> Any:
    """Decode JSON. Raises ValueError for all that cannot be decoded."""
    try:
        return decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def load_object(body: bytes, cleaned: bool = True) -> Dict[str, Any]:
    """Return the JSON object of a body, :func:`clean` if not told otherwise.

    Raises BadDelivery for anything else.
    """
    try:
        value = loads(body.decode("utf-8", "replace").lstrip("\ufeff"), DECODER.decode)
    except ValueError:
        raise BadDelivery("the body is not JSON, or nested too deeply") from None
    if not isinstance(value, dict):
        raise BadDelivery("the body is not a JSON object")
    return as_object(clean(value)) if cleaned else value


def clean(value: Any, depth: int = DEPTH_LIMIT) -> Any:
    """Return a value without what a database would refuse, which goes or becomes "?" or null."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return CONTROLS.sub("", value).encode("utf-8", "replace").decode()
    if isinstance(value, dict) and depth:
        return {clean(str(key)): clean(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list) and depth:
        return [clean(inner, depth - 1) for inner in value]
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        return value
    return None


def text(value: Any) -> Optional[str]:
    """Return a string that is not blank, or an integer in digits; None for anything else."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def time_text(value: Any) -> Optional[str]:
    """Return a time as it came, or seconds or milliseconds since 1970 as ISO 8601 UTC."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return text(value)
    try:
        seconds = value / 1000 if abs(value) >= 1e11 else value
        return format_time(datetime.fromtimestamp(seconds, timezone.utc))
    except (OverflowError, ValueError, OSError):
        return None


def as_object(value: Any) -> Dict[str, Any]:
    """Return the object itself, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def digest_id(body: bytes) -> str:
    """Return an id for a delivery that brings none: equal bodies have equal ids."""
    return "sha256:" + hashlib.sha256(body).hexdigest()
