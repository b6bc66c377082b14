"""The templates of a site, as Jinja2 in a sandbox; the shipped texts are plain Python.

Delimiters are `[[ value ]]` and `[% statement %]`: StackStorm itself renders `{{ }}` in a config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from .routing import entry_of_service
from .settings import ServiceMapping

if TYPE_CHECKING:
    from .pack import Pack
    from .pairs import Pair

OUTPUT_LIMIT = 32 * 1024
"""Characters that a template may produce; PagerDuty and StackFlow cut or refuse more."""
LOOPS = OUTPUT_LIMIT
"""Numbers that `range` may give in one template, all loops together."""


def render(source: Optional[str], shipped: str, name: str,
           values: Mapping[str, Any]) -> Tuple[str, List[str]]:
    """Return the text of a site's template, or the shipped text if that is missing or broken; and
    warnings.
    """
    if source is None or not any(opening in source for opening in ("[[", "[%", "[#")):
        return shipped if source is None else source, []
    try:
        return _render(source, values), []
    except Exception as error:  # a template can raise anything
        return shipped, ["%s is broken (%s: %s); %s" % (
            name, type(error).__name__, str(error)[:200],
            "the shipped text was used" if shipped else "it was left out")]


def _render(source: str, values: Mapping[str, Any]) -> str:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """The sandbox, without what makes much out of little."""

        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """Numbers may be multiplied, and nothing else."""
            if operator == "**" or not all(isinstance(one, (int, float)) for one in (left, right)):
                raise SecurityError("%s is not allowed here" % operator)
            return left * right

    environment = Environment(
        variable_start_string="[[", variable_end_string="]]", block_start_string="[%",
        block_end_string="%]", comment_start_string="[#", comment_end_string="#]",
        undefined=StrictUndefined)
    left = LOOPS

    def bounded_range(*bounds: int) -> range:
        nonlocal left
        left -= len(range(*bounds))
        if left < 0:
            raise ValueError("more than %d rounds of loops" % LOOPS)
        return range(*bounds)

    environment.globals["range"] = bounded_range
    parts, size = [], 0
    for part in environment.from_string(source).generate(**values):
        parts.append(part)
        size += len(part)
        if size > OUTPUT_LIMIT:
            raise ValueError("more than %d characters" % OUTPUT_LIMIT)
    return "".join(parts)


def public_mapping(entry: ServiceMapping) -> Mapping[str, Any]:
    """Return a mapping entry as templates see it: without its keys."""
    return {"pagerduty_service_id": entry.service_id, "pagerduty_service_name": entry.service_name,
            "stackflow_assignment_group": entry.assignment_group,
            "stackflow_category": entry.category}


def template_values(pack: Pack, pair: Pair) -> Dict[str, Any]:
    """Return the variables of every template: `incident`, `pagerduty` and `mapping`."""
    service = pair.incident.service_id if pair.incident else pair.link.there.get("place")
    entry = entry_of_service(pack.settings, service)
    shown = {name: value for name, value in pair.incident._asdict().items()
             if not hasattr(value, "tzinfo")} if pair.incident else None
    return {"incident": dict(pair.record.fields) if pair.record else None, "pagerduty": shown,
            "mapping": public_mapping(entry) if entry else None}
