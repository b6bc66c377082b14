"""What polling costs depends on what changed; what is older than the pack is left alone; a sensor
lives for hours.
"""

from collections import Counter

import pytest
import world as world_module
from polling_site import INTERVAL, Pollers
from world import World

from pagerduty_stackflow import credentials

GROUP = "Platform Engineering"
JANE = "jane@example.com"


def polled_world(**config):
    world = World(**config)
    world.listening = False
    return world, Pollers(world)


def opened(world, count, seconds=0.0):
    """So many incidents on each side, one after the other."""
    numbers, incidents = [], []
    for _ in range(count):
        numbers.append(world.stackflow.create_incident("Database timeout", "P1", group=GROUP,
                                                       category="api"))
        incidents.append(world.pagerduty.create_incident(world.api, "Disk full", world.casey,
                                                         urgency="low"))
        world.clock.advance(seconds)
    return numbers, incidents


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["opened at once", "opened one by one"])
def test_a_thousand_open_incidents_of_which_none_changed_cost_two_requests_and_no_write(
        monkeypatch, seconds):
    monkeypatch.setattr(world_module, "RULES", [])  # nobody acts on the two thousand
    world, pollers = polled_world()
    opened(world, 1000, seconds)
    world.run(INTERVAL)
    pollers.poll()
    assert Counter(pollers.events()) == {"incident.created!": 1000, "incident.triggered!": 1000}
    for _ in range(3):
        world.run(INTERVAL)
        calls, values = world.store.calls, dict(world.store.values)
        spent = pollers.requests(pollers.poll)
        assert max(spent.values()) <= 2
        assert world.store.calls - calls <= 5
        assert world.store.values == values


@pytest.mark.parametrize("changes", [1, 30])
def test_a_poll_pays_for_what_changed(changes):
    world, pollers = polled_world()
    numbers, incidents = opened(world, 200, 5.0)
    world.run(INTERVAL)
    pollers.poll()
    world.run(100)
    for number, incident in zip(numbers[:changes], incidents):
        world.stackflow.assign(number, person=JANE)
        world.pagerduty.acknowledge(incident, world.casey)
    world.run(INTERVAL)
    calls = world.store.calls
    assert max(pollers.requests(pollers.poll).values()) <= 2
    assert world.store.calls - calls <= 10 * changes + 8


@pytest.mark.parametrize("first", ["pagerduty", "stackflow"])
def test_what_was_open_before_the_first_start_pages_nobody_and_gets_no_record(first):
    world = World(start=False)
    world.listening = False
    numbers, incidents = opened(world, 500, 0.02)
    world.run(20)
    pages, writes = world.paged(), len(world.stackflow.writes)
    pollers = Pollers(world)
    pollers.poll(first)
    pollers.settle()
    before = pollers.events()  # of the last minute, over which two looks overlap
    assert not [event for event in before if event.endswith("!")]
    for act in (lambda: world.stackflow.set_priority(numbers[1], "P2"),
                lambda: world.stackflow.assign(numbers[2], person=JANE),
                lambda: world.stackflow.add_note(numbers[3], "Still slow"),
                lambda: world.stackflow.set_state(numbers[4], "resolved"),
                lambda: world.pagerduty.acknowledge(incidents[1], world.casey),
                lambda: world.pagerduty.add_note(incidents[2], "Looking", world.casey),
                lambda: world.pagerduty.resolve(incidents[3], world.casey)):
        act()
        pollers.settle(2)
    world.run(3 * 24 * 3600)
    pollers.settle(2)
    assert world.pd_writes() == []
    assert len(world.stackflow.writes) == writes
    assert world.paged() == pages
    assert not {"incident.created", "incident.triggered"} & {
        event.rstrip("!") for event in pollers.events(len(before))}
    opened(world, 1)
    pollers.settle()
    assert world.pd_writes() == ["trigger"]
    assert len(world.stackflow.incidents()) == 502


def test_a_sensor_lives_for_hours_on_one_session():
    world, pollers = polled_world()
    for _ in range(5):
        world.run(3600)
        pollers.poll()
    opened(world, 1)
    pollers.settle()
    assert world.pd_writes() == ["trigger"]


def test_a_key_that_was_rotated_is_read_again(monkeypatch):
    keys = ["first-key-abcdefghij"]
    reads = []

    def fetch(name, settings):
        reads.append(name.setting)
        return keys[-1]

    monkeypatch.setattr(credentials.secrets_manager, "fetch", fetch)
    world, _ = polled_world()
    world.configure(pagerduty={"subdomain": "acme", "from_email": "sync@example.com"})
    world.store.encryption = False  # nothing is kept for another process
    world.pagerduty.add_api_key(keys[0])
    pollers = Pollers(world)
    for _ in range(20):
        world.run(INTERVAL)
        pollers.poll("pagerduty")
    assert len(reads) <= 3
    keys.append("second-key-abcdefghi")
    world.pagerduty.add_api_key(keys[1])
    world.pagerduty.account.api_keys.pop(keys[0])
    world.run(INTERVAL)
    pollers.poll("pagerduty")


def test_a_token_that_expires_is_got_again():
    world, _ = polled_world()
    world.stackflow.add_client("client", "not-a-secret-of-clients")
    world.configure(stackflow=dict(world.config["stackflow"], auth={
        "method": "client_credentials", "client_id": "client",
        "client_secret": "not-a-secret-of-clients",
        "token_url": "https://acme.stackflow.example/oauth2/token"}))
    world.store.encryption = False
    pollers = Pollers(world)
    for _ in range(8):
        world.run(1800)
        pollers.poll("stackflow")
    signed_in = [one for one in world.stackflow.requests if one.path == "/oauth2/token"]
    assert 3 <= len(signed_in) <= 5
