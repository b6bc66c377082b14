"""Alerts that PagerDuty accepted and never showed: nobody may have been paged for them.

A service that is disabled or in maintenance drops them (PagerDuty, Why incidents fail to trigger).
"""

from __future__ import annotations

from datetime import timedelta

from .decide import ACKNOWLEDGED
from .errors import NotFoundError, PackError
from .fields import PAGERDUTY
from .pack import Pack
from .pagerduty.account import SILENT
from .pagerduty.events import fingerprint
from .pairs import Pair
from .routing import route_for_opening
from .sync import settle

PATIENCE = timedelta(minutes=2)
"""After this time a trigger whose incident is not visible counts as lost."""
UP = "up"
"""In place of every other status of a service, in the link."""


class UnseenError(PackError):
    """PagerDuty accepted an alert and shows no incident for it. ``is_news``: nobody was told of it
    yet, or since then the service or the routing key has changed.
    """

    kind = "unseen"
    is_news = False


def report_lost(pack: Pack, pair: Pair, dry_run: bool) -> UnseenError:
    """Return the error for a pair whose incident was never seen. Where it is news, tell it in a
    work note and trigger once more under the same dedup key.

    The link remembers the status of the service, so that no later run does so again until the
    service can open incidents, or cannot any more, or another routing key would be used.
    RoutingError where nobody would be paged by now.
    """
    link, record = pair.link, pair.record
    assert record is not None
    entry = route_for_opening(pack.settings, record.assignment_group, record.category).mapping
    name = service_id = link.there.get("place", "")
    try:
        service = pack.account.service(service_id)
        name, status = service.name, service.status
    except NotFoundError:
        status = "deleted"
    error = UnseenError(
        "the alert %s was sent at %s, and PagerDuty shows no incident for it; service %s (%s) "
        "is %s" % (link.dedup_key, link.expects.at if link.expects else "an unknown time", name,
                   service_id, status),
        "see in PagerDuty whether the service is disabled or in maintenance, whether its key "
        "is the one in service_mapping, and whether an event rule suppresses the alert")
    told = status if status in SILENT else UP
    error.is_news = (link.unseen, link.key_fingerprint) != (
        told, fingerprint(entry.integration_key))
    if error.is_news and not dry_run:
        pack.stackflow.add_note(record.number, "Nobody may have been paged: %s. It was sent once "
                                               "more." % error.message)
        here = dict(link.here)
        if link.expected(PAGERDUTY).get("state") == ACKNOWLEDGED:
            here.pop("acknowledgement", None)  # so that it is sent once more, too
        pair.link, pair.state = link._replace(here=here, expects=None, unseen=told), None
        settle(pack, pair, force=True)
    return error
