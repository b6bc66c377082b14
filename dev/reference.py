"""The reference tables of the README, made from the pack's own metadata.

`python -m dev.reference` writes them between their marks; with `--check` it writes nothing and ends
with 1 where they are stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
ENTRY = "[]"
"""Stands in a path for every item of a list."""


def load(kind: str) -> List[Dict[str, Any]]:
    """All metadata files of a folder, in the order of their names."""
    return [yaml.safe_load(path.read_text(encoding="utf-8"))
            for path in sorted((ROOT / kind).glob("*.yaml"))]


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles)] + [list(row) for row in rows]
    return "\n".join("| %s |" % " | ".join(_cell(value) for value in line) for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def keys(schema: Dict[str, Any], path: str = "") -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Path and schema of everything that has a meaning of its own, outer before inner.

    An object whose keys have none stands for them, with ``keys`` and the defaults that are not just
    the key's own name.
    """
    for name, each in schema.items():
        here = "%s.%s" % (path, name) if path else name
        listed = each.get("items", {}).get("properties")
        inner = listed or each.get("properties")
        if inner and not any("description" in one for one in inner.values()):
            defaults = {key: one["default"] for key, one in inner.items()
                        if one.get("default", key) != key}
            yield here, dict(each, keys=list(inner), default=defaults or each.get("default"))
        else:
            yield here, each
            yield from keys(inner or {}, here + ENTRY if listed else here)


def type_of(schema: Dict[str, Any]) -> str:
    """The type in words; null goes without saying."""
    given = schema["type"]
    names = [name for name in ([given] if isinstance(given, str) else given) if name != "null"]
    inner = schema.get("items", {})
    secret = schema.get("secret") or inner.get("secret")
    of = " of %ss" % inner["type"] if inner.get("type") else ""
    of += ": " + ", ".join(schema["keys"]) if "keys" in schema else ""
    return " or ".join(names) + of + (", secret" if secret else "")


def default_of(schema: Dict[str, Any]) -> str:
    value = schema.get("default")
    if value is None:
        return ""
    if isinstance(value, dict) and value:
        return ", ".join("%s: `%s`" % item for item in value.items())
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return "`%s`" % shown


def meant(schema: Dict[str, Any]) -> str:
    """The type that a key of the config should have: the first of those that StackStorm lets pass.
    """
    given = schema.get("type") or schema["anyOf"][0]["type"]
    return given if isinstance(given, str) else given[0]


def configuration() -> str:
    schema = yaml.safe_load((ROOT / "config.schema.yaml").read_text(encoding="utf-8"))
    return table(("key", "type", "default", "meaning"), [
        ("`%s`" % path, type_of(dict(each, type=meant(each))), default_of(each),
         each.get("description", "")) for path, each in keys(schema)])


def actions() -> str:
    """Parameters that are immutable are no business of a user's."""
    parts = []
    for action in load("actions"):
        given = [(name, each) for name, each in action["parameters"].items()
                 if not each.get("immutable")]
        rows = [("`%s`" % name, type_of(each), "required" if each.get("required") else
                 default_of(each), each["description"])
                for name, each in given]
        kind = " (workflow)" if action["runner_type"] == "orquesta" else ""
        part = "**`%s`**%s: %s" % (action["name"], kind, action["description"])
        if rows:
            part += "\n\n" + table(("parameter", "type", "default", "meaning"), rows)
        parts.append(part)
    return "\n\n".join(parts)


def triggers() -> str:
    parts = []
    for sensor in load("sensors"):
        for trigger in sensor.get("trigger_types", ()):
            rows = [("`%s`" % path, type_of(each), each.get("description", ""))
                    for path, each in keys(trigger["payload_schema"]["properties"])]
            parts.append("**`pagerduty_stackflow.%s`**: %s\n\n%s" % (
                trigger["name"], trigger["description"],
                table(("field", "type", "meaning"), rows)))
    return "\n\n".join(parts)


def rules() -> str:
    rows = []
    for rule in load("rules"):
        event = rule["criteria"].get("trigger.event_type", {}).get("pattern", "")
        ref = rule["action"]["ref"].partition(".")[2]
        state = rule["action"]["parameters"].get("state")
        rows.append(("`%s`" % rule["name"], "`%s`" % event if event else rule["trigger"]["type"],
                     "`%s`%s" % (ref, " `%s`" % state if state else ""), rule["description"]))
    return table(("rule", "event", "action", "does"), rows)


def sensors() -> str:
    return table(("sensor", "enabled", "does"), [
        ("`%s`" % sensor["class_name"], "yes" if sensor.get("enabled", True) else "no",
         sensor["description"]) for sensor in load("sensors")])


def aliases() -> str:
    rows = []
    for alias in load("aliases"):
        shown = [one if isinstance(one, str) else one["display"] for one in alias["formats"]]
        ref = alias["action_ref"].partition(".")[2]
        rows.append((", ".join("`%s`" % text for text in shown), "`%s`" % alias["name"],
                     "`%s`" % ref, alias["description"]))
    return table(("command", "alias", "action", "does"), rows)


PARTS: Dict[str, Callable[[], str]] = {
    "configuration": configuration, "actions": actions, "triggers": triggers, "rules": rules,
    "sensors": sensors, "aliases": aliases}


def update(text: str) -> str:
    """The text with every table made anew. Raises ValueError where the marks of one are missing."""
    for name, make in PARTS.items():
        first, last = "<!-- made: %s -->" % name, "<!-- end: %s -->" % name
        pattern = re.compile("%s\n.*?%s" % (re.escape(first), re.escape(last)), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError("the marks of %r are not there once each" % name)
        made = "%s\n\n%s\n\n%s" % (first, make(), last)
        text = pattern.sub(lambda _: made, text)
    return text


def main(arguments: Optional[Sequence[str]] = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given not in ([], ["--check"]):
        print("usage: python -m dev.reference [--check]", file=sys.stderr)
        return 2
    present = README.read_text(encoding="utf-8")
    made = update(present)
    if given:
        if made != present:
            print("README.md is stale: run python -m dev.reference", file=sys.stderr)
        return int(made != present)
    README.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
