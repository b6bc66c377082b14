"""Read the facts that the checks compare, each once."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import SplitResult, urlsplit

from ..errors import ApiError, NotFoundError, PackError
from ..pack import Pack
from ..pagerduty.account import Service, Subscription
from ..settings import ServiceMapping

PAGERDUTY_PATH = "/webhooks/pagerduty"
STACKFLOW_PATH = "/webhooks/stackflow"
PING_SECONDS = 20.0
"""How long a ping may take, from PagerDuty's acceptance to the sensor's record in the datastore."""
PINGS_SECONDS = 60.0
"""How long all pings may take together."""
PING_STEP = 0.5

Value = TypeVar("Value")


class Skipped(PackError):
    """Ends a check that cannot be made: the fix says where a person can look.

    ``blocks``: the checks that need this one wait, as they do for a failure.
    """

    def __init__(self, cause: str, fix: str, blocks: bool = False) -> None:
        super().__init__(cause, fix)
        self.blocks = blocks


class Facts:
    """Reads of both systems for one run; ``left_out``: parts that a check cannot compare."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.settings = pack.settings
        self.left_out: List[str] = []
        self._read: Dict[Any, Any] = {}

    def read(self, function: Callable[..., Value], *given: Any) -> Value:
        """Return what the function returns. It is called once, and raises the same error again."""
        if (function, given) not in self._read:
            try:
                self._read[function, given] = function(*given)
            except PackError as error:
                self._read[function, given] = error
        found: Union[Value, PackError] = self._read[function, given]
        if isinstance(found, PackError):
            raise found
        return found

    def entries(self) -> Iterator[Tuple[str, ServiceMapping]]:
        """Return the entries of service_mapping, each with its place for a message."""
        for at, entry in enumerate(self.settings.service_mapping):
            yield "service_mapping[%d] (%s)" % (at, entry.service_id), entry

    def escalations(self) -> Iterator[Tuple[str, str, bool]]:
        """Return the entries of escalation_mapping: place, policy id, and whether it exists."""
        for at, entry in enumerate(self.settings.escalation_mapping):
            policy_id, exists = entry.escalation_policy_id, True
            try:
                self.read(self.pack.account.policy_name, policy_id)
            except NotFoundError:
                exists = False
            yield "escalation_mapping[%d]" % at, policy_id, exists

    def listener_url(self, path: str) -> Optional[str]:
        """Return the address at which the other side calls the listener, if it is configured."""
        base = self.settings.listener.public_url
        return base + path if base else None

    def unless_polled(self, problem: str, sensor: str) -> str:
        """Return the problem, that nothing calls the listener; Skipped if the sensor polls."""
        if self.pack.datastore.value("cursor." + sensor):
            raise Skipped("%s; %s polls" % (problem, sensor),
                          "make sure that %s is enabled" % sensor, blocks=True)
        return problem

    # PagerDuty.

    @property
    def key_place(self) -> str:
        """Where the REST key is stored."""
        settings = self.settings.pagerduty
        return ("the datastore key behind pagerduty.api_key" if settings.api_key else
                "the secret %s (pagerduty.api_key_secret)" % settings.api_key_secret)

    def known(self) -> List[Tuple[str, ServiceMapping, Service]]:
        """Return the entries whose service can be read, and leave out the others."""
        found = []
        for name, entry in self.entries():
            try:
                found.append((name, entry, self.read(self.pack.account.service, entry.service_id)))
            except ApiError:
                self.left_out.append("%s, waits for pagerduty_services" % name)
        return found

    def services(self) -> List[str]:
        """Return the ids of the mapped services that can be read, each once."""
        return list(dict.fromkeys(service.id for _, _, service in self.known()))

    def subscriptions(self) -> List[Subscription]:
        """Return all webhook subscriptions."""
        return self.read(self.pack.account.subscriptions)

    def own_subscriptions(self) -> List[Subscription]:
        """Return those that call this pack's listener; without a public_url those with its path."""
        wanted = self.listener_url(PAGERDUTY_PATH)
        return [one for one in self.subscriptions() if (
            same_url(one.url, wanted) if wanted else parts(one.url).path == PAGERDUTY_PATH)]

    def live_subscriptions(self) -> List[Subscription]:
        """Return those of our own that deliver."""
        return [one for one in self.own_subscriptions() if one.is_live]

    def covering(self) -> Iterator[Tuple[str, List[Subscription]]]:
        """Return each mapped service, and those of our own that cover it for certain."""
        for service in self.services():
            yield service, [one for one in self.own_subscriptions() if one.covers(service)]

    def pings(self) -> Dict[str, bool]:
        """Ping our live subscriptions; return by id whether the ping came to the sensor."""
        return self.read(self._ping_all)

    def _ping_all(self) -> Dict[str, bool]:
        clock, last = self.pack.clock, partial(self.pack.datastore.value, "ping")
        end = clock.monotonic() + PINGS_SECONDS
        found: Dict[str, bool] = {}
        for one in self.live_subscriptions():
            start = clock.monotonic()
            if start < end:
                before = last()
                self.pack.account.ping(one.id)
                while last() == before and clock.monotonic() < start + PING_SECONDS:
                    clock.sleep(PING_STEP)
                found[one.id] = last() != before
        return found

    # StackFlow.

    def some_incidents(self) -> Any:
        """Return a short list of incidents, to see whether they may be read."""
        return self.read(self.pack.stackflow.call, "GET", "/incidents", None, (("limit", "1"),))

    def rows(self, path: str) -> List[Mapping[str, Any]]:
        """Return `/groups` or `/webhooks/outbound`; no page of StackFlow prints their fields."""
        return self.read(self._rows, path)

    def _rows(self, path: str) -> List[Mapping[str, Any]]:
        return list(self.pack.stackflow.pages(path))

    def stackflow_token(self) -> str:
        """Return the bearer token: a new one if the pack can get one."""
        auth = self.settings.stackflow.auth
        return self.read(self.pack.token, not (auth.method == "token" and auth.token))


def parts(url: str) -> SplitResult:
    """Split a URL; a broken one has empty parts."""
    try:
        found = urlsplit(url)
        return found if found.port is None or found.hostname else urlsplit("")
    except ValueError:
        return urlsplit("")


def same_url(left: str, right: str) -> bool:
    """Return whether two URLs lead to the same place, whatever credentials they carry."""
    one, other = (
        (part.scheme, part.hostname, part.port or {"http": 80, "https": 443}.get(part.scheme),
         part.path.rstrip("/")) for part in (parts(left), parts(right)))
    return one == other and bool(one[1])
