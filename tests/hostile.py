"""Made-up input: whatever JSON can hold, and what looks like a delivery."""

from hypothesis import strategies as st

from pagerduty_stackflow.stackflow.records import TEXTS, TIMES
from pagerduty_stackflow.stackflow.webhooks import CHANGES

AT = "2026-01-05T10:00:00Z"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (st.lists(inner, max_size=3) |
                   st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8)
keys = st.sampled_from(TEXTS + TIMES + (
    "event", "event_type", "detail-type", "incident", "data", "detail", "timestamp", "sla",
    "previous", "note", "comment", "policy", "elapsed_percent", "text", "author"))
names = st.sampled_from(CHANGES + (
    "incident.created", "sla.breach", "sla.warning", "nonsense"))
documents = st.recursive(
    anything | names | st.sampled_from(("new", "resolved", "INC0001234", AT)),
    lambda inner: st.dictionaries(keys, inner, max_size=4), max_leaves=10)


def replaced(value, path, other):
    """A copy of the value with something else at the path, which leads through objects and lists.
    """
    if path and isinstance(value, dict) and value:
        key = sorted(value)[path[0] % len(value)]
        return dict(value, **{key: replaced(value[key], path[1:], other)})
    if path and isinstance(value, list) and value:
        at = path[0] % len(value)
        return value[:at] + [replaced(value[at], path[1:], other)] + value[at + 1:]
    return other
