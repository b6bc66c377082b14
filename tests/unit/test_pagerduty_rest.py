"""The REST client: lists, notes, who writes, and what a refused key leads to."""

import bisect
from datetime import timedelta

import pytest
import requests

from leaks import assert_leaks_no_secret
from pagerduty_stackflow.errors import ApiError, ConflictError, CredentialsError, NotFoundError
from pagerduty_stackflow.incidents import dedup_key, format_time, parse_time
from pagerduty_stackflow.pagerduty.events import EventsClient
from pagerduty_stackflow.pagerduty.rest import OFFSET_LIMIT, RestClient
from pagerduty_stackflow.transport import OutcomeUnknownError
from transport_site import BODY, QUERY, FakeClock
from transport_site import transport as site_transport
from world import World

NEW = "new-rest-key-0123456"
KEY = dedup_key("acme.stackflow.example", "INC0001234")
SENTENCE = ("API key expired or revoked: generate a new key in PagerDuty and update it in Secrets "
            "Manager")


class Site:
    """A world with one incident, and a client whose keys are counted as they are asked for."""

    def __init__(self):
        self.world = World()
        self.pagerduty = self.world.pagerduty
        self.events = EventsClient(self.world.settings, self.world.transport())
        self.events.trigger(self.world.api_key, KEY, "Disk full", "acme", "error")
        self.world.run(1)
        self.incident = self.pagerduty.incidents(KEY)[0]
        self.asked = []
        self.keys = {False: "rest-key-0123456789x", True: NEW}
        self.rest = RestClient(self.world.settings, self.world.transport(), self._key)
        self.pagerduty.requests.clear()

    def _key(self, refused):
        self.asked.append(refused)
        return self.keys[refused]

    def lines(self):
        return ["%s %s" % (one.method, one.path) for one in self.pagerduty.requests]


@pytest.fixture
def site():
    return Site()


def test_an_incident_is_read(site):
    found = site.rest.incident(site.incident.id)
    assert (found.id, found.status, found.service_id) == (
        site.incident.id, "triggered", site.world.api)
    headers = site.pagerduty.requests[0].headers
    assert headers["accept"] == "application/vnd.pagerduty+json;version=2"
    assert headers["authorization"] == "Token token=" + site.keys[False] and "from" not in headers


def test_an_unknown_incident_is_not_found(site):
    with pytest.raises(NotFoundError) as caught:
        site.rest.incident("Q0UNKNOWN00000")
    assert caught.value.status == 404 and "check the id" in caught.value.hint
    assert_leaks_no_secret(caught.value, site.keys[False])


@pytest.mark.parametrize("code", [2100, 5001])
def test_a_code_may_say_so_with_another_status(site, code):
    site.pagerduty.faults.add("GET /incidents", status=400, body={
        "error": {"message": "Incident Not Found", "code": code}})
    with pytest.raises(NotFoundError):
        site.rest.incident(site.incident.id)


@pytest.mark.parametrize("code", [1001, 1002, 1005])
def test_somebody_else_was_faster(site, code):
    site.pagerduty.faults.add("PUT /incidents", status=400, body={
        "error": {"message": "Invalid", "code": code, "errors": ["moved"]}})
    with pytest.raises(ConflictError) as caught:
        site.rest.set_status(site.incident.id, "resolved")
    assert caught.value.code == code and len(site.pagerduty.requests) == 1


def test_an_incident_is_found_by_its_dedup_key_also_when_resolved(site):
    assert [one.id for one in site.rest.incidents_of_key(KEY)] == [site.incident.id]
    assert site.rest.incidents_of_key("stackflow:nobody:INC1") == []
    assert site.rest.alerts(site.incident.id) == {KEY: (site.incident.service_id, "triggered")}
    site.events.resolve(site.world.api_key, KEY)
    site.world.run(60 * 86400)
    later = RestClient(site.world.settings, site.world.transport(), site._key)
    assert [one.status for one in later.incidents_of_key(KEY)] == ["resolved"]


def test_an_empty_dedup_key_would_match_every_incident_and_is_never_sent(site):
    with pytest.raises(ValueError):
        site.rest.incidents_of_key("")
    assert site.pagerduty.requests == []


class Rows:
    """A server with so many rows, of which it gives so many at once."""

    def __init__(self, total, largest=100):
        self.asked = []
        self.total, self.largest = total, largest

    def request(self, call):
        given = dict(call.params)
        offset, limit = int(given["offset"]), int(given["limit"])
        assert offset + limit <= OFFSET_LIMIT and limit > 0
        self.asked.append((offset, limit))
        end = min(offset + min(limit, self.largest), self.total)
        body = {"alerts": [{"alert_key": str(at)} for at in range(offset, end)],
                "more": end < self.total}
        return body


@pytest.mark.parametrize("total, largest, calls", [
    (0, 100, 1), (1, 100, 1), (100, 100, 1), (101, 100, 2), (250, 100, 3), (250, 60, 5),
    (9999, 100, 100), (9990, 70, 143)])
def test_every_row_of_a_list_once_whatever_the_server_gives_at_once(site, total, largest, calls):
    rows = Rows(total, largest)
    rest = RestClient(site.world.settings, rows, site._key)
    assert list(rest.alerts("Q0")) == [str(at) for at in range(total)]
    assert len(rows.asked) == calls


@pytest.mark.parametrize("largest", [100, 70])
def test_beyond_the_offset_limit_nothing_is_asked(site, largest):
    rows = Rows(25000, largest)
    rest = RestClient(site.world.settings, rows, site._key)
    assert list(rest.alerts("Q0")) == [str(at) for at in range(OFFSET_LIMIT)]


class OpenIncidents:
    """A server with open incidents created at these times, by the rules of List Incidents."""

    def __init__(self, times):
        self.times = sorted(times)
        self.calls = 0

    def request(self, call):
        given, params = dict(call.params), call.params
        self.calls += 1
        assert given["sort_by"] == "created_at:asc" and ("service_ids[]", "P1") in params
        assert [value for name, value in params if name == "statuses[]"] == [
            "triggered", "acknowledged"]
        first, last = 0, len(self.times)
        if given.get("date_range") != "all":
            since, until = parse_time(given["since"]), parse_time(given["until"])
            assert timedelta(0) <= until - since <= timedelta(days=184)
            first = bisect.bisect_left(self.times, since)
            last = bisect.bisect_right(self.times, until)
        offset, limit = int(given["offset"]), int(given["limit"])
        assert offset + limit <= OFFSET_LIMIT
        begin, end = first + offset, min(first + offset + limit, last)
        body = {"incidents": [{"id": "Q%07d" % at, "created_at": format_time(self.times[at])}
                              for at in range(begin, end)], "more": end < last}
        return body


@pytest.mark.parametrize("count, seconds, calls", [
    (0, 60, 1), (100, 60, 1), (250, 60, 3), (9999, 60, 100), (10000, 60, 101), (10001, 60, 101),
    (25000, 60, 252), (12000, 6 * 3600, 134), (10100, 0.01, 103)])
def test_all_open_incidents_are_listed_beyond_the_offset_limit(site, count, seconds, calls):
    now = site.world.clock.now()
    server = OpenIncidents(now - timedelta(seconds=seconds * at) for at in range(count))
    rest = RestClient(site.world.settings, server, site._key)
    found = [one.id for one in rest.open_incidents(["P1"], now)]
    assert set(found) == {"Q%07d" % at for at in range(count)}
    assert server.calls <= calls


def test_more_incidents_within_a_second_than_a_list_shows_do_not_keep_it_for_ever(site):
    now = site.world.clock.now()
    times = [now - timedelta(hours=1)] * (OFFSET_LIMIT + 50) + [now]
    rest = RestClient(site.world.settings, OpenIncidents(times), site._key)
    assert "Q%07d" % (OFFSET_LIMIT + 50) in {one.id for one in rest.open_incidents(["P1"], now)}


def test_only_open_incidents_of_the_given_services_are_listed(site):
    world = site.world
    other = world.pagerduty.create_incident(world.database, "x", world.casey)
    world.pagerduty.create_incident(world.other, "x", world.casey)
    done = world.pagerduty.create_incident(world.api, "x", world.casey)
    world.pagerduty.resolve(done, world.casey)
    found = site.rest.open_incidents([world.api, world.database], world.clock.now())
    assert {one.id for one in found} == {site.incident.id, other}


def test_an_empty_page_ends_a_list_that_claims_more(site):
    site.pagerduty.faults.add("/alerts", status=200, times=5, body={"alerts": [], "more": True})
    assert list(site.rest.alerts(site.incident.id)) == [] and len(site.pagerduty.requests) == 1


@pytest.mark.parametrize("body", [{}, [], "x", None, {"alerts": None}, {"alerts": {}}])
def test_an_answer_without_a_list_is_no_proof_of_absence(site, body):
    site.pagerduty.faults.add("/alerts", status=200, body=body)
    with pytest.raises(ApiError) as caught:
        site.rest.alerts(site.incident.id)
    assert type(caught.value) is ApiError and caught.value.retryable
    site.pagerduty.faults.add("GET /incidents", status=200, body=body)
    with pytest.raises(ApiError) as caught:
        site.rest.incident(site.incident.id)
    assert type(caught.value) is ApiError and "api_url" in caught.value.hint


def test_rows_that_are_no_objects_are_passed_over(site):
    site.pagerduty.faults.add("/alerts", status=200, body={"alerts": [
        1, None, {"alert_key": 7}, {}, {"alert_key": "k"}]})
    assert list(site.rest.alerts(site.incident.id)) == ["k"]


def test_who_writes(site):
    site.rest.set_status(site.incident.id, "acknowledged", by="casey@example.com")
    site.rest.set_status(site.incident.id, "resolved", resolution="Replaced the disk")
    site.rest.add_note(site.incident.id, "Done")
    assert [one.headers["from"] for one in site.pagerduty.requests] == [
        "casey@example.com", "sync@example.com", "sync@example.com"]
    assert [one.json() for one in site.pagerduty.requests] == [
        {"incident": {"type": "incident_reference", "status": "acknowledged"}},
        {"incident": {"type": "incident_reference", "status": "resolved",
                      "resolution": "Replaced the disk"}},
        {"note": {"content": "Done"}}]


def test_a_person_is_known_by_the_address_as_pagerduty_spells_it(site):
    assert site.rest.user_email("CASEY@Example.com") == "casey@example.com"
    assert site.rest.user_email("casey@example.co") is None


@pytest.mark.parametrize("kind", ["drop_answer", "half_body", "not_json"])
def test_a_note_is_written_once_though_its_answer_is_lost(site, kind):
    site.pagerduty.faults.add("POST /incidents", kind, status=200)
    site.rest.add_note(site.incident.id, "Taken by Jane")
    assert [note.content for note in site.incident.notes] == ["Taken by Jane"]


@pytest.mark.parametrize("kind", ["reset", "status"])
def test_a_note_that_did_not_arrive_is_written_again(site, kind):
    site.pagerduty.faults.add("POST /incidents", kind)
    site.rest.add_note(site.incident.id, "Taken by\nJane ")
    assert [note.content.split() for note in site.incident.notes] == [["Taken", "by", "Jane"]]
    assert site.lines() == ["POST /incidents/%s/notes" % site.incident.id,
                            "GET /incidents/%s/notes" % site.incident.id,
                            "POST /incidents/%s/notes" % site.incident.id]


def test_a_note_that_never_arrives_fails(site):
    site.pagerduty.faults.add("POST /incidents", "reset", times=2)
    with pytest.raises(OutcomeUnknownError) as caught:
        site.rest.add_note(site.incident.id, BODY)
    assert_leaks_no_secret(caught.value, BODY, site.keys[False])
    assert len(site.incident.notes) == 0 and len(site.pagerduty.requests) == 4


@pytest.mark.parametrize("kind, status", [("drop_answer", 500), ("reset", 500), ("status", 500),
                                          ("status", 503), ("status", 408)])
def test_a_status_whose_fate_is_unknown_is_not_written_again(site, kind, status):
    site.pagerduty.faults.add("PUT /incidents", kind, status=status)
    with pytest.raises(OutcomeUnknownError):
        site.rest.set_status(site.incident.id, "resolved")
    assert len(site.pagerduty.requests) == 1


def test_a_rotated_key_costs_one_fresh_read(site):
    site.pagerduty.revoke_api_key(site.keys[False])
    site.pagerduty.add_api_key(NEW)
    site.rest.set_status(site.incident.id, "resolved")
    assert site.asked == [False, True] and site.pagerduty.incidents(KEY)[0].status == "resolved"


def test_a_key_that_is_refused_twice_says_what_to_do(site):
    site.pagerduty.revoke_api_key(site.keys[False])
    with pytest.raises(CredentialsError) as caught:
        site.rest.incident(site.incident.id)
    assert caught.value.message.startswith(SENTENCE) and "401" in caught.value.message
    assert caught.value.hint in SENTENCE and not caught.value.retryable
    assert site.asked == [False, True] and len(site.pagerduty.requests) == 2
    assert_leaks_no_secret(caught.value, NEW, site.keys[False])


def test_a_key_that_may_not_write_is_read_afresh_and_then_told_from_an_expired_one(site):
    site.pagerduty.revoke_api_key(site.keys[False])
    for key in (site.keys[False], NEW):
        site.pagerduty.add_api_key(key, read_only=True)
    with pytest.raises(ApiError) as caught:
        site.rest.set_status(site.incident.id, "resolved")
    assert type(caught.value) is ApiError and caught.value.status == 403
    assert "may not do this" in caught.value.hint and site.asked == [False, True]


def test_the_rate_limit_is_waited_for(site):
    site.pagerduty.switches.rest_limit = 1
    before = site.world.clock.now()
    for _ in range(2):
        site.rest.incident(site.incident.id)
    waited = (site.world.clock.now() - before).total_seconds()
    assert 1 <= waited <= 61
    assert [one.status for one in site.pagerduty.requests] == [200, 200]


def test_a_limit_that_others_used_up_is_waited_for(site):
    site.pagerduty.switches.rest_limit = 1
    other = RestClient(site.world.settings, site.world.transport(), site._key)
    for client in (other, site.rest):
        client.incident(site.incident.id)
    assert [one.status for one in site.pagerduty.requests] == [200, 429, 200]


def test_a_network_error_tells_neither_the_key_nor_whom_was_looked_for(site):
    def refuse(request, _):
        raise requests.exceptions.ConnectionError(
            "%s %s" % (request.url, request.headers), request=request)

    made = site_transport(function=refuse, clock=FakeClock(), total=3)
    rest = RestClient(site.world.settings, made, site._key)
    with pytest.raises(ApiError) as caught:
        rest.user_email(QUERY)
    assert_leaks_no_secret(caught.value, QUERY, site.keys[False])
