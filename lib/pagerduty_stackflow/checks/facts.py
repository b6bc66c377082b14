"""What the checks look at: each fact is read once, and one that could not be read fails again in
the same way.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, TypeVar
from urllib.parse import SplitResult, urlsplit

from ..errors import ApiError, CredentialsError, NotFoundError, PackError
from ..pack import Pack
from ..pagerduty.account import Extension, OnCall, Service
from ..pagerduty.subscriptions import Subscription, Subscriptions
from ..settings import ServiceMapping

PAGERDUTY_PATH = "/webhooks/pagerduty"
STACKFLOW_PATH = "/webhooks/stackflow"
PING_SECONDS = 20.0
"""How long a ping may take from PagerDuty's acceptance to the sensor's word in the datastore."""
PINGS_SECONDS = 60.0
"""How long all pings may take together."""
PING_STEP = 0.5

Value = TypeVar("Value")


class Facts:
    """Reads of both systems for one run of the checks."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.settings = pack.settings
        self._account = pack.account
        self._subscriptions = Subscriptions(pack.rest)
        self._read: Dict[str, Tuple[Any, Optional[PackError]]] = {}

    def _once(self, name: str, read: Callable[[], Value]) -> Value:
        if name not in self._read:
            try:
                self._read[name] = (read(), None)
            except PackError as error:
                self._read[name] = (None, error)
        value, failure = self._read[name]
        if failure is not None:
            raise failure
        found: Value = value
        return found

    def entries(self) -> Iterator[Tuple[str, ServiceMapping]]:
        """The entries of service_mapping, each with its position and service id for a message."""
        for at, entry in enumerate(self.settings.service_mapping):
            yield "service_mapping[%d] (%s)" % (at, entry.service_id), entry

    # PagerDuty.

    def abilities(self) -> List[str]:
        """What the account's plan has."""
        return self._once("abilities", self._account.abilities)

    def account_host(self) -> Optional[str]:
        """The account's web host."""
        return self._once("host", self._account.host)

    def service(self, service_id: str) -> Service:
        """A service with its integrations."""
        return self._once("service " + service_id, lambda: self._account.service(service_id))

    def found_service(self, service_id: str) -> Optional[Service]:
        """The service; None where it could not be read, which another check reports."""
        try:
            return self.service(service_id)
        except ApiError:
            return None

    def policy_exists(self, policy_id: str) -> bool:
        """Whether an escalation policy is known."""
        try:
            self._once("policy " + policy_id, lambda: self._account.policy_name(policy_id))
        except NotFoundError:
            return False
        return True

    def on_calls(self, policy_ids: List[str]) -> List[OnCall]:
        """Who is on call now for these policies."""
        return self._once("on-calls", lambda: self._account.on_calls(policy_ids))

    def subscriptions(self) -> List[Subscription]:
        """All webhook subscriptions."""
        return self._once("subscriptions", self._subscriptions.all)

    def own_subscriptions(self) -> List[Subscription]:
        """Those that call this pack's listener; without a public_url those with its path."""
        wanted = self.listener_url(PAGERDUTY_PATH)
        return [one for one in self.subscriptions() if (
            same_url(one.url, wanted) if wanted else parts(one.url).path == PAGERDUTY_PATH)]

    def extensions(self) -> List[Extension]:
        """All extensions of the account."""
        return self._once("extensions", self._account.extensions)

    def listener_url(self, path: str) -> Optional[str]:
        """Where the other side reaches the listener, as far as it is configured."""
        base = self.settings.listener.public_url
        return base + path if base else None

    def pings(self) -> Dict[str, bool]:
        """Whether the ping of each own live subscription came to the sensor, by subscription id."""
        return self._once("pings", self._ping_all)

    def _ping_all(self) -> Dict[str, bool]:
        clock = self.pack.clock
        end = clock.monotonic() + PINGS_SECONDS
        found: Dict[str, bool] = {}
        for one in self.own_subscriptions():
            if is_live(one) and clock.monotonic() < end:
                found[one.id] = self._ping(one.id)
        return found

    def _ping(self, subscription_id: str) -> bool:
        clock, links = self.pack.clock, self.pack.links
        before = links.last_ping()
        self._subscriptions.ping(subscription_id)
        end = clock.monotonic() + PING_SECONDS
        while clock.monotonic() < end:
            clock.sleep(PING_STEP)
            if links.last_ping() != before:
                return True
        return False

    # StackFlow.

    def groups(self) -> List[Mapping[str, Any]]:
        """The assignment groups (api/users.html; their fields are not printed)."""
        return self._once("groups", lambda: list(self.pack.stackflow.pages("/groups")))

    def some_incidents(self) -> Any:
        """A short list of incidents, to see whether they may be read."""
        return self._once("incidents", lambda: self.pack.stackflow.call(
            "GET", "/incidents", params=(("limit", "1"),)))

    def outbound_webhooks(self) -> List[Mapping[str, Any]]:
        """StackFlow's own webhooks (api/webhooks.html prints how they are made, not the list)."""
        return self._once("outbound", lambda: list(self.pack.stackflow.pages("/webhooks/outbound")))

    # Both.

    def pagerduty_key(self) -> str:
        """The REST key, from where it is kept and not from a cache."""
        cached = not self.settings.pagerduty.api_key
        return self._once("key", lambda: self.pack.api_key(cached))

    def stackflow_token(self) -> str:
        """The bearer token, got anew where it can be."""
        auth = self.settings.stackflow.auth
        cached = not (auth.method == "token" and auth.token)
        return self._once("token", lambda: self.pack.token(cached))


def is_live(subscription: Subscription) -> bool:
    """Whether a subscription delivers."""
    return subscription.active and not subscription.temporarily_disabled


def is_refused(error: PackError) -> bool:
    """Whether a key or token was refused, and not only this call of it."""
    return isinstance(error, CredentialsError) or getattr(error, "status", None) == 401


def status_of(error: PackError) -> Optional[int]:
    """The HTTP status of an error; None where no answer came."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def parts(url: str) -> SplitResult:
    """A URL in its parts; of one that is broken all are empty."""
    try:
        found = urlsplit(url)
        return found if found.port is None or found.hostname else urlsplit("")
    except ValueError:
        return urlsplit("")


def same_url(left: str, right: str) -> bool:
    """Whether two URLs lead to the same place, whatever credentials they carry."""
    one, other = parts(left), parts(right)
    ports = [part.port or {"http": 80, "https": 443}.get(part.scheme) for part in (one, other)]
    return bool(one.hostname) and (one.scheme, one.hostname, one.path.rstrip("/")) == (
        other.scheme, other.hostname, other.path.rstrip("/")) and ports[0] == ports[1]
