"""From an assignment group to the service that pages it, and back."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional

from .errors import BadInputError, RoutingError
from .fields import same_name
from .incidents import priority_named
from .settings import EscalationMapping, ServiceMapping, Settings

CRITICAL = "critical"


class Route(NamedTuple):
    """The chosen mapping entry, and why in words."""

    mapping: ServiceMapping
    reason: str


def entries_of_group(settings: Settings, group: Optional[str]) -> List[ServiceMapping]:
    """Return the entries of an assignment group, in the order of the config."""
    return [entry for entry in settings.service_mapping if same_name(entry.assignment_group, group)]


def entries_for(settings: Settings, group: Optional[str]) -> List[ServiceMapping]:
    """Return the entries of a group, or all for none; raises RoutingError if there is no entry."""
    entries = entries_of_group(settings, group) if group else list(settings.service_mapping)
    if group and not entries:
        raise unmapped_group(settings, group)
    return entries


def nearest_groups(group: Optional[str], known: Iterable[str]) -> List[str]:
    """Return up to three of the known names that look like this one, the likest first."""
    import difflib  # only where nobody can be paged
    by_key = {name.casefold(): name for name in known}
    near = difflib.get_close_matches((group or "").casefold(), list(by_key), n=3, cutoff=0.4)
    return [by_key[key] for key in near]


def find_route(settings: Settings, group: Optional[str],
               category: Optional[str]) -> Optional[Route]:
    """Return the entry of a group: of its category, else without one, else its first; None if the
    group has no entry.
    """
    entries = entries_of_group(settings, group)
    for entry in entries:
        if category and same_name(entry.category, category):
            return Route(entry, "group %r and category %r" % (group, category))
    entries.sort(key=lambda entry: bool(entry.category))
    return Route(entries[0], "group %r alone" % group) if entries else None


def route_for_opening(settings: Settings, group: Optional[str], category: Optional[str]) -> Route:
    """Return the route of a group, else the default service; raises RoutingError without both."""
    route = find_route(settings, group, category)
    if route is not None:
        return route
    entry = entry_of_service(settings, settings.default_service_id or None)
    if entry is None:
        raise unmapped_group(settings, group)
    return Route(entry, "default_pagerduty_service_id, as group %r has no entry" % group)


def unmapped_group(settings: Settings, group: Optional[str]) -> RoutingError:
    """Return the error for a group without an entry, or for none; it names the nearest ones."""
    if not (group or "").strip():
        return RoutingError(
            "there is no assignment group, so nobody would be paged",
            "give the incident a group in StackFlow, or set default_pagerduty_service_id")
    names = sorted({entry.assignment_group for entry in settings.service_mapping})
    listed = ", ".join(map(repr, nearest_groups(group, names) or names[:3]))
    return RoutingError(
        "assignment group %r has no entry in service_mapping, so nobody would be paged; nearest: %s"
        % (group, listed),
        "add the group to service_mapping, set default_pagerduty_service_id, or correct the group "
        "in StackFlow")


def entry_of_service(settings: Settings, service_id: Optional[str]) -> Optional[ServiceMapping]:
    """Return the first entry of a PagerDuty service; None if it is not mapped."""
    return next((entry for entry in settings.service_mapping if entry.service_id == service_id),
                None)


def mapping_of(settings: Settings, policy: Optional[str],
               trigger_on: Optional[str] = None) -> Optional[EscalationMapping]:
    """Return the entry of an SLA policy, for one kind of event or for any; None without one."""
    return next((entry for entry in settings.escalation_mapping if entry.sla_policy == policy and
                 trigger_on in (None, "", entry.trigger_on)), None)


def service_named(settings: Settings, service: str) -> ServiceMapping:
    """Return the first entry of a mapped service, by its id or its name.

    Raises BadInputError for an unknown service, or a name of several services.
    """
    named = {entry.service_id for entry in settings.service_mapping
             if same_name(entry.service_name, service)}
    entry = entry_of_service(settings, next(iter(named)) if len(named) == 1 else service)
    if entry is not None:
        return entry
    listed = ", ".join(sorted({"%s (%s)" % (one.service_id, one.service_name)
                               for one in settings.service_mapping}))
    raise BadInputError("service %r is %s" % (service, "the name of several services" if named else
                                              "not in service_mapping"), "give one of " + listed)


def severity(settings: Settings, priority: Optional[str]) -> str:
    """Return the severity of a StackFlow priority; `critical` for an unmapped one, to be safe."""
    return settings.severity_mapping.get(priority_named(priority) or "", CRITICAL)


def priority_for(settings: Settings, priority_name: Optional[str], urgency: Optional[str]) -> str:
    """Return the StackFlow priority of a PagerDuty incident: its own P1 to P4, else by urgency."""
    name = priority_named(priority_name) or ""
    return name if name in settings.severity_mapping else settings.urgency_mapping.get(
        urgency or "high", "P2")
