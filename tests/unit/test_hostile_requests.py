"""Whoever sends whatever to the listener: without a signature no event comes of it and no datastore
call is made, and what stands behind a request that two readers could end differently is no request.
"""

import hashlib
import hmac
import json
import re
import socket
from email.message import Message
from types import SimpleNamespace

import pytest
import webhook_sensor
from hypothesis import assume, given, strategies as st
from st2tests.base import BaseSensorTestCase

from config_samples import changed
from hostile import AT, anything, documents, keys, names, replaced
from listener_bench import EVENT, PAGERDUTY, SECRET, STACKFLOW, benches, received, sign
from pagerduty_stackflow import deliveries
from pagerduty_stackflow.deliveries import BadDelivery, SignatureMismatch, SignatureMissing
from pagerduty_stackflow.links import Link
from pagerduty_stackflow.pagerduty import webhooks as pagerduty
from world import World

pytestmark = pytest.mark.fuzz
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n")


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        yield from benches(patch)


@pytest.fixture(scope="module")
def one(bench):
    return bench()


def sent(one, data):
    """The statuses that come back for bytes and then the end of the stream."""
    with one.connect() as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # hung up on already
        answer = received(connection)
    statuses = [int(status) for status in ANSWER.findall(answer)]
    assert bool(statuses) == bool(answer) == answer.startswith(b"HTTP/1.1 ")
    return statuses


def unharmed(one):
    """It still serves, nothing was handed on, and it complained of nothing but deliveries."""
    assert one.handled == [] and sent(one, HEALTH) == [200]
    assert not [line for line in one.messages if "webhook of" not in line and
                "listening" not in line]
    return True


PIECES = st.sampled_from([
    b"POST ", b"GET ", b"/webhooks/pagerduty", b"/webhooks/stackflow", b"/healthz", b" HTTP/1.1",
    b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"\r\n\r\n",
    b"Content-Length: 5", b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"hello",
    b"Expect: 100-continue", b"5\r\nhello\r\n0\r\n\r\n", b"X-PagerDuty-Signature: v1=", b"a" * 64,
    b"X-StackFlow-Signature: " + b"0" * 64, b"Connection: keep-alive", b"{}", b"\xff\xfe",
    b"Content-Type: application/json", b"X: " + b"y" * 70000])


@given(data=st.binary(max_size=80) | st.lists(PIECES, max_size=12).map(b"".join))
def test_no_bytes_without_a_signature_become_an_event_or_break_the_listener(one, data):
    statuses = sent(one, data)
    assert set(statuses) <= {100, 200, 400, 401, 404, 405, 411, 413, 503}
    if b"a" * 64 not in data and b"0" * 64 not in data:
        assert 503 not in statuses, "a 5xx by input alone"
    assert unharmed(one)


CLEAN = [b"Content-Length: 5", b"content-length: 5", b"Content-Length:5", b"CONTENT-LENGTH: 5 ",
         b"Host: st2.example", b"X-Something: else", b"Content-Type: application/json"]
ODD = [b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: +5", b"Content-Length: 5, 6",
       b"Content-Length: 0x5", b"Content-Length: -1", b"Content-Length: 5;", b"Content-Length",
       b"Content-Length: \xb5", b"Content-Length : 5", b" Content-Length: 5", b"Content-Length:",
       b"Content-Length: 5\r\n 0", b"X: y\r\n Content-Length: 5", b"X: y\rContent-Length: 31",
       b"Transfer-Encoding: chunked", b"transfer-encoding: identity", b"X: y\r\rZ: z", b"X: y\0",
       b"Transfer-Encoding : chunked", b"Transfer-Encoding:\x0bchunked", b": empty", b"no colon",
       b"Transfer-Encoding: chunked, identity", b"X: y\nTransfer-Encoding: chunked", b"\x0cX: y",
       b"X: y\rTransfer-Encoding: chunked"]


def answers_to(one, lines):
    """The statuses for a request with these header lines and five bytes behind it, and two more."""
    return sent(one, b"\r\n".join([b"POST /webhooks/pagerduty HTTP/1.1"] + lines) +
                b"\r\n\r\nhello" + HEALTH * 2)


@pytest.mark.parametrize("odd", ODD)
def test_what_stands_behind_a_request_whose_end_is_not_certain_is_no_request(one, odd):
    for lines in ([odd], CLEAN[:1] + [odd], [odd] + CLEAN[:1]):
        statuses = answers_to(one, lines)
        assert len(statuses) == 1 and statuses != [200]
    assert unharmed(one)


@given(lines=st.lists(st.sampled_from(CLEAN * 4 + ODD), max_size=5))
def test_only_a_request_whose_end_is_certain_is_followed_by_another(one, lines):
    statuses = answers_to(one, lines)
    if set(lines).intersection(ODD):
        assert len(statuses) == 1 and statuses != [200]
    elif any(b"5" in line for line in lines):
        assert statuses == [401, 200, 200]
    else:  # without a length there is no body
        assert statuses == [411, 405, 200]
    assert unharmed(one)


GENUINE = b"not JSON, so that it is 400 where it is genuine, and 503 where a byte is not as it was"


@given(cuts=st.lists(st.integers(0, len(GENUINE)), max_size=6), zeros=st.integers(0, 3),
       more=st.sampled_from([b"", b" ", b";x", b" ;x=\"y\"", b"\t;"]),
       trailer=st.sampled_from([b"", b"X: y\r\n", b"Content-Length: 99\r\nX:\r\n"]))
def test_a_body_in_chunks_is_the_same_body_however_it_is_cut(one, cuts, zeros, more, trailer):
    ends = sorted(set([0, len(GENUINE)] + cuts))
    pieces = [GENUINE[start:end] for start, end in zip(ends, ends[1:])] + [b""]
    lines = [b"0" * zeros + b"%X" % len(piece) + more + b"\r\n" + piece for piece in pieces]
    head = (b"POST /webhooks/pagerduty HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            b"X-PagerDuty-Signature: v1=%s\r\n\r\n" % sign(GENUINE).encode())
    assert sent(one, head + b"\r\n".join(lines) + trailer + b"\r\n" + HEALTH) == [400, 200]
    assert unharmed(one)


@given(body=st.binary(min_size=1, max_size=60), other=st.binary(max_size=60), at=st.integers(0, 63),
       secret=st.text(min_size=1, max_size=20), second=st.text(min_size=1, max_size=20))
def test_what_was_forged_cut_short_extended_or_signed_by_another_is_not_genuine(
        body, other, at, secret, second):
    assume(secret != second)
    key = secret.encode("utf-8", "surrogatepass")
    digest = hmac.new(key, body, hashlib.sha256).hexdigest()
    assert pagerduty.verify(body, "v1=" + digest, [second, secret]) == 2
    spoilt = digest[:at] + ("0" if digest[at] != "0" else "1") + digest[at + 1:]
    for forged, header in ((body[:-1], digest), (body + b" ", digest), (other, digest),
                           (body, spoilt)):
        if (forged, header) != (body, digest):
            with pytest.raises(SignatureMismatch):
                pagerduty.verify(forged, "v1=" + header, [secret])
    with pytest.raises(SignatureMismatch):
        pagerduty.verify(body, "v1=" + digest, [second])
    for header in (digest, "v1=" + digest[:at], "v1=" + digest.upper() + "A", "v2=" + digest):
        with pytest.raises(SignatureMissing):
            pagerduty.verify(body, header, [secret])


@given(header=st.text(max_size=90) | st.lists(st.sampled_from(
    ["v1=", "v2=", ",", " ", "a" * 64, "\u0661" * 64, "\ud800", "\0"]), max_size=8).map("".join))
def test_no_header_is_taken_for_a_signature(header):
    with pytest.raises((SignatureMismatch, SignatureMissing)):
        pagerduty.verify(EVENT, header, [SECRET])


class Sensor:
    """The sensor without its sockets, over a datastore whose calls are counted."""

    def __init__(self, monkeypatch):
        case = type("Case", (BaseSensorTestCase,), {
            "sensor_cls": webhook_sensor.WebhookSensor, "runTest": None})()
        case.setUp()
        self.service = case.sensor_service
        self.sensor = case.get_sensor_instance(changed(
            ("pagerduty.webhook_secrets", [SECRET]), ("stackflow.webhook_secrets", [SECRET])))
        self.sensor.setup()
        self.calls = []
        for name in ("get_value", "set_value", "list_values", "delete_value"):
            monkeypatch.setattr(self.service, name, self._counted(name))

    def _counted(self, name):
        call = getattr(self.service, name)
        return lambda *given, **named: self.calls.append(name) or call(*given, **named)

    def deliver(self, path, body, signature):
        headers = Message()
        headers["X-PagerDuty-Signature"] = "v1=" + signature
        headers["X-StackFlow-Signature"] = signature
        return self.sensor._listener.answer(SimpleNamespace(
            command="POST", route=path, headers=headers, read_body=lambda limit: body,
            deadline=self.sensor._clock.monotonic() + 60)).status


@pytest.fixture
def sensor(monkeypatch):
    return Sensor(monkeypatch)


def test_a_wrong_signature_costs_neither_parsing_nor_a_datastore_call(sensor, monkeypatch):
    parsed = []
    monkeypatch.setattr(deliveries, "loads", lambda *given, **named: parsed.append(given))
    for path in (PAGERDUTY, STACKFLOW):
        for body in (EVENT, b"", b"not JSON", b"x" * 100000):
            assert sensor.deliver(path, body, sign(body, "another secret")) == 503
            assert sensor.deliver(path, body, "xyz") == 401
    assert (sensor.calls, parsed, sensor.service.dispatched_triggers) == ([], [], [])


def test_signatures_and_secrets_are_compared_in_constant_time_and_all_of_them(monkeypatch):
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(deliveries.hmac, "compare_digest",
                        lambda *given: compared.append(given) or compare(*given))
    secrets = ["first", "second", "third"]
    for signer in secrets + ["another"]:
        header = "v1=%s,v1=%s" % (sign(EVENT, signer), sign(EVENT, "x"))
        for check, values in ((deliveries.check_signature, (EVENT, header, ("v1=",), secrets)),
                              (deliveries.check_shared_secret, (signer, secrets))):
            del compared[:]
            try:
                check(*values)
            except SignatureMismatch:
                assert signer == "another"
            assert len(compared) == len(secrets) * (2 if header in values else 1)


OURS = [{"event": "incident.state_changed", "timestamp": AT, "previous": {"state": "new"},
         "incident": {"number": "INC0001234", "state": "resolved", "updated_at": AT}},
        {"event": {"id": "1", "event_type": "incident.acknowledged", "occurred_at": AT,
                   "data": {"type": "incident", "id": "Q0ABCDEF", "service": {"id": "P1234AB"}}}}]
genuine = (st.builds(replaced, st.sampled_from(OURS), st.lists(st.integers(0, 9), min_size=1),
                     anything | names) |
           st.builds(lambda inner, name: dict(inner, event=name),
                     st.dictionaries(keys, documents, max_size=5), names | documents) |
           st.sampled_from(OURS)).map(lambda value: json.dumps(value).encode())
links = st.none() | st.text(max_size=8) | documents.map(json.dumps) | st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(["INC0001234", "Q0ABCDEF", "open", "resolved", AT, True])
                  for name in Link._fields}).map(json.dumps)


@given(body=st.binary(max_size=40) | genuine, link=links,
       path=st.sampled_from([PAGERDUTY, STACKFLOW]))
def test_a_genuine_delivery_is_accepted_or_bad_whatever_it_holds_and_whatever_is_stored(
        body, link, path):
    with pytest.MonkeyPatch.context() as patch:
        sensor = Sensor(patch)
        for name in ("link.INC0001234", "pagerduty.Q0ABCDEF", "start"):
            if link is not None:
                sensor.service.set_value("pagerduty_stackflow." + name, link, local=False)
        status = sensor.deliver(path, body, sign(body))
    assert status == (202 if is_object(body) else 400)
    assert len(sensor.service.dispatched_triggers) == (status == 202)


def is_object(body):
    try:
        return isinstance(deliveries.load_object(body), dict) and bool(body)
    except BadDelivery:
        return False


def test_deliveries_that_somebody_recorded_and_sends_again_change_nothing():
    world, recorded = World(), []

    def recording(url, headers, body):
        recorded.append((url, headers, body))
        return world._receive(url, headers, body)

    world.pagerduty.sender = world.stackflow.sender = recording
    number = world.stackflow.create_incident("Disk full", "P1", group="Platform Engineering",
                                             category="api")
    world.settle()
    paged = world.pagerduty.incidents()[0]
    born = world.pagerduty.create_incident(world.database, "Replica lags", world.robin)
    world.settle(5)
    world.stackflow.assign(number, "casey@example.com")
    world.settle(5)
    world.pagerduty.resolve(paged.id, world.casey)
    world.settle(5)
    world.stackflow.set_state(number, "in_progress")
    world.settle(5)
    world.pagerduty.acknowledge(born, world.robin)
    world.settle(5)

    before, genuine_ones = (world.pd_writes(), world.sf_writes(number)), list(recorded)
    assert len(genuine_ones) > 8
    for later in (0, 3600):
        world.clock.advance(later)
        world.run(1)
        for deliveries_again in (genuine_ones, genuine_ones[::-1], genuine_ones * 2):
            for one in deliveries_again:
                assert world._receive(*one) == 202
            world.settle()

    assert (world.pd_writes(), world.sf_writes(number)) == before
    assert len(world.stackflow.incidents()) == 2
