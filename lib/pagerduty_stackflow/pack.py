"""What a use case works with: settings, links and a client for each system, all over one clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

import requests

from .clock import Clock
from .datastore import Datastore, Store
from .incidents import record_url
from .links import Links
from .pagerduty.events import EventsClient
from .settings import Settings
from .stores import Escalations, Leases, NoteMarks, Progress, Start, WebhookSecrets
from .transport import Transport

if TYPE_CHECKING:
    from .credentials import Secrets
    from .pagerduty.account import Account
    from .pagerduty.rest import RestClient
    from .stackflow.client import StackFlowClient

DONE = "done"
ALREADY = "already"
SKIPPED = "skipped"


class Pack:
    """Makes each client, and imports what it needs, at its first use: paging needs events alone.

    ``say`` takes a line for people who watch the run.
    """

    def __init__(self, settings: Settings, store: Store, clock: Optional[Clock] = None,
                 session: Optional[requests.Session] = None,
                 say: Callable[[str], None] = lambda text: None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.store = store
        self.datastore = datastore = Datastore(store)
        self.links = Links(datastore)
        self.start, self.webhook_secrets = Start(datastore), WebhookSecrets(datastore)
        self.escalations, self.note_marks = Escalations(datastore), NoteMarks(datastore)
        self.progress, self.leases = Progress(datastore), Leases(datastore)
        self.say = say
        self.transport = Transport(settings.http, self.clock, session)
        self.events = EventsClient(settings, self.transport)

    @cached_property
    def secrets(self) -> Secrets:
        """Keys and tokens."""
        from .credentials import Secrets
        return Secrets(self.settings, self.store, self.clock)

    @cached_property
    def rest(self) -> RestClient:
        """PagerDuty's incidents."""
        from .pagerduty.rest import RestClient
        return RestClient(self.settings, self.transport, self.secrets.api_key,
                          self._before_note)

    @cached_property
    def account(self) -> Account:
        """What surrounds incidents in PagerDuty."""
        from .pagerduty.account import Account
        return Account(self.rest)

    @cached_property
    def token(self) -> Callable[[bool], str]:
        """Gives a token for StackFlow; True: not from a cache."""
        from .stackflow.auth import TokenSource
        return TokenSource(self.settings, self.transport, self.secrets).token

    @cached_property
    def stackflow(self) -> StackFlowClient:
        """StackFlow's records."""
        from .stackflow.client import StackFlowClient
        return StackFlowClient(self.settings, self.transport, self.token, self._before_note)

    def urls(self, number: Optional[str], incident_id: Optional[str]) -> Dict[str, Optional[str]]:
        """Return where a person finds both incidents; null for one that is not known."""
        here, there = self.settings.stackflow.instance_url, self.settings.pagerduty.web_url
        return {"stackflow_url": number and record_url(here, number),
                "pagerduty_url": incident_id and "%s/incidents/%s" % (there, incident_id)}

    def _before_note(self, incident_id: str, text: str) -> None:
        """Store a note first; without copies of notes no echo matters."""
        if self.settings.sync_notes:
            self.note_marks.write_note(incident_id, text, self.clock.now())


@dataclass(eq=False, repr=False)  # each method made takes its time at import
class Outcome:
    """What an action reports: DONE, ALREADY or SKIPPED, why, and which incidents it was about."""

    outcome: str
    reason: str
    stackflow_id: Optional[str] = None
    pagerduty_incident_id: Optional[str] = None
    dedup_key: Optional[str] = None
    warnings: List[str] = field(default_factory=list)

    def as_result(self) -> Dict[str, Any]:
        """The result of a successful action."""
        return dict(vars(self))


def combined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return one report for several records, with all reasons and warnings."""
    best = min(outcomes, key=lambda one: (DONE, ALREADY, SKIPPED).index(one.outcome))
    return replace(best, reason="; ".join(dict.fromkeys(one.reason for one in outcomes)),
                   warnings=[warning for one in outcomes for warning in one.warnings])
