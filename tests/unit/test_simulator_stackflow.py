"""The StackFlow simulator's API keeps the rules of the vendor's pages, and its switches work."""

from __future__ import annotations

import pytest

from dev.simulators.base import Request
from dev.simulators.stackflow import StackFlow

TOKEN = "manager-token"
SECRET = "fake-secret-fake-secret"
STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
ALLOWED = {("resolved", "in_progress"), ("resolved", "closed")} | {
    (before, after) for before in STATES[:5] for after in STATES[1:6] + ("cancelled",)
    if before != after}


class Desk:
    """The simulator, and a client of its API with a token."""

    def __init__(self):
        self.sim = StackFlow()
        self.switches = self.sim.switches
        self.sim.add_token(TOKEN, "itsm_manager", user="manager@example.com")
        self.sim.add_group("Platform Engineering")
        self.sim.add_user("jane@example.com", "Jane Doe", groups=["Platform Engineering"])

    def call(self, method, path, body=b"", token=TOKEN, base="/prod/api"):
        headers = {"Authorization": "Bearer " + token} if token else {}
        return self.sim.handle(Request.build(method, base + path, headers, body))

    def post(self, **fields):
        return self.call("POST", "/incidents", dict({"short_description": "Disk full"}, **fields))

    def patch(self, number, **fields):
        return self.call("PATCH", "/incidents/" + number, fields)

    def found(self, query):
        answer = self.call("GET", "/incidents?sort=created_at&order=asc&" + query)
        return [record["short_description"] for record in answer.json()["data"]]


@pytest.fixture
def desk():
    return Desk()


# Incidents

def test_health_needs_no_token_and_everything_else_does(desk):
    assert desk.call("GET", "/health", token=None).json()["status"] == "healthy"
    assert desk.call("GET", "/incidents", token=None).status == 401


def test_a_created_incident_is_a_whole_record_that_both_paths_show(desk):
    created = desk.post(priority="P2", assignment_group="Platform Engineering")
    record = created.json()
    assert created.status == 201 and record["id"] == record["number"] == "INC0001001"
    assert record["state"] == "new" and record["opened_by"] == "manager@example.com"
    assert record["created_at"] == record["updated_at"] == "2026-01-05T10:00:00Z"
    assert record["resolved_at"] is None and record["change_id"] is None
    assert desk.call("GET", "/incidents/INC0001001").json() == record
    listed = desk.call("GET", "/incidents", base="/prod/api/v1").json()
    assert listed == {"data": [record], "page": 1, "limit": 50, "total": 1}


@pytest.mark.parametrize("body, status, code", [
    ({}, 400, "VALIDATION_ERROR"), ({"short_description": ""}, 400, "VALIDATION_ERROR"),
    ({"short_description": "x", "priority": "P5"}, 400, "VALIDATION_ERROR"),
    ({"short_description": "x", "state": "asleep"}, 400, "VALIDATION_ERROR"),
    ({"short_description": "x", "state": ["new"]}, 400, "VALIDATION_ERROR"),
    ({"short_description": 7}, 400, "VALIDATION_ERROR"), ([], 400, "VALIDATION_ERROR"),
    (b"{", 400, "VALIDATION_ERROR"),
    ({"short_description": "x", "assignment_group": "Nobody"}, 422, "BUSINESS_RULE_VIOLATION")])
def test_a_bad_create_is_refused_and_makes_nothing(desk, body, status, code):
    answer = desk.call("POST", "/incidents", body)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert desk.sim.incidents() == []


@pytest.mark.parametrize("query, expected", [
    ("state=in_progress", ["two"]), ("state=closed", []), ("priority=P1", ["one"]),
    ("category=database", ["one", "two"]), ("assignment_group=Platform+Engineering", ["two"]),
    ("assigned_to=jane@example.com", ["three"]),
    ("created_after=2026-01-05T10:00:00Z", ["two", "three"]),
    ("created_before=2026-01-05T10:01:00%2B00:00", ["one"]),
    ("category=database&priority=P3", ["two"])])
def test_every_filter_selects_and_filters_combine(desk, query, expected):
    desk.sim.create_incident("one", "P1", category="database")
    desk.sim.clock.advance(60)
    two = desk.sim.create_incident("two", "P3", "Platform Engineering", category="database")
    desk.sim.set_state(two, "in_progress")
    desk.sim.clock.advance(60)
    desk.sim.create_incident("three", "P4", person="jane@example.com")
    assert desk.found(query) == expected


@pytest.mark.parametrize("query", ["state=asleep", "priority=P9", "sort=number", "order=up",
                                   "page=0", "limit=x", "created_after=yesterday"])
def test_a_filter_that_means_nothing_is_a_400(desk, query):
    assert desk.call("GET", "/incidents?" + query).status == 400


def test_a_search_finds_every_word_in_either_text_or_by_switch_the_text_as_it_stands(desk):
    desk.sim.create_incident("Database slow", description="timeout in region [mark:Q1]")
    desk.sim.create_incident("Timeout of a job", description="no data base here")
    assert desk.found("q=database+timeout") == ["Database slow"]
    assert desk.found("q=MARK+q1") == ["Database slow"]
    assert desk.found("q=data") == ["Timeout of a job"]
    desk.switches.search = "substring"
    assert desk.found("q=timeout") == ["Database slow", "Timeout of a job"]
    assert desk.found("q=database+timeout") == []
    assert desk.found("q=%5Bmark%3Aq1%5D") == ["Database slow"]


def test_lists_sort_by_time_of_change_and_by_priority(desk):
    first = desk.sim.create_incident("first", "P2")
    desk.sim.clock.advance(1)
    desk.sim.create_incident("second", "P1")
    desk.sim.clock.advance(1)
    desk.sim.set_state(first, "on_hold")
    answers = [desk.call("GET", "/incidents?" + query).json()["data"] for query in (
        "sort=updated_at&order=desc", "sort=priority&order=asc", "")]
    assert [answer[0]["short_description"] for answer in answers] == ["first", "second", "second"]


def test_pages_cover_everything_once_and_no_page_holds_more_than_200(desk):
    for at in range(203):
        desk.sim.create_incident(str(at))
    pages = [desk.call("GET", "/incidents?limit=500&page=%d" % page).json() for page in (1, 2, 3)]
    assert [len(page["data"]) for page in pages] == [200, 3, 0] and pages[0]["limit"] == 200
    assert len({record["id"] for page in pages for record in page["data"]}) == 203
    desk.switches.limit_above_max = "refuse"
    assert desk.call("GET", "/incidents?limit=201").status == 400


def test_the_envelope_of_a_list_is_a_switch(desk):
    for at in range(4):
        desk.sim.create_incident(str(at))
    envelopes = {}
    for form in ("page", "none", "has_more", "next"):
        desk.switches.pagination = form
        both = [desk.call("GET", "/incidents?limit=2&q=&page=%d" % page).json() for page in (1, 2)]
        envelopes[form] = [{key: page[key] for key in page if key != "data"} for page in both]
    assert envelopes == {
        "page": [{"page": 1, "limit": 2, "total": 4}, {"page": 2, "limit": 2, "total": 4}],
        "none": [{}, {}], "has_more": [{"has_more": True}, {"has_more": False}],
        "next": [{"next": "/prod/api/incidents?q=&page=2&limit=2"}, {"next": None}]}


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_state_changes_along_the_table_and_else_is_a_409(desk, before, after):
    number = desk.sim.create_incident("x", state=before)
    answer = desk.patch(number, state=after, description="changed")
    if before == after or (before, after) in ALLOWED:
        assert (answer.status, answer.json()["state"]) == (200, after)
        assert (answer.json()["resolved_at"] is not None) == (after in ("resolved", "closed") and
                                                              "resolved" in (before, after))
    else:
        assert (answer.status, answer.json()["code"]) == (409, "INVALID_STATE_TRANSITION")
        record = desk.sim.incident(number)
        assert (record["state"], record["description"]) == (before, "")


def test_writing_the_state_it_has_changes_nothing_or_by_switch_is_a_409(desk):
    number = desk.sim.create_incident("x")
    desk.sim.clock.advance(60)
    assert desk.patch(number, state="new").json()["updated_at"] == "2026-01-05T10:00:00Z"
    desk.switches.same_state = "refuse"
    assert desk.patch(number, state="new").status == 409


def test_a_resolve_without_the_fields_that_a_switch_requires_is_a_422(desk):
    desk.switches.resolve_requires = ("resolution_notes",)
    number = desk.sim.create_incident("x")
    assert desk.patch(number, state="resolved").status == 422
    record = desk.patch(number, state="resolved", resolution_notes="replaced").json()
    assert (record["state"], record["resolution_notes"]) == ("resolved", "replaced")


def test_states_are_spelt_by_the_table_and_only_so(desk):
    desk.switches.state_names = {"pending_customer": "Pending Customer"}
    number = desk.sim.create_incident("x")
    assert desk.patch(number, state="pending_customer").status == 400
    assert desk.patch(number, state="Pending Customer").json()["state"] == "Pending Customer"
    assert desk.found("state=Pending+Customer") == ["x"]


def test_unknown_fields_are_ignored_or_refused_and_a_number_cannot_be_written(desk):
    number = desk.sim.create_incident("x")
    body = {"number": "INC0000001", "colour": "red", "category": "disk"}
    record = desk.call("PATCH", "/incidents/" + number, body).json()
    assert (record["number"], record["category"], "colour" in record) == (number, "disk", False)
    desk.switches.unknown_fields = "refuse"
    assert desk.patch(number, colour="red").status == 400
    assert desk.patch("INC9999999", priority="P1").status == 404


def test_a_duplicate_is_a_409_when_the_switch_says_so(desk):
    number = desk.post(description="mark").json()["number"]
    assert desk.post(description="mark").status == 201
    desk.switches.duplicates = "refuse"
    assert desk.post(description="mark").json()["code"] == "DUPLICATE_RECORD"
    for one in (number, "INC0001002"):
        desk.sim.cancel(one)
    assert desk.post(description="mark").status == 201


def test_only_an_administrator_deletes(desk):
    number = desk.sim.create_incident("x")
    desk.sim.add_token("admin-token", "super_admin")
    assert desk.call("DELETE", "/incidents/" + number).status == 403
    assert desk.call("DELETE", "/incidents/" + number, token="admin-token").status == 204
    assert desk.call("GET", "/incidents/" + number).status == 404


def test_notes_are_kept_in_order_under_the_name_that_the_switch_gives(desk):
    number = desk.sim.create_incident("x")
    path = "/incidents/%s/notes" % number
    assert desk.call("POST", path, {"note": "one"}).json()["visibility"] == "internal"
    desk.switches.note_field = "body"
    assert desk.call("POST", path, {"note": "two"}).status == 400
    assert desk.call("POST", path, {"body": "two", "visibility": "public"}).status == 201
    assert desk.call("POST", path, {"body": "x", "visibility": "secret"}).status == 400
    listed = desk.call("GET", path).json()["data"]
    assert [note["body"] for note in listed] == ["one", "two"] and listed == desk.sim.notes(number)


def test_times_have_milliseconds_by_switch(desk):
    desk.switches.time_precision = "milliseconds"
    desk.sim.clock.advance(0.0625)
    assert desk.post().json()["created_at"] == "2026-01-05T10:00:00.062Z"


def test_groups_and_users_are_listed_and_read_by_id(desk):
    group = desk.call("GET", "/groups").json()["data"][0]
    user = desk.call("GET", "/users?role=itsm_agent&active=true").json()["data"][0]
    assert group["name"] == "Platform Engineering" and user["assignment_groups"] == [group["name"]]
    assert desk.call("GET", "/groups/" + group["id"]).json() == group
    assert desk.call("GET", "/users/" + user["id"]).json() == user
    assert desk.call("GET", "/users?role=viewer").json()["data"] == []
    assert [desk.call("GET", path).status for path in ("/groups/x", "/users/x", "/x")] == [404] * 3


def test_errors_have_either_of_the_two_printed_shapes(desk):
    flat = desk.call("GET", "/incidents/x").json()
    desk.switches.error_shape = "nested"
    nested = desk.call("GET", "/incidents/x").json()
    assert set(flat) == {"error", "code", "requestId"} and set(nested) == {"error"}
    assert set(nested["error"]) == {"code", "message", "request_id", "timestamp"}
    assert flat["code"] == nested["error"]["code"] == "NOT_FOUND"


# Identity and limits

def test_a_token_of_the_wrong_kind_is_a_403(desk):
    desk.sim.add_token("id-token", "viewer", "id")
    desk.sim.add_token("access-token", "viewer", "access")
    outcomes = {}
    for accepts in ("both", "id", "access"):
        desk.switches.accepts = accepts
        outcomes[accepts] = [desk.call("GET", "/incidents", token=token).status
                             for token in ("id-token", "access-token", TOKEN)]
    assert outcomes == {"both": [200, 200, 200], "id": [200, 403, 200], "access": [403, 200, 200]}


def test_client_credentials_give_a_token_that_expires_after_an_hour(desk):
    desk.sim.add_client("pack", SECRET)

    def ask(**form):
        body = "&".join("=".join(pair) for pair in form.items()).encode()
        return desk.sim.handle(Request.build("POST", "/oauth2/token", {}, body))
    good = dict(grant_type="client_credentials", client_id="pack", client_secret=SECRET)
    answer = ask(**good).json()
    token = answer.pop("access_token")
    assert answer == {"expires_in": 3600, "token_type": "Bearer"}
    desk.sim.clock.advance(3599)
    assert desk.call("GET", "/incidents", token=token).status == 200
    desk.sim.clock.advance(1)
    expired = desk.call("GET", "/incidents", token=token)
    assert (expired.status, expired.json()["code"]) == (401, "TOKEN_EXPIRED")
    desk.switches.id_token_with_client_credentials = True
    assert "id_token" in ask(**good).json()
    assert ask(**dict(good, client_secret="x")).json() == {"error": "invalid_client"}
    assert ask(grant_type="password").json() == {"error": "unsupported_grant_type"}


def test_a_user_signs_in_with_a_password_unless_a_challenge_comes_first(desk):
    desk.sim.add_client("app")
    desk.sim.add_user("bot@example.com", role="itsm_manager", password="fake")
    desk.sim.add_user("root@example.com", role="super_admin", password="fake")

    def sign_in(name, password):
        body = {"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": "app",
                "AuthParameters": {"USERNAME": name, "PASSWORD": password}}
        target = {"X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth"}
        return desk.sim.handle(Request.build("POST", "/", target, body)).json()
    result = sign_in("bot@example.com", "fake")["AuthenticationResult"]
    assert result["ExpiresIn"] == 3600 and result["IdToken"] != result["AccessToken"]
    assert desk.call("GET", "/incidents", token=result["IdToken"]).status == 200
    assert sign_in("bot@example.com", "wrong")["__type"] == "NotAuthorizedException"
    assert "AuthenticationResult" not in sign_in("root@example.com", "fake")
    desk.switches.user_password_auth = False
    assert sign_in("bot@example.com", "fake")["__type"] == "InvalidParameterException"


def test_a_revoked_token_is_a_401(desk):
    desk.sim.revoke(TOKEN)
    assert desk.call("GET", "/incidents").status == 401


@pytest.mark.parametrize("role, may_read, may_write", [
    ("super_admin", True, True), ("itsm_manager", True, True), ("service_account", True, True),
    ("itsm_agent", True, True), ("viewer", True, False), ("developer", False, False),
    ("", False, False)])
def test_a_role_may_what_its_row_says(desk, role, may_read, may_write):
    desk.sim.add_token("other-token", role, user="other@example.com")
    one = "/incidents/" + desk.sim.create_incident("x", by="other@example.com")
    reads = [("GET", "/incidents", b""), ("GET", one, b""), ("GET", one + "/notes", b"")]
    writes = [("POST", "/incidents", {"short_description": "x"}),
              ("PATCH", one, {"priority": "P1"}), ("POST", one + "/notes", {"note": "x"})]
    for calls, may in ((reads, may_read), (writes, may_write)):
        for call in calls:
            assert (desk.call(*call, token="other-token").status != 403) == may


def test_an_agent_sees_own_and_assigned_incidents_only(desk):
    desk.sim.add_token("agent-token", "itsm_agent", user="jane@example.com")
    other = desk.sim.create_incident("other")
    desk.sim.create_incident("assigned", person="jane@example.com")
    desk.sim.create_incident("own", by="jane@example.com")
    listed = desk.call("GET", "/incidents?order=asc", token="agent-token").json()
    assert [record["short_description"] for record in listed["data"]] == ["assigned", "own"]
    assert desk.call("GET", "/incidents/" + other, token="agent-token").status == 403


def test_the_61st_write_of_a_minute_is_a_429_that_says_when_to_come_back(desk):
    desk.sim.clock.advance(0.5)
    answers = [desk.post() for _ in range(61)]
    assert [answer.status for answer in answers] == [201] * 60 + [429]
    headers = answers[60].headers
    assert (headers["Retry-After"], headers["X-RateLimit-Remaining"]) == ("60", "0")
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Window"]) == ("60", "60")
    assert desk.call("GET", "/incidents").headers["X-RateLimit-Remaining"] == "239"
    desk.sim.clock.advance(60)
    assert desk.post().status == 201 and len(desk.sim.incidents()) == 61


def test_reads_have_300_a_minute_service_accounts_tenfold_and_a_switch_lifts_all(desk):
    statuses = [desk.call("GET", "/groups").status for _ in range(301)]
    assert statuses.count(429) == 1 and statuses[-1] == 429
    desk.sim.add_token("pack-token", "service_account")
    assert desk.call("GET", "/groups", token="pack-token").headers["X-RateLimit-Limit"] == "3000"
    desk.switches.rate_limits = False
    assert desk.call("GET", "/groups").status == 200
