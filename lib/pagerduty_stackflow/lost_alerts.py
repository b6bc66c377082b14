"""Alerts that PagerDuty accepted and never showed: nobody may have been paged for them.

A service that is disabled or in maintenance drops them (PagerDuty, Why incidents fail to trigger).
"""

from __future__ import annotations

from datetime import timedelta

from .decide import ACKNOWLEDGED, DONE_STATES, RESOLVED
from .errors import NotFoundError, PackError
from .fields import PAGERDUTY
from .incidents import parse_time
from .links import Link
from .pack import Pack
from .pagerduty.account import SILENT
from .pagerduty.events import fingerprint
from .pairs import Pair
from .settings import ServiceMapping
from .sync import settle
from .to_pagerduty import WriteContext

PATIENCE = timedelta(minutes=2)
"""After this time a trigger whose incident is not visible counts as lost."""
UP = "up"
"""In place of every other status of a service, in the link."""


class UnseenError(PackError):
    """PagerDuty accepted an alert and shows no incident for it."""

    kind = "unseen"


def is_unseen(pair: Pair) -> bool:
    """Whether the incident that was triggered for an open record was never seen."""
    link, record = pair.link, pair.record
    return (record is not None and record.state not in DONE_STATES and pair.incident is None and
            pair.state not in (None, RESOLVED) and bool(link.dedup_key) and
            link.incident_id is None)


def is_on_its_way(pack: Pack, link: Link) -> bool:
    """Whether its incident may still become visible."""
    sent = parse_time(link.expects.at) if link.expects else None
    return sent is not None and abs(pack.clock.now() - sent) < PATIENCE


class LostAlert:
    """A pair whose incident was never seen. ``is_news``: it was not reported yet; or since then the
    service became able to open incidents, or unable; or ``entry``, which would page by now, has
    another key. ``error`` is what the run fails with, news or not.
    """

    def __init__(self, pack: Pack, pair: Pair, entry: ServiceMapping) -> None:
        self._pack, self._pair = pack, pair
        link = pair.link
        service_id = link.there.get("place", "")
        try:
            service = pack.account.service(service_id)
            name, status = service.name, service.status
        except NotFoundError:
            name, status = service_id, "deleted"
        self._status = status if status in SILENT else UP
        self.is_news = (link.unseen != self._status or
                        link.key_fingerprint != fingerprint(entry.integration_key))
        sent_at = link.expects.at if link.expects else "an unknown time"
        self.error = UnseenError(
            "the alert %s was sent at %s, and PagerDuty shows no incident for it; service %s (%s) "
            "is %s" % (link.dedup_key, sent_at, name, service_id, status),
            "see in PagerDuty whether the service is disabled or in maintenance, whether its key "
            "is the one in service_mapping, and whether an event rule suppresses the alert")

    def report(self) -> None:
        """Say so in a work note, and trigger once more under the same dedup key. The link remembers
        for which status, so that no later run does so again.
        """
        link, record = self._pair.link, self._pair.record
        assert record is not None
        self._pack.stackflow.add_note(record.number, "Nobody may have been paged: %s. It was sent "
                                      "once more." % self.error.message)
        acknowledged = link.expected(PAGERDUTY).get("state") == ACKNOWLEDGED
        here = {name: value for name, value in link.here.items()
                if name != "acknowledgement" or not acknowledged}
        self._pair.link = link._replace(here=here, expects=None, unseen=self._status)
        self._pair.state = None
        settle(self._pack, self._pair, WriteContext(), force=True)
