"""What the StackFlow simulator tells others: webhooks and SLA alerts, in process and over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request

import pytest

from dev.simulators.base import RunningClock, Request, run, serve
from dev.simulators.stackflow import EVENTS, Refusal, StackFlow

TOKEN = "manager-token"
SECRET = "fake-secret-fake-secret"
RECEIVER = "http://receiver.test/hook"


class Desk:
    """The simulator with one subscription to everything and a receiver that notes what comes."""

    def __init__(self):
        self.statuses = []
        self.received = []
        self.sim = StackFlow(sender=self.receive)
        self.switches = self.sim.switches
        self.sim.add_token(TOKEN, "itsm_manager")
        self.sim.subscribe(RECEIVER, secret=SECRET)

    def receive(self, url, headers, body):
        self.received.append((url, headers, body))
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise OSError("nobody there")
        return status

    def call(self, method, path, body):
        return self.sim.handle(Request.build(method, "/prod/api" + path,
                                             {"Authorization": "Bearer " + TOKEN}, body))

    def heard(self):
        """What has come since the last look, as JSON."""
        self.sim.tick()
        bodies, self.received = [json.loads(body.decode()) for _, _, body in self.received], []
        return bodies

    def names(self):
        return [body["event"] for body in self.heard()]

    def headers(self):
        """The headers and the raw body of the one delivery of a new incident."""
        self.received = []
        self.sim.create_incident("x")
        self.sim.tick()
        [(_, headers, body)] = self.received
        return headers, body


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.01)


@pytest.fixture
def desk():
    return Desk()


# Outbound webhooks

@pytest.mark.parametrize("prefix", ["", "sha256=", "v1="])
def test_a_delivery_is_signed_over_its_raw_bytes(desk, prefix):
    desk.switches.signature_prefix = prefix
    headers, body = desk.headers()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-StackFlow-Signature"] == prefix + digest
    assert "X-StackFlow-Secret" not in headers and headers["Content-Type"] == "application/json"


def test_a_delivery_carries_the_secret_itself_or_nothing_by_switch(desk):
    desk.switches.signature = "static"
    assert desk.headers()[0]["X-StackFlow-Secret"] == SECRET
    desk.switches.signature = "none"
    assert set(desk.headers()[0]) == {"Content-Type"}


def test_each_kind_of_change_is_one_event_with_the_earlier_values(desk):
    sim = desk.sim
    number = sim.create_incident("x", "P3", "Platform")
    sim.assign(number, person="jane@example.com", group="Databases")
    sim.set_priority(number, "P1")
    sim.set_state(number, "in_progress")
    sim.update(number, description="nobody hears of this")
    sim.add_note(number, "for all")
    sim.add_note(number, "for us", visibility="internal")
    sim.declare_major(number)
    heard = desk.heard()
    assert [(body["event"], body.get("previous")) for body in heard] == [
        ("incident.created", None),
        ("incident.assigned", {"assignment_group": "Platform", "assigned_to": None}),
        ("incident.priority_changed", {"priority": "P3"}),
        ("incident.state_changed", {"state": "new"}),
        ("incident.comment_added", None), ("major_incident.declared", None)]
    assert heard[1]["incident"]["assigned_to"] == "jane@example.com"
    assert heard[4]["note"]["text"] == "for all"
    assert len({body["id"] for body in heard}) == 6


def test_a_client_s_write_and_a_person_s_hand_cannot_be_told_apart(desk):
    first, second = [desk.sim.create_incident("x") for _ in range(2)]
    desk.heard()
    desk.call("PATCH", "/incidents/" + first, {"state": "resolved"})
    desk.sim.set_state(second, "resolved")
    one, other = desk.heard()
    for body in (one, other):
        del body["id"], body["incident"]["id"], body["incident"]["number"]
    assert one == other


@pytest.mark.parametrize("mode, resolved, worked", [
    ("changed", ["incident.state_changed"], ["incident.state_changed"]),
    ("only", ["incident.resolved"], ["incident.acknowledged"]),
    ("also", ["incident.state_changed", "incident.resolved"],
     ["incident.state_changed", "incident.acknowledged"])])
def test_the_names_for_resolved_and_in_progress_are_a_switch(desk, mode, resolved, worked):
    desk.switches.state_events = mode
    number = desk.sim.create_incident("x")
    desk.heard()
    desk.sim.set_state(number, "resolved")
    assert desk.names() == resolved
    desk.sim.reopen(number)
    assert desk.names() == worked
    desk.sim.set_state(number, "on_hold")
    assert desk.names() == ["incident.state_changed"]


@pytest.mark.parametrize("event", ["event", "event_type", "detail-type"])
@pytest.mark.parametrize("record", ["incident", "data.incident", "data", "detail.incident"])
@pytest.mark.parametrize("extras", ["beside", "top", "data"])
def test_a_body_has_the_form_that_the_switches_give_it(desk, event, record, extras):
    desk.switches.event_key, desk.switches.record_key = event, record
    desk.switches.extras_place, desk.switches.note_key = extras, "comment"
    desk.switches.time_key, desk.switches.id_key = "occurred_at", "event_id"
    number = desk.sim.create_incident("x")
    desk.heard()
    desk.sim.add_note(number, "hello")
    [body] = desk.heard()
    assert (body[event], body["occurred_at"]) == ("incident.comment_added", "2026-01-05T10:00:00Z")
    assert body["event_id"] == "evt_000002"
    found = body
    for name in record.split("."):
        beside, found = found, found[name]
    place = {"beside": beside, "top": body, "data": body.get("data")}[extras]
    assert found["number"] == number and place["comment"]["text"] == "hello"


def test_a_body_may_lack_its_id_previous_values_and_fields_and_name_people_as_objects(desk):
    desk.switches.id_key, desk.switches.send_previous = None, False
    desk.switches.record_omits, desk.switches.references_as_objects = ("id", "updated_at"), True
    number = desk.sim.create_incident("x", group="Platform")
    desk.sim.assign(number, person="jane@example.com")
    body = desk.heard()[1]
    assert set(body) == {"event", "timestamp", "incident"}
    assert not {"id", "updated_at"} & set(body["incident"])
    assert body["incident"]["assignment_group"] == {"name": "Platform"}
    assert body["incident"]["assigned_to"] == {"email": "jane@example.com"}


def test_states_in_a_webhook_are_spelt_as_the_api_spells_them(desk):
    desk.switches.state_names = {"new": "New", "on_hold": "On Hold"}
    desk.sim.set_state(desk.sim.create_incident("x"), "on_hold")
    body = desk.heard()[1]
    assert (body["incident"]["state"], body["previous"]) == ("On Hold", {"state": "New"})


def test_work_notes_are_events_by_switch(desk):
    desk.switches.comment_events = "all"
    number = desk.sim.create_incident("x")
    desk.call("POST", "/incidents/%s/notes" % number, {"note": "for us"})
    assert desk.names() == ["incident.created", "incident.comment_added"]


def test_a_failed_delivery_is_tried_again_unchanged_and_then_given_up(desk):
    desk.statuses = [500, None, 404, 503, 200]
    desk.sim.create_incident("x")
    run([desk.sim], 3600)
    [delivery] = desk.sim.deliveries
    times = [(at - delivery.created_at).total_seconds() for at, _ in delivery.attempts]
    assert times == [0, 10, 70, 370] and delivery.state == "dropped"
    assert len({(tuple(headers.items()), body) for _, headers, body in desk.received}) == 1


def test_deliveries_do_not_wait_for_each_other(desk):
    desk.statuses = [500]
    desk.sim.set_state(desk.sim.create_incident("x"), "in_progress")
    run([desk.sim], 60)
    assert [body["event"] for body in desk.heard()] == [
        "incident.created", "incident.state_changed", "incident.created"]


def test_a_webhook_made_by_request_shows_its_secret_once_and_obeys_events_and_filters(desk):
    rule = {"field": "incident.priority", "operator": "in", "value": ["P1", "P2"]}
    made = desk.call("POST", "/webhooks/outbound", {
        "name": "n", "url": "http://other.test/", "events": ["incident.created"],
        "filters": [rule]})
    assert made.status == 201 and made.json()["secret"]
    listed = desk.call("GET", "/webhooks/outbound", b"").json()["data"]
    assert [hook["url"] for hook in listed] == [RECEIVER, "http://other.test/"]
    assert "secret" not in listed[1]
    desk.sim.set_state(desk.sim.create_incident("x", "P2"), "in_progress")
    desk.sim.create_incident("y", "P3")
    desk.sim.tick()
    assert [url for url, _, _ in desk.received].count("http://other.test/") == 1
    assert desk.call("POST", "/webhooks/outbound", {
        "name": "n", "url": "http://x.test", "events": ["incident.updated"]}).status == 400


# SLA

def test_a_timer_warns_at_75_percent_breaches_at_100_and_recovers_each_once(desk):
    desk.sim.add_sla_policy("Standard", {"P1": {"resolution_minutes": 60}})
    number = desk.sim.create_incident("x", "P1")
    desk.heard()
    run([desk.sim], 2 * 3600)
    warning, breach = desk.heard()
    assert (warning["event"], warning["timestamp"]) == ("sla.warning", "2026-01-05T10:45:00Z")
    assert breach["sla"] == {"policy": "Standard", "metric": "resolution", "elapsed_percent": 100.0,
                             "breached_at": "2026-01-05T11:00:00Z"}
    desk.sim.set_state(number, "resolved")
    desk.heard()
    run([desk.sim], 300)
    assert desk.names() == ["sla.recovery"]
    desk.sim.reopen(number)
    run([desk.sim], 300)
    assert desk.names() == ["incident.state_changed", "sla.breach"]


def test_a_warning_that_came_to_nothing_has_no_recovery(desk):
    desk.sim.add_sla_policy("Standard", {"P1": {"resolution_minutes": 60}})
    number = desk.sim.create_incident("x", "P1")
    run([desk.sim], 50 * 60)
    desk.sim.set_state(number, "resolved")
    run([desk.sim], 3600)
    assert desk.names() == ["incident.created", "sla.warning", "incident.state_changed"]


def test_a_late_tick_finds_every_check_at_its_own_time(desk):
    desk.sim.add_sla_policy("Standard", {"P1": {"resolution_hours": 1}})
    desk.sim.create_incident("x", "P1")
    desk.sim.clock.advance(7200)
    assert [body["timestamp"] for body in desk.heard()[1:]] == [
        "2026-01-05T10:45:00Z", "2026-01-05T11:00:00Z"]


def test_the_timer_rests_while_the_customer_is_waited_for_but_not_for_a_vendor(desk):
    desk.sim.add_sla_policy("Standard", {"P1": {"resolution_minutes": 60}})
    numbers = [desk.sim.create_incident(state, "P1", state=state)
               for state in ("pending_customer", "pending_vendor")]
    run([desk.sim], 3600)
    breached = [body["incident"]["number"] for body in desk.heard()
                if body["event"] == "sla.breach"]
    assert breached == numbers[1:]


def test_leaving_new_is_the_first_response_and_other_priorities_have_other_targets(desk):
    desk.sim.add_sla_policy("Standard")
    worked = desk.sim.create_incident("worked", "P1")
    desk.sim.set_state(worked, "in_progress")
    left = desk.sim.create_incident("left", "P1")
    desk.sim.create_incident("minor", "P4")
    desk.heard()
    run([desk.sim], 15 * 60)
    assert [(body["event"], body["sla"]["metric"], body["incident"]["number"])
            for body in desk.heard()] == [("sla.breach", "first_response", left)]


def test_alerts_can_be_forced_and_are_published_to_their_topics(desk):
    number = desk.sim.create_incident("x")
    desk.sim.warn_sla(number, "P1-Response-SLA")
    desk.sim.breach_sla(number, "P1-Response-SLA")
    desk.sim.set_state(number, "in_progress")
    run([desk.sim], 300)
    assert desk.sim.next_due() is None
    messages = desk.sim.sns_messages
    assert [message["TopicArn"].rpartition(":")[2] for message in messages] == [
        "stackflow-sla-alerts", "stackflow-breach-notifications", "stackflow-sla-alerts"]
    inner = json.loads(messages[1]["Message"])
    assert (inner["event"], inner["sla"]["metric"]) == ("sla.breach", "first_response")
    assert [body["event"] for body in desk.heard() if "sla" in body] == [
        "sla.warning", "sla.breach", "sla.recovery"]


# Hands, read-outs, faults, HTTP

def test_people_are_refused_what_the_api_refuses(desk):
    number = desk.sim.create_incident("x")
    with pytest.raises(Refusal) as refusal:
        desk.sim.close(number)
    assert refusal.value.status == 409
    desk.sim.cancel(number)
    for act in (lambda: desk.sim.reopen(number),
                lambda: desk.sim.create_incident("x", colour="red"),
                lambda: desk.sim.create_incident("x", state="asleep")):
        with pytest.raises(Refusal):
            act()
    assert len(desk.sim.incidents()) == 1


def test_writes_hold_what_clients_asked_for_and_what_became_of_it(desk):
    number = desk.call("POST", "/incidents", {"short_description": "x"}).json()["number"]
    desk.sim.set_state(number, "in_progress")
    for body in ({"state": "resolved"}, {"state": "new"}, {"category": "disk"}):
        desk.call("PATCH", "/incidents/" + number, body)
    assert [(write.method, write.number, write.status) for write in desk.sim.writes] == [
        ("POST", number, 201), ("PATCH", number, 200), ("PATCH", number, 409),
        ("PATCH", number, 200)]
    assert [write.body for write in desk.sim.state_writes(number)] == [{"state": "resolved"}]


def test_an_answer_that_is_dropped_leaves_the_write_done(desk):
    desk.sim.faults.add("POST /prod/api/incidents", "drop_answer")
    with pytest.raises(ConnectionResetError):
        desk.call("POST", "/incidents", {"short_description": "x"})
    assert len(desk.sim.incidents(short_description="x")) == len(desk.sim.writes) == 1


def test_it_serves_over_http_and_its_webhooks_arrive():
    receiver, sim = StackFlow(), StackFlow(RunningClock())
    sim.add_token(TOKEN)
    with serve(receiver) as hooks, serve(sim) as server:
        sim.subscribe(hooks.url + "/prod/api/hook", EVENTS, SECRET)
        request = urllib.request.Request(
            server.url + "/prod/api/incidents", b'{"short_description": "x"}',
            {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201 and answer.headers["X-RateLimit-Limit"] == "600"
        with pytest.raises(urllib.error.HTTPError) as missing:
            urllib.request.urlopen(server.url + "/prod/api/incidents/x", timeout=10)
        assert missing.value.code == 401
        missing.value.close()
        wait_for(lambda: receiver.requests)
    signature = hmac.new(SECRET.encode(), receiver.requests[0].body, hashlib.sha256).hexdigest()
    assert receiver.requests[0].headers["x-stackflow-signature"] == signature
