"""REST on the PagerDuty simulator: who may call, what is listed, what is refused."""

from __future__ import annotations

import pytest

from dev.simulators.pagerduty import Refused
from pagerduty_site import Site, code, reference


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("headers, expected", [
    ({"Authorization": "Token token=nobody"}, (401, 2006)), ({"From": ""}, (400, 2016)),
    ({"From": "nobody@example.com"}, (400, 1008)), ({"Accept": "*/*"}, (400, 2001)),
    ({"Content-Type": "text/plain"}, (400, 2001))])
def test_a_call_without_proper_headers_is_refused(site, headers, expected):
    incident = site.opened()
    body = {"incident": {"type": "incident_reference", "status": "resolved"}}
    path = "/incidents/" + incident.id
    assert code(site.rest("PUT", path, body, **headers)) == expected
    assert incident.status == "triggered"


def test_keys_may_be_read_only_personal_or_revoked(site):
    incident = site.opened()
    site.pd.add_api_key("reader", read_only=True)
    site.pd.add_api_key("personal", user=site.ann)
    note, path = {"note": {"content": "hi"}}, "/incidents/{}/notes".format(incident.id)
    assert code(site.rest("POST", path, note, key="reader")) == (403, 2010)
    assert site.rest("POST", path, note, key="personal", From="").status == 200
    assert incident.notes[0].user_id == site.ann
    assert site.rest("GET", "/users/me", key="personal").json()["user"]["id"] == site.ann
    assert isinstance(site.rest("GET", "/users/me").json()["error"], str)
    site.pd.revoke_api_key("personal")
    assert site.rest("GET", "/users/me", key="personal").status == 401


def test_rest_is_limited_and_says_how_long():
    site = Site(rest_limit=2)
    last = [site.rest("GET", "/abilities") for _ in range(3)][-1]
    assert code(last) == (429, 2020) and last.headers["ratelimit-remaining"] == "0"
    site.pd.clock.advance(int(last.headers["ratelimit-reset"]))
    assert site.rest("GET", "/abilities").status == 200


def test_lists_come_in_pages_and_end_at_ten_thousand(site):
    for number in range(3):
        site.opened("k{}".format(number))
    page = site.rest("GET", "/incidents?limit=2&sort_by=incident_number:desc").json()
    assert [one["incident_number"] for one in page["incidents"]] == [3, 2] and page["more"]
    assert site.rest("GET", "/incidents?limit=2&offset=2&total=true").json()["total"] == 3
    assert code(site.rest("GET", "/incidents?limit=100&offset=9901")) == (400, 2001)


@pytest.mark.parametrize("query, numbers", [
    ("incident_key=k2", [2]), ("incident_key=", [1, 2, 3]), ("incident_key=own", [3]),
    ("statuses[]=resolved", [1]), ("statuses[]=resolved&statuses[]=triggered", [1, 2, 3]),
    ("service_ids[]={other}", [3]), ("urgencies[]=low", [3]), ("user_ids[]={ann}", [2])])
def test_incidents_are_filtered(site, query, numbers):
    site.opened("k1")
    site.event("resolve", "k1")
    site.opened("k2")
    body = {"incident": {"type": "incident", "title": "By hand", "incident_key": "own",
                         "urgency": "low", "service": reference(site.other_service)}}
    assert site.rest("POST", "/incidents", body).status == 201
    query = query.format(other=site.other_service, ann=site.ann)
    rows = site.rest("GET", "/incidents?" + query).json()["incidents"]
    assert [one["incident_number"] for one in rows] == numbers
    assert code(site.rest("POST", "/incidents", body)) == (400, 2002)


def test_incidents_older_than_a_month_show_only_on_demand(site):
    site.opened()
    site.pd.clock.advance(31 * 86400)
    assert site.rest("GET", "/incidents").json()["incidents"] == []
    assert len(site.rest("GET", "/incidents?date_range=all").json()["incidents"]) == 1


def test_a_bulk_update_is_all_or_nothing_and_at_most_250(site):
    first, second = site.opened("k1"), site.opened("k2")
    site.event("resolve", "k2")
    rows = [{"id": one.id, "type": "incident_reference", "status": "resolved"}
            for one in (first, second)]
    assert code(site.rest("PUT", "/incidents", {"incidents": rows})) == (400, 1001)
    assert first.status == "triggered"
    assert site.rest("PUT", "/incidents", {"incidents": rows * 126}).status == 413
    assert site.rest("PUT", "/incidents", {"incidents": rows[:1]}).status == 200
    assert first.status == "resolved"


def test_the_overview_of_log_entries_leaves_out_pages_and_moves(site):
    incident = site.opened()
    site.event("acknowledge")
    site.pd.move(incident.id, site.other_service, site.ann)
    site.pd.set_priority(incident.id, "P1", site.ann)
    entries = site.rest("GET", "/log_entries?is_overview=true&include[]=incidents").json()
    assert [one["type"] for one in entries["log_entries"]] == ["acknowledge_log_entry",
                                                               "trigger_log_entry"]
    assert entries["log_entries"][0]["incident"]["service"]["id"] == site.other_service


def test_the_integration_key_shows_only_when_included(site):
    path = "/services/" + site.service
    assert site.key not in site.rest("GET", path).body.decode()
    service = site.rest("GET", path + "?include[]=integrations").json()["service"]
    assert site.key in [one["integration_key"] for one in service["integrations"]]


def test_faults_spoil_requests_before_or_after_they_are_carried_out(site):
    incident = site.opened()
    for kind, status in (("reset", "triggered"), ("drop_answer", "resolved")):
        site.pd.faults.add("PUT /incidents", kind)
        with pytest.raises(ConnectionResetError):
            site.put(incident, status="resolved")
        assert incident.status == status
    site.pd.faults.add("GET /incidents", status=503)
    assert [site.rest("GET", "/incidents").status for _ in range(2)] == [503, 200]


def test_people_cannot_do_what_the_state_forbids(site):
    incident = site.opened()
    for forbidden in (lambda: site.pd.reopen(incident.id, site.ann),
                      lambda: site.pd.unacknowledge(incident.id, site.ann)):
        with pytest.raises(Refused):
            forbidden()
