"""JSON of any depth, decoded without leaning on the interpreter's guard against recursion.

On Python 3.8 and 3.9 that guard can end the process: where a callback of the garbage collector is
what first runs into the limit, nothing stops the decoder until the interpreter aborts.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, Callable, Union

NESTING_LIMIT = 500
"""Levels that are decoded; the interpreter's own limit is 1,000, of which the callers take some."""
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
NO_MARKS = NO_BRACKETS.replace(b'"', b"")
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level up, one down, as signed bytes."""


def loads(text: Union[str, bytes], decode: Callable[[str], Any] = json.loads) -> Any:
    """The value of a JSON text; bytes are UTF-8. Raises ValueError where it is not JSON, or nested
    too deeply.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _deep(raw):
        raise ValueError("nested too deeply")
    return decode(text if isinstance(text, str) else text.decode("utf-8"))


def _deep(raw: bytes) -> bool:
    """Whether brackets open more levels than allowed; those within texts do not count."""
    if len(raw.translate(None, NO_BRACKETS)) <= NESTING_LIMIT:
        return False
    # an escaped quote ends no text; of two quotes side by side both may go
    marks = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, NO_MARKS)
    steps = b"".join(marks.replace(b'""', b"").split(b'"')[::2]).translate(STEPS)
    return (len(steps) > NESTING_LIMIT and
            max(accumulate(memoryview(steps).cast("b"))) > NESTING_LIMIT)
