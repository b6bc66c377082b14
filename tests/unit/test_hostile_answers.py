"""Whatever the two systems answer and whatever is stored, a call gives its result or an error of
the pack, and an action ends with an outcome or one.
"""

import json

import pytest
import requests
from call_sites import SITES, Scene
from hypothesis import given, strategies as st

from hostile import AT, anything, documents, replaced
from pagerduty_stackflow.errors import PackError
from pagerduty_stackflow.links import Link
from transport_site import Adapter
from world import ACTIONS, World, use_case

pytestmark = pytest.mark.fuzz
SLA_POLICY = "P1-Response-SLA"
MORE = {"set_stackflow_state": {"state": "resolved"}, "add_note": {"text": "Disk replaced"},
        "update_stackflow_incident": {"fields": {"priority": "P2"}},
        "follow_escalation": {"sla_policy": SLA_POLICY, "breach": {"trigger_on": "sla_breach"}}}
"""What an action is given beside the incident's id."""
EVERYTHING = "reconcile all"
ABOUT_INCIDENTS = sorted(name for name, action in ACTIONS.items()
                         if action["runner_type"] == "python-script" and
                         "incident_id" in action["parameters"]) + [EVERYTHING]
paths = st.lists(st.integers(0, 20), min_size=1, max_size=6)
others = anything | st.sampled_from(["", "new", "resolved", "triggered", "INC0001001", [], {}, 7])


def response(request, status, body, headers=()):
    made = requests.Response()
    made.status_code, made.request, made.url = status, request, request.url
    made.headers.update(headers)
    made._content, made._content_consumed = body, True
    made.raw = type("Raw", (), {"tell": lambda self: len(body), "close": lambda self: None})()
    return made


bodies = st.binary(max_size=30) | (anything | documents | documents.map(
    lambda one: {key: one for key in ("data", "incident", "incidents", "users", "error")})).map(
        lambda one: json.dumps(one).encode())
limits = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Length", "ratelimit-reset", "X-RateLimit-Reset"]),
    st.sampled_from(["", "x", "-1", "1e999", "\xb2", "9" * 40]))


@given(name=st.sampled_from(sorted(SITES)), status=st.sampled_from([200, 201, 204, 400, 404, 409]),
       body=bodies, headers=limits)
def test_any_answer_is_a_result_or_an_error_of_the_pack(name, status, body, headers):
    scene = Scene()
    scene.world.session.adapters.clear()
    scene.world.session.mount("https://", Adapter(
        lambda request, _: response(request, status, body, headers)))
    try:
        SITES[name].call(scene)
    except PackError as error:
        assert error.message and error.hint


class Garbling:
    """Changes one of the answers that a world's simulators give."""

    def __init__(self, world, turn, path, other):
        self.left, self._path, self._other = turn, path, other
        for simulator in (world.pagerduty, world.stackflow):
            setattr(simulator, "handle", self._garbled(simulator.handle))

    def _garbled(self, handle):
        def handle_and_garble(request):
            answer = handle(request)
            self.left -= 1
            if self.left == -1 and answer.body and request.headers.get("user-agent"):
                answer.body = json.dumps(replaced(answer.json(), self._path, self._other)).encode()
            return answer
        return handle_and_garble


def pair(world, born):
    """The id of an incident of either side that has a partner on the other."""
    if born:
        incident_id = world.pagerduty.create_incident(world.api, "Node is gone", world.casey)
        world.settle()
        return incident_id
    number = world.stackflow.create_incident("Disk full", "P1", group="Platform Engineering",
                                             category="api")
    world.settle()
    return number


def run(world, action, incident_id):
    """Run an action; a defect is what it raises beside errors of the pack."""
    world.configure(escalation_mapping=[{
        "stackflow_sla_policy": SLA_POLICY, "pagerduty_escalation_policy_id": world.policy,
        "trigger_on": "sla_breach"}])
    given_id = {} if action == EVERYTHING else {"incident_id": incident_id}
    try:
        use_case(action.partition(" ")[0])(world.pack(), **given_id, **MORE.get(action, {}))
    except PackError as error:
        assert error.message and error.hint


@given(action=st.sampled_from(ABOUT_INCIDENTS), born=st.booleans(), moved_on=st.booleans(),
       turn=st.integers(0, 5), path=paths, other=others)
def test_an_action_ends_with_an_outcome_or_an_error_whatever_is_answered(
        action, born, moved_on, turn, path, other):
    world = World()
    incident_id = pair(world, born)
    if moved_on:
        for one in world.pagerduty.incidents():
            world.pagerduty.resolve(one.id, world.casey)
    Garbling(world, turn, path, other)
    run(world, action, incident_id)


texts = st.sampled_from(["INC0001001", "Q0ABCDEF", "open", "acknowledged", "resolved", "absent", AT,
                         "new", "", True, False, "stackflow:acme.stackflow.example:INC0001001:3"])
stored = st.none() | st.text(max_size=8) | anything.map(json.dumps) | st.fixed_dictionaries(
    {}, optional={name: texts for name in Link._fields}).map(json.dumps)


@given(action=st.sampled_from(ABOUT_INCIDENTS), born=st.booleans(), link=stored, back=stored)
def test_an_action_ends_with_an_outcome_or_an_error_whatever_is_stored(action, born, link, back):
    world = World()
    incident_id = pair(world, born)
    for name in list(world.store.values):
        value = link if ".link." in name else back if ".pagerduty." in name else None
        if value is not None:
            world.store.set_value(name, value)
    run(world, action, incident_id)


def test_the_actions_about_an_incident_are_among_them():
    assert {"trigger_incident", "acknowledge_incident", "resolve_incident", "get_incident",
            "create_stackflow_incident", "set_stackflow_state", "reroute_incident",
            "update_stackflow_incident"} <= set(ABOUT_INCIDENTS)
