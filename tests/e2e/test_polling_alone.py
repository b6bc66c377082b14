"""A site that cannot receive: the listener is off, both polling sensors are on."""

from datetime import timedelta

import pytest
from scene import Scene, played
from target import WAIT_SECONDS
from test_no_loops import CHANGES

from dev.site import CASEY, DATABASE, LocalSite, wait_for
from pagerduty_stackflow.incidents import format_time

pytestmark = pytest.mark.local_only(reason="polls come every 30 seconds; it has a faster clock")
PAGERDUTY, STACKFLOW = "PagerDutyPollingSensor", "StackFlowPollingSensor"
SENSORS = {"WebhookSensor": False, PAGERDUTY: True, STACKFLOW: True}
FASTER = 0.02
"""Polls come every 0.6 seconds in place of 30."""
BEHIND = 15.0
"""Seconds by which both systems' clocks are behind, so that PagerDuty's log is settled at once."""
UNSEEN = ("reopened in PagerDuty",)
"""What leaves no log entry is found by the reconcile."""


class PollingSite(LocalSite):
    """Nothing is subscribed to the webhooks of either system."""

    def __init__(self):
        super().__init__(FASTER, {"sensors": {name: {"enabled": enabled}
                                              for name, enabled in SENSORS.items()}})
        self.clock.advance(-BEHIND)
        self.pagerduty.account.subscriptions.clear()
        del self.stackflow.subscriptions[:]
        installed = self.clock.now() - timedelta(seconds=1)
        self.platform.datastore.set("pagerduty_stackflow.start", format_time(installed))

    def __enter__(self):
        self.platform.start()
        return self

    def wait_for_polls(self):
        """Wait until a poll of each side that began after now is over."""
        before = self._polls()
        wait_for(lambda: all(now >= then + 2 for now, then in zip(self._polls(), before)),
                 WAIT_SECONDS, lambda: "polls; log:\n%s" % self.log()[-2000:])

    def _polls(self):
        listed = [one for one in list(self.stackflow.requests) if one.one("sort") == "updated_at"]
        return (sum(one.path == "/log_entries" for one in list(self.pagerduty.requests)),
                len(listed))


class PollingScene(Scene):
    """What is settled has been polled."""

    def settle(self):
        for _ in range(2):  # the first may cause what the second sees
            self.site.wait_for_polls()
            super().settle()


@pytest.fixture(scope="module")
def site():
    with PollingSite() as running:
        yield running


@pytest.fixture
def scene(site, target):
    yield from played(PollingScene(site, target))


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in UNSEEN])
def test_one_change_gives_one_write_and_none_back(scene, name):
    prepare, to_pagerduty, to_stackflow = CHANGES[name]
    act = prepare(scene)
    with scene.change() as change:
        act()
    assert (change.to_pagerduty, change.to_stackflow) == (to_pagerduty, to_stackflow)
    assert {payload["received_by"] for payload in scene.payloads()} == {"poll"}


def test_a_changed_group_moves_the_incident(scene):
    number, incident = scene.pair()
    scene.stackflow.assign(number, CASEY, DATABASE)
    scene.settle()
    assert (incident.service_id, incident.status) == (scene.site.database, "triggered")


@pytest.mark.parametrize("sensor, act, expected", [
    (STACKFLOW, lambda scene, number, _: scene.stackflow.assign(number, CASEY), "acknowledged"),
    (PAGERDUTY, lambda scene, _, incident: scene.pagerduty.acknowledge(
        incident.id, scene.site.casey), "acknowledged")])
def test_what_happens_while_a_killed_sensor_is_away_is_carried_over_once(
        scene, sensor, act, expected):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.site.platform.sensor(sensor).kill()
        act(scene, number, incident)
    assert incident.status == expected
    writes = (change.to_pagerduty, change.to_stackflow)
    assert writes == ((["acknowledge"], []) if sensor == STACKFLOW else ([], ["in_progress"]))


def test_a_datastore_that_is_away_for_a_while_delays_and_loses_nothing(scene):
    number, incident = scene.pair()
    scene.site.platform.datastore.fail()
    with scene.change() as change:
        scene.stackflow.set_state(number, "resolved")
        scene.site.platform.datastore.fail(False)
    assert (incident.status, change.to_pagerduty) == ("resolved", ["resolve"])
