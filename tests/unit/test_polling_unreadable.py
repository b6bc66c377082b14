"""A record that cannot be read: named in the log, read again, in nobody's way."""

import json
import logging

import pytest
from polling_site import CURSOR, LOGGER, Pollers
from world import World

GROUP = "Platform Engineering"


def spoil(monkeypatch, simulator, change):
    """Change the JSON of every answer."""
    handle = simulator.handle

    def handle_and_spoil(request):
        answer = handle(request)
        if answer.body:
            answer.body = json.dumps(change(json.loads(answer.body))).encode()
        return answer

    monkeypatch.setattr(simulator, "handle", handle_and_spoil)


@pytest.mark.parametrize("broken", [None, "text", {}, {"status": "melted"}, {"status": None},
                                    {"status": "triggered", "service": 5, "priority": []}])
def test_an_incident_that_cannot_be_read_does_not_stop_the_others_and_comes_again(
        monkeypatch, caplog, broken):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    bad = world.pagerduty.create_incident(world.api, "Broken", world.casey)
    world.run(1)
    good = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    spoiling = [True]

    def change(body):
        for entry in body.get("log_entries", ()):
            if spoiling[0] and entry["incident"]["id"] == bad:
                entry["incident"] = dict(broken, id=bad) if isinstance(broken, dict) else broken
        whole = isinstance(broken, dict) and broken.get("status") == "triggered"
        if spoiling[0] and not whole and body.get("incident", {}).get("id") == bad:
            body["incident"] = broken
        return body

    spoil(monkeypatch, world.pagerduty, change)
    with caplog.at_level(logging.WARNING, LOGGER.name):
        pollers.settle()
    assert len(world.records_of(good)) == 1
    if not isinstance(broken, dict):
        assert "names no incident" in caplog.text
        return
    if broken.get("status") != "triggered":
        assert bad in caplog.text
        assert world.records_of(bad) == []
    spoiling[0] = False
    pollers.settle()
    assert len(world.records_of(bad)) == 1
    assert bad not in world.store.values[CURSOR + "PagerDutyPollingSensor"][0]


@pytest.mark.parametrize("broken", [
    {"state": None}, {"state": ["new"]}, {"number": "no number", "id": None},
    {"number": None, "id": None}, {"number": {}, "id": []}, {"updated_at": "yesterday"},
    {"updated_at": None, "created_at": 5}, {"updated_at": 10 ** 400},
    {"assigned_to": [], "priority": {"a": 1}}])
def test_a_record_that_cannot_be_read_does_not_stop_the_others_and_comes_again(
        monkeypatch, caplog, broken):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    bad = world.stackflow.create_incident("Broken", "P1", group=GROUP, category="api")
    world.run(1)
    good = world.stackflow.create_incident("Database timeout", "P1", group=GROUP, category="api")
    spoiling = [True]

    def change(body):
        rows = body.get("data") if isinstance(body.get("data"), list) else [body]
        for row in rows:
            if spoiling[0] and row.get("number") == bad:
                row.update(broken)
        return body

    spoil(monkeypatch, world.stackflow, change)
    with caplog.at_level(logging.WARNING, LOGGER.name):
        pollers.settle()
    assert world.status(good) == "triggered"
    named = "number" not in broken
    if not named or "state" in broken:
        assert "cannot be read" in caplog.text
        assert (bad in caplog.text) == named
    spoiling[0] = False
    if not named:  # nothing tells which it is, until it is changed
        world.stackflow.update(bad, description="Mended")
    pollers.settle()
    assert world.status(bad) == "triggered"


def test_a_record_that_stays_unreadable_is_given_up_after_a_day(monkeypatch, caplog):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    bad = world.stackflow.create_incident("Broken", "P1", group=GROUP)

    def change(body):
        for row in body["data"] if isinstance(body.get("data"), list) else [body]:
            row["state"] = None
        return body

    spoil(monkeypatch, world.stackflow, change)
    for _ in range(3):
        pollers.poll("stackflow")
    assert bad in json.loads(world.store.values[CURSOR + "StackFlowPollingSensor"][0])["again"]
    world.run(24 * 3600 + 1)
    pollers.poll("stackflow")
    assert json.loads(world.store.values[CURSOR + "StackFlowPollingSensor"][0])["again"] == {}
    assert "%s is given up" % bad in caplog.text
    assert caplog.text.count("cannot be read") == 1


def test_a_record_that_was_deleted_meanwhile_is_forgotten(monkeypatch):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    bad = world.stackflow.create_incident("Broken", "P1", group=GROUP)
    spoil(monkeypatch, world.stackflow, lambda body: dict(
        body, data=[dict(row, state=None) for row in body["data"]])
        if isinstance(body.get("data"), list) else body)
    world.stackflow.faults.add("GET /prod/api/incidents/" + bad, "status", status=404)
    pollers.poll("stackflow")
    assert json.loads(world.store.values[CURSOR + "StackFlowPollingSensor"][0])["again"] == {}
    assert world.payloads == []
