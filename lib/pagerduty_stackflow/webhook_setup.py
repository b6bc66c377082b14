"""Set up PagerDuty's webhooks: subscriptions of the mapped services that call our listener."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .checks.facts import PAGERDUTY_PATH, same_url
from .checks.webhooks import needed_events
from .errors import (ApiError, BadInputError, ConfigError, DatastoreDeniedError, DatastoreError,
                     NotFoundError, PackError)
from .events import EVENTS
from .fields import PAGERDUTY
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pagerduty.account import ACCOUNT, LIMIT_REACHED, Subscription
from .routing import service_named
from .settings import ServiceMapping
from .transport import OutcomeUnknownError

OPERATIONS = ("list", "create", "enable", "ping", "delete")
DESCRIPTION = "StackFlow synchronisation by StackStorm"
SUBSCRIPTION_ID = re.compile(r"^[A-Za-z0-9]{1,40}\Z")


def manage_webhooks(pack: Pack, operation: str, service: Optional[str] = None,
                    subscription_id: Optional[str] = None) -> Dict[str, Any]:
    """List, create, enable, ping or delete webhook subscriptions.

    ``service``: the id or name of a mapped one. Without it and a ``subscription_id``, those that
    call this pack's listener. The result is an outcome, and beside it ``subscriptions``, each with
    the name of the datastore key that holds its secret, or null.
    """
    if operation not in OPERATIONS:
        raise BadInputError("operation is %r" % (operation,), "give " + ", ".join(OPERATIONS))
    if subscription_id is not None:
        if service is not None or operation == "create":
            raise BadInputError("a subscription_id goes with neither a service nor create",
                                "leave out subscription_id")
        if not SUBSCRIPTION_ID.match(subscription_id):
            raise BadInputError("%r is no id of a subscription" % (subscription_id,),
                                "the operation list shows the ids")
    entry = None if service is None else service_named(pack.settings, service)
    warnings: List[str] = []
    if operation == "create":
        entries = pack.settings.service_mapping if entry is None else [entry]
        outcome, reason, chosen = _create(pack, entries, warnings)
    elif operation == "delete" and subscription_id:
        outcome = DONE if _delete(pack, subscription_id, warnings) else ALREADY
        reason, chosen = "%s is deleted" % subscription_id, []
    else:
        if subscription_id:
            chosen = [pack.account.subscription(subscription_id)]
        else:  # only list shows one of the whole account: no change to it is about one service
            chosen = [one for one in _own(pack) if entry is None or
                      one.service_id == entry.service_id or
                      one.scope == ACCOUNT and operation == "list"]
        outcome, reason = (DONE if chosen else SKIPPED), (
            "%s: %s" % (operation, ", ".join(one.id for one in chosen)) if chosen else
            "no subscription calls %s: create one" % _listener_url(pack))
        chosen = [_change(pack, operation, one, warnings) for one in chosen]
    return dict(Outcome(outcome, reason, warnings=warnings).as_result(),
                subscriptions=[_shown(pack, one) for one in chosen])


def _listener_url(pack: Pack) -> str:
    """The address that PagerDuty calls; ConfigError if the config does not have it."""
    if not pack.settings.listener.public_url:
        raise ConfigError("webhook_listener.public_url is not set",
                          "set it to the base URL at which PagerDuty reaches the listener")
    return pack.settings.listener.public_url + PAGERDUTY_PATH


def _own(pack: Pack) -> List[Subscription]:
    """The subscriptions that call this pack's listener."""
    url = _listener_url(pack)
    return [one for one in pack.account.subscriptions() if same_url(one.url, url)]


def _shown(pack: Pack, one: Subscription) -> Dict[str, Any]:
    shown = {name: value for name, value in vars(one).items() if name != "url"}
    ours = bool(pack.settings.listener.public_url) and same_url(one.url, _listener_url(pack))
    return dict(shown, events=list(one.events), secret_key=pack.webhook_secrets.key(one.id),
                ours=ours)


def _create(pack: Pack, entries: Sequence[ServiceMapping],
            warnings: List[str]) -> Tuple[str, str, List[Subscription]]:
    """Create one for each service of the entries that none of our own covers."""
    there = [one for one in _own(pack) if any(one.covers(entry.service_id) for entry in entries)]
    missing = {entry.service_id: entry.service_name for entry in entries
               if not any(one.covers(entry.service_id) for one in there)}
    made: List[Subscription] = []
    for service_id, name in missing.items():
        try:
            made.append(_make(pack, service_id, name))
        except PackError as error:
            if made:
                error.message += "; made before: %s" % ", ".join(one.id for one in made)
            raise
    for one in there:
        if not one.is_live:
            warnings.append("%s is disabled: use the operation enable" % one.id)
        if needed_events(pack.settings).difference(one.events):
            warnings.append("%s lacks events: delete it and create it again" % one.id)
    reason = "%d created, %d exist already" % (len(made), len(there))
    return DONE if made else ALREADY, reason, made + there


def _make(pack: Pack, service_id: str, name: str) -> Subscription:
    """Subscribe to all events that the shipped rules need with any settings; store the secret."""
    events = [kind.name for kind in EVENTS if kind.side == PAGERDUTY]
    try:
        made, secret = pack.account.subscribe(_listener_url(pack), events, service_id, DESCRIPTION)
    except OutcomeUnknownError as error:
        for one in _own(pack):  # a new one is of no use: its secret was in the lost answer
            if one.service_id == service_id:
                pack.account.unsubscribe(one.id)
        error.hint = "nothing is left of it: run create again"
        raise
    except ApiError as error:
        if error.code == LIMIT_REACHED:
            error.hint = ("a service has at most 10 webhook subscriptions: delete those of %s "
                          "that nobody needs, with the operation delete or in PagerDuty" % name)
        raise
    try:
        if not secret:
            raise DatastoreError("PagerDuty showed no secret")
        pack.webhook_secrets.write(made.id, secret)
    except DatastoreError as error:
        error.message = "the secret of the subscription of %s could not be stored: %s" % (
            name, error.message)
        error.retryable = False
        if not isinstance(error, DatastoreDeniedError):
            error.hint = ("StackStorm needs a key to encrypt values: see its documentation, "
                          "Securing Secrets in Key Value Store; then run create again")
        try:
            pack.account.unsubscribe(made.id)
            error.message += ", so it was deleted again"
        except PackError as second:
            error.message += ", and it could not be deleted again: %s" % second.message
            error.hint = "delete subscription %s in PagerDuty; %s" % (made.id, error.hint)
        raise error from None
    return made


def _change(pack: Pack, operation: str, one: Subscription, warnings: List[str]) -> Subscription:
    """List, enable, ping or delete a subscription; returns it then."""
    if operation == "enable":
        pack.account.enable(one)
        return pack.account.subscription(one.id)
    if operation == "ping":
        pack.account.ping(one.id)
    elif operation == "delete":
        _delete(pack, one.id, warnings)
    return one


def _delete(pack: Pack, subscription_id: str, warnings: List[str]) -> bool:
    """Delete a subscription and its secret; returns whether PagerDuty had it."""
    try:
        pack.account.unsubscribe(subscription_id)
        there = True
    except NotFoundError:
        there = False
    key = pack.webhook_secrets.key(subscription_id)
    if key and not pack.webhook_secrets.delete(subscription_id):
        warnings.append("the datastore key %s could not be deleted" % key)
    return there
