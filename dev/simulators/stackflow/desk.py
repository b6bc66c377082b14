"""The service desk: records and the rules of changing them, whoever does it and by whatever way."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, List, Set, Tuple

from dev.simulators.stackflow import records
from dev.simulators.stackflow.records import Group, Incident, Note, User
from dev.simulators.stackflow.refusals import Refusal, bad_request, not_found
from dev.simulators.stackflow.switches import Switches

# Called with the event's name, the incident, and `previous` and `note` where there are any.
Announce = Callable[..., None]

ENUMERATED = {"priority": records.PRIORITIES, "impact": records.LEVELS, "urgency": records.LEVELS,
              "state": records.OPEN_STATES + records.FINISHED_STATES}
NEVER_NULL = ("short_description", "priority", "state")


def business_rule(message: str) -> Refusal:
    """422: business rule violation (api/rate-limits-errors.html)."""
    return Refusal(422, "BUSINESS_RULE_VIOLATION", message)


class Desk:
    """Incidents with their notes, groups and users. States are canonical in here.

    Every method that changes something raises `Refusal` where StackFlow would not do it, and leaves
    everything as it was then.
    """

    def __init__(self, now: Callable[[], datetime], switches: Switches,
                 announce: Announce) -> None:
        self._now = now
        self._switches = switches
        self._announce = announce
        self._numbered = 1000
        self._noted = 0
        self.incidents: Dict[str, Incident] = {}
        self.notes: Dict[str, List[Note]] = {}
        # By name and by e-mail, as api/incidents.html carries them.
        self.groups: Dict[str, Group] = {}
        self.users: Dict[str, User] = {}

    def incident(self, number: str) -> Incident:
        """The incident, or a 404."""
        if number not in self.incidents:
            raise not_found("Incident {}".format(number))
        return self.incidents[number]

    def create(self, values: Dict[str, Any], by: str) -> Incident:
        """A new incident; `short_description` is required, everything else has a default.

        Which fields are required is on no page; this one is in every example.
        """
        if not values.get("short_description"):
            raise bad_request("short_description is required")
        self._check(values)
        fields: Dict[str, Any] = {name: None for name in records.WRITABLE}
        fields.update(description="", priority=self._switches.default_priority, state="new",
                      impact="medium", urgency="medium")
        fields.update(values)
        self._refuse_duplicate(fields)
        now = self._stamp()
        self._numbered += 1
        incident = Incident("INC{:07d}".format(self._numbered), fields, by, now, now)
        self._enter_state(incident, incident.state)
        self.incidents[incident.number] = incident
        self.notes[incident.number] = []
        self._announce("incident.created", incident)
        return incident

    def change(self, number: str, values: Dict[str, Any]) -> Incident:
        """Write fields, all or none. Who does it leaves no trace in the record or in the events."""
        incident = self.incident(number)
        self._check(values)
        if "state" in values:
            self._check_transition(incident, values)
        previous = {name: incident.fields.get(name) for name, value in values.items()
                    if incident.fields.get(name) != value}
        if not previous:
            return incident
        incident.fields.update(values)
        incident.updated_at = self._stamp()
        if "state" in previous:
            self._enter_state(incident, incident.state)
        self._announce_changes(incident, previous)
        return incident

    def add_note(self, number: str, text: str, visibility: str, author: str) -> Note:
        """A note; only a public one is an event (notifications/router.html), save by switch."""
        incident = self.incident(number)
        if visibility not in ("internal", "public"):
            raise bad_request("visibility must be internal or public")
        now = self._stamp()
        self._noted += 1
        note = Note("note_{:06d}".format(self._noted), number, text, visibility, author, now)
        self.notes[number].append(note)
        if self._switches.note_touches_record:
            incident.updated_at = now
        if visibility == "public" or self._switches.comment_events == "all":
            self._announce("incident.comment_added", incident, note=note)
        return note

    def delete(self, number: str) -> None:
        """Forget an incident; no event is named for it."""
        self.incident(number)  # or a 404
        del self.incidents[number]

    def declare_major(self, number: str) -> Incident:
        """Declare a major incident, which is a high-impact P1 (itsm/major-incidents.html)."""
        incident = self.incident(number)
        if incident.fields["priority"] != "P1":
            raise business_rule("Only a P1 can be declared a major incident")
        self._announce("major_incident.declared", incident)
        return incident

    def add_group(self, name: str) -> Group:
        """The group of that name, made if there is none."""
        if name not in self.groups:
            number = len(self.groups) + 1
            self.groups[name] = Group("grp_{:06d}".format(number), name, self._stamp())
        return self.groups[name]

    def add_user(self, email: str, name: str, role: str, groups: Tuple[str, ...]) -> User:
        """A user, in place of one with the same address; groups that are missing are made."""
        for group in groups:
            self.add_group(group)
        known = self.users.get(email)
        identifier = known.id if known else "usr_{:06d}".format(len(self.users) + 1)
        self.users[email] = User(identifier, email, name, role, groups, self._stamp())
        return self.users[email]

    def known_fields(self) -> Set[str]:
        """What a client may write; the fields of a resolve have names by switch only."""
        return set(records.WRITABLE) | set(self._switches.resolve_requires)

    def _stamp(self) -> datetime:
        return records.truncated(self._now(), self._switches.time_precision)

    def _check(self, values: Dict[str, Any]) -> None:
        """400 for a wrong name, type or enum value; 422 for a group or person nobody knows."""
        unknown = sorted(set(values) - self.known_fields())
        if unknown:
            raise bad_request("Unknown field: {}".format(", ".join(unknown)))
        for name, value in values.items():
            if value is None and name in NEVER_NULL:
                raise bad_request("{} must not be null".format(name))
            if value is not None and not isinstance(value, str):
                raise bad_request("{} must be a string".format(name))
            if value is not None and value not in ENUMERATED.get(name, (value,)):
                raise bad_request("Invalid value for {}: {}".format(name, value))
        if values.get("short_description", "set") == "":
            raise bad_request("short_description must not be empty")
        if self._switches.unknown_references == "refuse":
            group, person = values.get("assignment_group"), values.get("assigned_to")
            if group is not None and group not in self.groups:
                raise business_rule("Unknown assignment group: {}".format(group))
            if person is not None and person not in self.users:
                raise business_rule("Unknown user: {}".format(person))

    def _check_transition(self, incident: Incident, values: Dict[str, Any]) -> None:
        """409 if invalid (api/rate-limits-errors.html); by switch 422 for a bare resolve."""
        before, after = incident.state, values["state"]
        if before == after and self._switches.same_state == "accept":
            return
        if before == after or after not in self._switches.transitions[before]:
            spelt = [self._switches.spelling(state) for state in (before, after)]
            raise Refusal(409, "INVALID_STATE_TRANSITION",
                          "Cannot change state from {} to {}".format(*spelt))
        if after == "resolved":
            for name in self._switches.resolve_requires:
                if not values.get(name, incident.fields.get(name)):
                    raise business_rule("{} is required to resolve an incident".format(name))

    def _enter_state(self, incident: Incident, state: str) -> None:
        """`resolved_at` is set by the way into resolved and cleared by the way back to work."""
        incident.history.append((incident.updated_at, state))
        if state == "resolved":
            incident.resolved_at = incident.updated_at
        elif state in records.OPEN_STATES:
            incident.resolved_at = None

    def _refuse_duplicate(self, fields: Dict[str, Any]) -> None:
        """409 (api/rate-limits-errors.html); what counts as a duplicate is not said."""
        if self._switches.duplicates != "refuse":
            return
        for other in self.incidents.values():
            same = all(other.fields[name] == fields[name]
                       for name in ("short_description", "description"))
            if same and other.state in records.OPEN_STATES:
                raise Refusal(409, "DUPLICATE_RECORD", "Duplicate of {}".format(other.number))

    def _announce_changes(self, incident: Incident, previous: Dict[str, Any]) -> None:
        """One event per kind of change (notifications/router.html, api/webhooks.html)."""
        kinds = (("incident.assigned", ("assignment_group", "assigned_to")),
                 ("incident.state_changed", ("state",)),
                 ("incident.priority_changed", ("priority",)))
        for event, names in kinds:
            changed = {name: previous[name] for name in names if name in previous}
            if changed:
                self._announce(event, incident, previous=changed)
