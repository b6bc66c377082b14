"""The StackFlow client: every form of an answer that the vendor's pages leave open."""

from datetime import timedelta

import pytest

from leaks import assert_leaks_no_secret
from pagerduty_stackflow.errors import ApiError, ConflictError, CredentialsError, NotFoundError
from pagerduty_stackflow.incidents import mark
from pagerduty_stackflow.stackflow.client import PAGE, StackFlowClient
from pagerduty_stackflow.transport import OutcomeUnknownError
from transport_site import BODY
from world import SF_HOST, World

TOKEN, NEW = "stackflow-token", "fresh-stackflow-token"
PD_ID = "Q0ABCDEFGHIJKL"
STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
SPELLED = {"new": "Open", "in_progress": "WIP", "pending_vendor": "Waiting4Vendor",
           "resolved": "Done"}


class Site:
    """A world with one record, and a client whose tokens are counted as they are asked for."""

    def __init__(self, **stackflow):
        self.world = World()
        if stackflow:
            given = dict(self.world.config["stackflow"], **stackflow)
            self.world.configure(stackflow=given)
        self.stackflow = self.world.stackflow
        self.number = self.stackflow.create_incident(
            "Disk full", group="Platform Engineering", person="jane@example.com")
        self.asked = []
        self.renew()

    def renew(self):
        """A client as a run that begins now has it."""
        self.client = StackFlowClient(self.world.settings, self.world.transport(), self._token)

    def _token(self, refused):
        self.asked.append(refused)
        return NEW if refused else TOKEN

    def lines(self):
        return ["%s %s" % (one.method, one.path.partition("/incidents")[2])
                for one in self.stackflow.requests]

    def born(self, *ids, text="Opened by PagerDuty\n\n"):
        return [self.stackflow.create_incident("x", description=text + mark(one)) for one in ids]


@pytest.fixture
def site():
    return Site()


def test_a_record_is_read(site):
    record = site.client.incident(site.number)
    assert (record.number, record.state, record.assignment_group, record.assigned_to) == (
        site.number, "new", "Platform Engineering", "jane@example.com")
    assert record.is_complete and record.updated_at == site.world.clock.now()
    request = site.stackflow.requests[-1]
    assert request.path == "/prod/api/incidents/" + site.number
    assert request.headers["authorization"] == "Bearer " + TOKEN and "from" not in request.headers


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("shape", ["texts", "objects"])
def test_an_answer_may_be_wrapped_and_its_references_objects(site, wrapped, shape):
    record = dict(site.stackflow.incident(site.number), state="In Progress")
    if shape == "objects":
        record.update(assignment_group={"id": "g1", "name": "Platform Engineering"},
                      assigned_to={"name": "Jane", "email": "jane@example.com"},
                      state={"name": "In Progress"}, priority={"id": 1, "name": "P2"})
    for method in ("GET", "POST", "PATCH"):
        site.stackflow.faults.add(method, status=200, body={"data": record} if wrapped else record)
    for found in (site.client.incident(site.number), site.client.create({}),
                  site.client.update(site.number, {"priority": "P2"})):
        assert (found.number, found.state, found.priority, found.assignment_group,
                found.assigned_to) == (site.number, "in_progress", "P2", "Platform Engineering",
                                       "jane@example.com")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", [str, str.upper, str.title,
                                    lambda word: " %s " % word.replace("_", " ").title(),
                                    lambda word: word.replace("_", "-")])
def test_display_spellings_of_states_are_understood(site, state, change):
    site.stackflow.faults.add("GET", status=200, body={"id": "INC1", "state": change(state)})
    assert site.client.incident("INC1").state == state


def test_configured_spellings_of_states_are_read_and_written():
    site = Site(states=SPELLED)
    site.stackflow.switches.state_names = SPELLED
    assert site.client.incident(site.number).state == "new"
    for state in ("in_progress", "pending_vendor", "on_hold", "resolved"):
        assert site.client.update(site.number, {"state": state}).state == state
    assert [write.body["state"] for write in site.stackflow.writes] == [
        "WIP", "Waiting4Vendor", "on_hold", "Done"]
    record = dict(site.stackflow.incident(site.number), state="waiting4vendor")
    site.stackflow.faults.add("GET", status=200, body=record)
    assert site.client.incident(site.number).state == "pending_vendor"


def test_a_state_that_nobody_knows_stays_as_it_is(site):
    site.stackflow.faults.add("GET", status=200, body={"id": "INC1", "state": "Sleeping"})
    assert site.client.incident("INC1").state == "Sleeping"


def test_times_may_be_numbers(site):
    site.stackflow.faults.add("GET", status=200, body={"id": "INC1", "updated_at": 1767607200})
    assert site.client.incident("INC1").updated_at == site.world.clock.now()


BODIES = [{}, [], "x", None, {"data": None}, {"data": []}, {"id": None}, {"id": {}}]


@pytest.mark.parametrize("body", BODIES)
def test_an_answer_without_a_record_is_no_proof_of_absence(site, body):
    site.stackflow.faults.add("GET", status=200, body=body)
    with pytest.raises(ApiError) as caught:
        site.client.incident(site.number)
    assert type(caught.value) is ApiError and caught.value.retryable and caught.value.hint


@pytest.mark.parametrize("body", [{}, "x", None, {"data": None}, {"data": {}}])
def test_a_search_without_a_list_is_no_proof_of_absence(site, body):
    site.stackflow.faults.add("GET", status=200, body=body)
    with pytest.raises(ApiError) as caught:
        site.client.created_for(PD_ID)
    assert type(caught.value) is ApiError and caught.value.retryable


@pytest.mark.parametrize("body", BODIES)
def test_a_create_whose_answer_holds_no_record_has_to_be_looked_for(site, body):
    site.stackflow.faults.add("POST", status=201, body=body)
    with pytest.raises(OutcomeUnknownError):
        site.client.create({"short_description": "x"})


@pytest.mark.parametrize("body", BODIES + [{"id": "INC0001001", "state": "resolved"}])
def test_an_update_whose_answer_holds_no_whole_record_is_read_back(site, body):
    site.stackflow.faults.add("PATCH", status=200, body=body)
    record = site.client.update(site.number, {"priority": "P1"})
    assert record.number == site.number and record.is_complete
    assert site.lines() == ["PATCH /" + site.number, "GET /" + site.number]


def test_an_unknown_record_is_not_found(site):
    with pytest.raises(NotFoundError) as caught:
        site.client.incident("INC9999999")
    assert caught.value.status == 404 and caught.value.code == "NOT_FOUND"
    assert_leaks_no_secret(caught.value, TOKEN)


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_both_shapes_of_an_error_are_quoted(site, shape):
    site.stackflow.switches.error_shape = shape
    with pytest.raises(ConflictError) as caught:
        site.stackflow.cancel(site.number)
        site.client.update(site.number, {"state": "in_progress"})
    assert caught.value.status == 409 and caught.value.code
    assert "409 code" in caught.value.message and "cancelled" in caught.value.message
    site.stackflow.switches.resolve_requires = ("close_code",)
    number = site.stackflow.create_incident("y")
    with pytest.raises(ApiError) as caught:
        site.client.update(number, {"state": "resolved"})
    assert caught.value.status == 422 and "resolve_fields" in caught.value.hint
    assert "close_code" in caught.value.message


def test_records_are_found_by_the_mark_of_their_incident(site):
    numbers = site.born(PD_ID, "Q0OTHER0000000", PD_ID)
    site.stackflow.create_incident("talks about " + PD_ID, description="see %s" % PD_ID)
    site.stackflow.create_incident("forged", description="%s\n\n%s" % (
        mark(PD_ID), mark("Q0REALLY000000")))
    assert [one.number for one in site.client.created_for(PD_ID)] == [numbers[0], numbers[2]]
    assert site.stackflow.requests[-1].one("q") == PD_ID
    assert site.client.created_for("Q0NOBODY000000") == []


def test_the_lowest_number_comes_first_whatever_its_length(site):
    rows = [{"id": number, "description": mark(PD_ID)} for number in (
        "INC10000000", "INC9999999", "INC0000010", "INC9999999")]
    site.stackflow.faults.add("GET", status=200, body={"data": rows})
    assert [one.number for one in site.client.created_for(PD_ID)] == [
        "INC0000010", "INC9999999", "INC10000000"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_records_that_a_list_shows_without_description_are_read_one_by_one(site, wrapped):
    number, other = site.born(PD_ID, "Q0OTHER0000000")
    rows = [{"id": number}, {"number": other}, {"id": "INC9999999"}, {}, None, "x", {"id": 7}]
    site.stackflow.faults.add("GET", status=200, body={"data": rows} if wrapped else rows)
    assert [one.number for one in site.client.created_for(PD_ID)] == [number]


@pytest.mark.parametrize("pagination", ["page", "none", "has_more", "next"])
@pytest.mark.parametrize("total", [0, 1, PAGE, PAGE + 1])
def test_a_search_reads_every_page(site, pagination, total):
    site.stackflow.switches.pagination = pagination
    numbers = site.born(*[PD_ID] * total)
    assert [one.number for one in site.client.created_for(PD_ID)] == sorted(numbers)


AROUND = {
    "their size": lambda last: {"page": 1, "limit": 2},
    "their size, as text": lambda last: {"per_page": "2"},
    "an object with their size": lambda last: {"pagination": {"page_size": 2, "total": 5}},
    "that more follow": lambda last: {"meta": {"has_more": not last}},
    "a link to the next": lambda last: {"links": {"next": None if last else "/incidents?page=2"}}}


@pytest.mark.parametrize("around", list(AROUND))
def test_pages_shorter_than_asked_for_are_read_to_the_end_where_they_tell(site, around):
    numbers = site.born(*[PD_ID] * 5)
    rows = [{"id": number, "description": mark(PD_ID)} for number in numbers]
    for at in (0, 2, 4):
        page = dict(AROUND[around](at == 4), data=rows[at:at + 2])
        site.stackflow.faults.add("GET", status=200, body=page)
    assert [one.number for one in site.client.created_for(PD_ID)] == sorted(numbers)
    assert len(site.stackflow.requests) == 3


def test_a_server_that_knows_no_pages_is_not_asked_for_ever(site):
    rows = [{"id": "INC%07d" % at, "description": mark(PD_ID)} for at in range(PAGE)]
    site.stackflow.faults.add("GET", status=200, times=99, body=rows)
    assert len(site.client.created_for(PD_ID)) == PAGE
    assert len(site.stackflow.requests) == 2


def in_state(site, between=lambda: None):
    """The numbers that a list of new records gives, page by page; ``between`` two pages somebody
    acts.
    """
    pages = []
    for page in site.client.in_state("new"):
        pages.append([record.number for record in page])
        between()
    return pages


def many(site, total, seconds=1):
    """Records apart by so many seconds, beside the site's own."""
    for _ in range(total - 1):
        site.world.clock.advance(seconds)
        site.stackflow.create_incident("x", "P4")
    site.renew()
    return {record["number"] for record in site.stackflow.incidents()}


@pytest.mark.parametrize("seconds", [0, 0.3, 1, 86400])
@pytest.mark.parametrize("total", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 50])
def test_all_records_in_a_state_are_listed_oldest_first(site, total, seconds):
    numbers = many(site, total, seconds)
    pages = in_state(site)
    found = [number for page in pages for number in page]
    assert set(found) == numbers
    assert list(dict.fromkeys(found)) == sorted(numbers)
    assert len(pages) <= total // (PAGE - 4) + 2


def test_records_that_leave_the_state_while_it_is_listed_hide_no_others(site):
    numbers = many(site, 3 * PAGE)
    left = iter(sorted(numbers))

    def leave():
        for _ in range(PAGE // 2):
            site.stackflow.set_state(next(left), "in_progress")
    assert {number for page in in_state(site, leave) for number in page} == numbers


def test_a_state_is_listed_by_its_spelling():
    site = Site(states=SPELLED)
    site.stackflow.switches.state_names = SPELLED
    assert in_state(site) == [[site.number]]
    assert list(site.client.changed_since("resolved", site.world.clock.now())) == []
    assert [one.one("state") for one in site.stackflow.requests] == ["Open", "Done"]


@pytest.mark.parametrize("ignored", [("created_after",), ("created_after", "page")])
def test_a_server_that_knows_no_times_hides_no_records_and_is_not_asked_for_ever(site, ignored):
    numbers = many(site, 3 * PAGE + 10)
    handle = site.stackflow.handle

    def deaf(request):
        request.query = [pair for pair in request.query if pair[0] not in ignored]
        return handle(request)
    site.stackflow.handle = deaf
    found = {number for page in in_state(site) for number in page}
    assert found == (numbers if ignored == ("created_after",) else set(sorted(numbers)[:PAGE]))
    assert len(site.stackflow.requests) < 12


def test_what_changed_since_a_time_is_listed_newest_first_and_no_further(site):
    numbers = sorted(many(site, PAGE + 20, 60))
    for number in numbers:
        site.world.clock.advance(60)
        site.stackflow.cancel(number)
    site.renew()
    bound = site.world.clock.now() - timedelta(minutes=9)
    del site.stackflow.requests[:]
    found = [record.number for record in site.client.changed_since("cancelled", bound)]
    assert found == numbers[:-11:-1]
    assert len(site.stackflow.requests) == 1


def test_a_create_whose_answer_is_lost_is_not_repeated(site):
    for kind in ("drop_answer", "reset", "half_body", "not_json"):
        site.stackflow.requests.clear()
        site.stackflow.faults.add("POST", kind, status=200)
        with pytest.raises(OutcomeUnknownError) as caught:
            site.client.create({"short_description": BODY, "description": mark(PD_ID)})
        assert len(site.stackflow.requests) == 1
        assert_leaks_no_secret(caught.value, BODY, TOKEN)
    assert len(site.client.created_for(PD_ID)) == 3


@pytest.mark.parametrize("kind", ["drop_answer", "half_body", "not_json"])
@pytest.mark.parametrize("field", ["note", "text", "body"])
def test_a_note_is_written_once_though_its_answer_is_lost(site, kind, field):
    site.stackflow.faults.add("POST", kind, status=200)
    if field != "note":
        notes = {"data": [{"id": 1, field: "Taken by\r\nJane"}, None, "x"]}
        site.stackflow.faults.add("GET", status=200, body=notes)
    site.client.add_note(site.number, "Taken by\nJane")
    assert len(site.stackflow.notes(site.number)) == 1


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("tries, field", [(1, "text"), (2, "body"), (3, "content")])
def test_a_note_whose_text_has_another_name_here_is_written_under_that(site, tries, field, status):
    site.stackflow.faults.add("POST", status=status, times=tries, body={"error": "what note?"})
    site.stackflow.faults.add("POST", status=201, body={"data": {"id": "n1", field: "Taken"}})
    assert site.client.add_note(site.number, "Taken") == "n1"
    assert site.stackflow.requests[-1].json() == {field: "Taken"}


def test_a_note_that_is_refused_under_every_name_fails_with_the_first_words(site):
    site.stackflow.faults.add("POST", status=400, body={"error": "no notes today"})
    site.stackflow.faults.add("POST", status=400, times=10, body={"error": "what note?"})
    with pytest.raises(ApiError) as caught:
        site.client.add_note(site.number, "Taken")
    assert "no notes today" in caught.value.message


def test_a_note_is_found_behind_many_others(site):
    for at in range(PAGE + 10):
        site.stackflow.add_note(site.number, "note %d" % at)
    site.stackflow.faults.add("POST", "drop_answer")
    site.client.add_note(site.number, "Taken by Jane")
    assert len(site.stackflow.notes(site.number)) == PAGE + 11


def test_a_note_that_did_not_arrive_is_written_again(site):
    site.stackflow.faults.add("POST", "reset")
    site.client.add_note(site.number, "Taken by Jane")
    assert [note["note"] for note in site.stackflow.notes(site.number)] == ["Taken by Jane"]
    site.stackflow.faults.add("POST", "reset", times=2)
    with pytest.raises(OutcomeUnknownError):
        site.client.add_note(site.number, "never")


def test_an_expired_token_costs_one_fresh_one(site):
    site.stackflow.revoke(TOKEN)
    site.stackflow.add_token(NEW)
    site.client.update(site.number, {"priority": "P1"})
    assert site.asked == [False, True] and site.stackflow.incident(site.number)["priority"] == "P1"


def test_a_token_that_is_refused_twice_says_what_to_do(site):
    site.stackflow.revoke(TOKEN)
    with pytest.raises(CredentialsError) as caught:
        site.client.incident(site.number)
    assert "refuses the token" in caught.value.message and "stackflow.auth" in caught.value.hint
    assert site.asked == [False, True] and len(site.stackflow.requests) == 2
    assert_leaks_no_secret(caught.value, TOKEN, NEW)


def test_a_role_that_may_not_write_is_told_at_once(site):
    site.stackflow.revoke(TOKEN)
    site.stackflow.add_token(TOKEN, role="viewer")
    with pytest.raises(ApiError) as caught:
        site.client.update(site.number, {"state": "resolved"})
    assert caught.value.status == 403 and "role" in caught.value.message.lower()
    assert caught.value.hint and not caught.value.retryable


def test_the_write_limit_is_waited_for(site):
    site.stackflow.switches.writes_per_minute = 1
    site.stackflow.revoke(TOKEN)
    site.stackflow.add_token(TOKEN, role="itsm_manager")
    before = site.world.clock.now()
    for priority in ("P1", "P3"):
        site.client.update(site.number, {"priority": priority})
    assert 1 <= (site.world.clock.now() - before).total_seconds() <= 61
    assert [one.status for one in site.stackflow.requests] == [200, 200]


def test_a_limit_that_others_used_up_is_waited_for(site):
    site.stackflow.switches.writes_per_minute = 1
    site.stackflow.revoke(TOKEN)
    site.stackflow.add_token(TOKEN, role="itsm_manager")
    other = StackFlowClient(site.world.settings, site.world.transport(), site._token)
    other.update(site.number, {"priority": "P1"})
    site.client.update(site.number, {"priority": "P3"})
    assert [one.status for one in site.stackflow.requests] == [200, 429, 200]


def test_a_base_path_of_another_name():
    site = Site(api_path="/prod/api/v1/")
    assert site.client.incident(site.number).number == site.number
    assert site.stackflow.requests[-1].path.startswith("/prod/api/v1/incidents/")
    assert site.world.settings.stackflow.instance_url == SF_HOST
