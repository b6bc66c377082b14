"""JSON of any depth, decoded without leaning on the interpreter's guard against recursion.

On Python 3.8 and 3.9 that guard can end the process: where a callback of the garbage collector is
what first runs into the limit, nothing stops the decoder until the interpreter aborts.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Union

NESTING_LIMIT = 200
"""Levels that are decoded in any case; three times as many never are."""
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STRING = rb'(?s)"(?:[^"\\]+|\\.)*"?'


def loads(text: Union[str, bytes], decode: Callable[[str], Any] = json.loads) -> Any:
    """The value of a JSON text; bytes are UTF-8. Raises ValueError where it is not JSON, or nested
    too deeply.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _deep(raw) and _deep(re.sub(STRING, b"", raw)):  # a text may hold any number of brackets
        raise ValueError("nested too deeply")
    return decode(text if isinstance(text, str) else text.decode("utf-8"))


def _deep(text: bytes) -> bool:
    """Whether brackets are left when pairs without content are taken out again and again."""
    brackets, before = text.translate(None, NO_BRACKETS), b""
    for _ in range(NESTING_LIMIT):
        if len(brackets) <= NESTING_LIMIT or len(brackets) == len(before):
            break
        before, brackets = brackets, brackets.replace(b"[]", b"").replace(b"{}", b"")
    return len(brackets) > NESTING_LIMIT
