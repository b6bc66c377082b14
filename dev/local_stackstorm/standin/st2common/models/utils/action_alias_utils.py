"""Stands for ``st2common.models.utils.action_alias_utils``: commands against an alias' formats."""

from __future__ import annotations

import re

_VALUE = r'"[^"]*"|\'[^\']*\'|\{.+?\}'
_PAIR = re.compile(r"(?:^|\s)\s*(\S+?)\s*=(%s|\S+)\s*$" % _VALUE, re.DOTALL)
_FIELD = re.compile(r"(\s*)\{\{\s*(\w+)\s*(?:=\s*(%s|.*?)\s*)?\}\}" % _VALUE, re.DOTALL)


class ParseException(ValueError):
    """The command does not fit the format."""


def extract_parameters(format_str: str, param_stream: str) -> dict:
    """Parameters of a command by a format, all text. Raises ``ParseException``.

    ``key=value`` at the end of the command is cut off and becomes a parameter, whatever the format.
    Quotes around a ``{{ field }}`` are dropped; a group of the format's own keeps them.
    """
    text, pairs, defaults, fields = param_stream, {}, {}, set()  # type: str, dict, dict, set
    pair = _PAIR.search(text)
    while pair:
        pairs[pair.group(1)] = _bare(pair.group(2))
        text = text[:pair.start()]
        pair = _PAIR.search(text)

    def pattern(field: re.Match) -> str:
        blank, name, default = field.groups()
        fields.add(name)
        group = "%s(?P<%s>%s|.+?)" % (blank, name, _VALUE)
        if default is None:
            return group
        defaults[name] = _bare(default)
        return "(?:%s)?" % group

    regex = _FIELD.sub(pattern, format_str)
    start = "" if regex.startswith(("^", r"\A")) else r"^\s*"
    end = "" if regex.endswith(("$", r"\Z")) else r"\s*$"
    match = re.compile(start + regex + end, re.DOTALL).search(" %s " % text)
    if not match:
        raise ParseException("%r does not fit %r" % (param_stream, format_str))
    found = {name: _bare(value or defaults.get(name)) if name in fields else value
             for name, value in match.groupdict().items()}
    found.update(pairs)
    if format_str and not text.strip() and not any(found.values()):
        raise ParseException("no value and no default")
    return found


def _bare(value: str | None) -> str | None:
    return re.sub(r"\A[\"']|[\"']\Z", "", value) if value else value
