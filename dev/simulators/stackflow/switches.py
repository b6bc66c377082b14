"""What the vendor's pages leave open, each as one switch with its default.

A switch may be turned at any moment: it is read when it matters, not when the simulator is built.
What a page states is no switch, but the numbers that a test may want smaller are kept here too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from dev.simulators.stackflow.records import FINISHED_STATES, OPEN_STATES

# No page prints a transition table; api/rate-limits-errors.html only says that an invalid one is a
# 409. This one follows the lifecycle of itsm/incidents.html: work, resolve, confirm; nothing comes
# back from the end.
DEFAULT_TRANSITIONS: Dict[str, Tuple[str, ...]] = {
    "new": OPEN_STATES[1:] + ("resolved", "cancelled"),
    "in_progress": OPEN_STATES[1:] + ("resolved", "cancelled"),
    "on_hold": OPEN_STATES[1:] + ("resolved", "cancelled"),
    "pending_customer": OPEN_STATES[1:] + ("resolved", "cancelled"),
    "pending_vendor": OPEN_STATES[1:] + ("resolved", "cancelled"),
    "resolved": ("in_progress", "closed"),
    "closed": (),
    "cancelled": (),
}


@dataclass
class Switches:
    """One attribute per open question, with its default; times are in seconds."""

    # The error body: "flat" {error, code, requestId} of api/rate-limits-errors.html, or "nested"
    # {error: {code, message, request_id, timestamp}} of troubleshooting/api.html.
    error_shape: str = "flat"

    # What stands beside `data` in a list (api/quickstart.html is cut after the first record):
    # "page" (page, limit, total), "none", "has_more", "next" (path of the next page, or null).
    pagination: str = "page"
    default_limit: int = 50
    # What a limit above the documented 200 gives: "clamp", or "refuse" (400).
    limit_above_max: str = "clamp"
    default_sort: str = "created_at"
    default_order: str = "desc"

    # Of stamps: "seconds", as in every example, or "milliseconds".
    time_precision: str = "seconds"

    # `q`: "words" (each must occur as a word), or "substring" (it must occur as it stands).
    search: str = "words"

    # Spelling of states that no page prints: canonical state -> the API's name for it.
    state_names: Dict[str, str] = field(default_factory=dict)
    transitions: Dict[str, Tuple[str, ...]] = field(
        default_factory=lambda: dict(DEFAULT_TRANSITIONS))
    # A state written as it is already: "accept" (200, nothing changes), or "refuse" (409).
    same_state: str = "accept"
    # Fields without which a change to resolved is a 422.
    resolve_requires: Tuple[str, ...] = ()
    # Fields that an incident does not have: "ignore", or "refuse" (400).
    unknown_fields: str = "ignore"
    # A group or person that does not exist: "refuse" (422), or "accept".
    unknown_references: str = "refuse"
    # A second open incident with the same two texts: "accept", or "refuse" (409).
    duplicates: str = "accept"
    default_priority: str = "P3"

    # Name of a note's text in requests and answers; visibility of one posted without ("internal" or
    # "public"); whether a note moves its incident's updated_at.
    note_field: str = "note"
    note_visibility: str = "internal"
    note_touches_record: bool = True

    # Tokens that the API takes, others get a 403: "id" (api/authentication.html), "access"
    # (dev/api-reference.html), or "both".
    accepts: str = "both"
    id_token_with_client_credentials: bool = False
    # Whether the app client has it enabled, as api/quickstart.html demands.
    user_password_auth: bool = True
    # admin/system-properties.html; a sign-in with such a role is answered with a challenge.
    mfa_required_roles: Tuple[str, ...] = ("super_admin", "cloud_admin")
    # The role whose rights a service account has.
    service_account_acts_as: str = "itsm_manager"
    # Who may list and make outbound webhooks; the roles are those of the connector pages.
    webhook_roles: Tuple[str, ...] = ("super_admin", "itsm_manager")

    # api/rate-limits-errors.html, per user and minute. Which endpoints are "search endpoints" is
    # not said; with the last switch on, a list of incidents with `q` is one.
    rate_limits: bool = True
    requests_per_minute: int = 300
    writes_per_minute: int = 60
    searches_per_minute: int = 120
    list_with_q_is_search: bool = False

    # Proof of a webhook: "hmac" (hex HMAC-SHA256 of the raw body behind the prefix: "", "sha256=",
    # "v1="), "static" (the secret itself), "none".
    signature: str = "hmac"
    signature_prefix: str = ""

    # Names in the body of a webhook: "event", "event_type" or "detail-type"; "incident",
    # "data.incident", "data" or "detail.incident"; "timestamp", "time" or "occurred_at"; "id",
    # "event_id" or None; "note" or "comment".
    event_key: str = "event"
    record_key: str = "incident"
    time_key: str = "timestamp"
    id_key: Optional[str] = "id"
    note_key: str = "note"
    # Where `previous`, `sla` and the note stand: "beside" the record, at the "top", or in "data".
    extras_place: str = "beside"
    send_previous: bool = True
    # Fields that the record in a webhook lacks.
    record_omits: Tuple[str, ...] = ()
    # In webhooks, assignment_group as {name} and assigned_to as {email}.
    references_as_objects: bool = False

    # Names for a change to resolved and to in_progress: "changed" (incident.state_changed alone),
    # "also" (with incident.resolved, incident.acknowledged), "only" (these in its place).
    state_events: str = "changed"
    # Notes that are events: "public" ones (notifications/router.html), or "all".
    comment_events: str = "public"

    # Waits before each further attempt at a delivery; as many retries as there are waits.
    retry_delays: Tuple[float, ...] = (10.0, 60.0, 300.0)

    # itsm/sla.html, notifications/sla-alerts.html; the topic of recoveries is on no page.
    sla_check_seconds: float = 300.0
    sla_warning_percent: float = 75.0
    sla_paused_states: Tuple[str, ...] = ("pending_customer",)
    sns_recovery_topic: str = "stackflow-sla-alerts"

    def spelling(self, state: str) -> str:
        """The API's name of a canonical state."""
        return self.state_names.get(state, state)

    def canonical(self, spelling: Any) -> str:
        """The canonical state of the API's name; empty for names that the API does not know."""
        for state in OPEN_STATES + FINISHED_STATES:
            if self.spelling(state) == spelling:
                return state
        return ""
