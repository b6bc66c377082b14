"""Broken requests, slow clients and many of them: the server answers in time whatever they do."""

import errno
import http.client
import logging
import socket
import struct
import threading

import pytest

from listener_bench import (EVENT, PAGERDUTY, STACKFLOW, benches, eventually, read_answer, received,
                            sign, slow_clients)
from pagerduty_stackflow import http_connection, listener, webserver
from pagerduty_stackflow.clock import Clock


@pytest.fixture
def bench(monkeypatch):
    yield from benches(monkeypatch)


@pytest.mark.parametrize("path, limit", [(PAGERDUTY, 256 * 1024), (STACKFLOW, 1024 * 1024)])
def test_the_largest_body_is_taken_and_a_larger_one_is_413(bench, path, limit):
    one = bench()
    body = b"{" + b" " * (limit - 2) + b"}"
    headers = {"X_PagerDuty_Signature": "v1=" + sign(body), "X_StackFlow_Signature": sign(body)}
    assert one.post(path, body, **headers)[0] == 202
    assert one.post(path, body + b" ")[0] == 413
    assert len(one.handled) == 1


def test_a_large_body_is_refused_before_it_is_sent(bench):
    one = bench()
    with one.connect() as connection:
        connection.sendall(
            b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 9999999999999999999999\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"Connection: close\r\n" in answer


@pytest.mark.parametrize("lines, status",
                         [("", 411),
                          ("Transfer-Encoding: chunked", 411),
                          ("Content-Length: -1", 400),
                          ("Content-Length: ten", 400),
                          ("Content-Length: +5", 400),
                          ("Content-Length: 5 5", 400),
                          ("Content-Length:", 400),
                          ("Content-Length: 0x10", 400),
                          ("Content-Length: \xb2", 400),
                          ("Content-Length: 5, 5", 400),
                          ("Content-Length: 5\r\nContent-Length: 6", 400),
                          ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
                          ("Content-Length: 5\r\nContent-Length: 5", 401),
                          ("no colon\r\nContent-Length: 5", 400)])
def test_a_broken_request_is_411_or_400(bench, lines, status):
    request = "POST /webhooks/pagerduty HTTP/1.1\r\nConnection: close\r\n%s\r\n\r\nhello" % lines
    answer = bench().raw(request.encode("latin-1"))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"HTTP/1.1") == 1, "what follows a broken request is no request"


@pytest.mark.parametrize("request_line", [
    b"nonsense", b"GET /healthz HTTP/3.0", b"GET /healthz FTP/1.0", b"GET " + b"x" * 70000,
    b"\x16\x03\x01\x00\xff"], ids=["one word", "version", "protocol", "long", "TLS"])
def test_what_is_not_http_is_400(bench, request_line):
    answer = bench().raw(request_line + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Server" not in answer


def test_too_many_headers_are_400(bench):
    answer = bench().raw(b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_query_does_not_change_the_path(bench):
    assert bench().ask("GET", "/healthz?verbose=1")[0] == 200


def test_a_connection_serves_several_requests(bench):
    one = bench()
    connection = http.client.HTTPConnection(*one.listener.address, timeout=10)
    connection.connect()
    used = connection.sock
    for _ in range(3):
        connection.request("POST", PAGERDUTY, EVENT, {"X-PagerDuty-Signature": "v1=" + sign(EVENT)})
        assert read_answer(connection.getresponse())[0] == 202
        connection.request("GET", "/healthz")
        assert read_answer(connection.getresponse())[0] == 200
    assert connection.sock is used, "it was closed in between"
    connection.close()


def test_pipelined_requests_are_answered_in_order(bench):
    answers = bench().raw(b"GET /nothing HTTP/1.1\r\n\r\n"
                          b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    first, second = answers.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"404 Not Found\r\n") and second.startswith(b"200 OK\r\n")


def test_http_1_0_is_answered_and_closed(bench):
    answer = bench().raw(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in answer


def test_continue_is_said_only_where_the_body_is_wanted(bench):
    one = bench()
    head = ("POST /webhooks/pagerduty HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n"
            "X-PagerDuty-Signature: v1=" + sign(EVENT) + "\r\nConnection: close\r\n\r\n")
    with one.connect() as connection:
        connection.sendall((head % len(EVENT)).encode())
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(EVENT)
        assert received(connection).startswith(b"HTTP/1.1 202 ")
    with one.connect() as connection:
        connection.sendall((head % 300000).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_cut_short_is_not_taken(bench):
    one = bench()
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_WR)
        assert received(connection).startswith(b"HTTP/1.1 400 ")
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
    eventually(lambda: one.refused() == {"cut_short": 2})


def test_a_body_that_trickles_in_is_answered_503_within_the_deadline(bench, monkeypatch):
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.4)
    one = bench()
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        connection.settimeout(0.05)
        answer = b""
        for _ in range(200):
            connection.sendall(b"x")
            try:
                answer = connection.recv(4096)
                break
            except socket.timeout:
                pass
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in answer
    assert one.refused() == {"slow": 1}


@pytest.mark.parametrize("sent",
                         [b"", b"POST /webh", b"POST /webhooks/pagerduty HTTP/1.1\r\nX: y\r\n"])
def test_a_silent_client_is_hung_up_on(bench, monkeypatch, sent):
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(http_connection, "IDLE_SECONDS", 0.2)
    assert bench().raw(sent) == b""


def test_headers_that_trickle_in_are_hung_up_on(bench, monkeypatch):
    monkeypatch.setattr(http_connection, "REQUEST_SECONDS", 0.3)
    with bench().connect() as connection:
        connection.settimeout(0.02)
        ended = False
        for _ in range(500):
            try:
                connection.sendall(b"X")
                ended = connection.recv(10) == b""
                break
            except socket.timeout:
                continue
            except OSError:
                ended = True
                break
        assert ended


def test_two_hundred_slow_clients_keep_nobody_out(bench, monkeypatch):
    for name in ("REQUEST_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(http_connection, name, 60.0)  # none of them goes by itself
    one = bench()
    connections = slow_clients(one, 200)
    try:
        assert one.genuine()[0] == 202
        assert len(one.handled) == 1
        eventually(lambda: len(one.listener._server._connections) <= webserver.CONNECTION_LIMIT)
        connections[0].settimeout(10)
        assert received(connections[0]) == b"", "the one that waited longest was cut"
    finally:
        for connection in connections:
            connection.close()
    eventually(lambda: not one.listener._server._connections)


def half_open(one):
    """A client that is gone in the middle of its request: said so, vanished, or does not read."""
    leave = [lambda connection: connection.shutdown(socket.SHUT_WR),
             lambda connection: connection.setsockopt(
                 socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
             lambda connection: connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)]
    connections = slow_clients(one, len(leave))
    for connection, how in zip(connections, leave):
        how(connection)
    connections.pop(1).close()
    return connections


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.soak)])
def test_deliveries_flow_while_slow_clients_come_again_and_again(bench, monkeypatch, count):
    for name in ("REQUEST_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(http_connection, name, 60.0)
    one = bench()
    connections = slow_clients(one, 200)
    for number in range(count):
        # Each is answered at its first try, before any other one's deadline has passed.
        assert one.genuine(b'{"event": {"event_type": "kind.%d"}}' % number)[0] == 202
        for connection in connections[:3]:
            connection.close()
        del connections[:3]
        connections += half_open(one) + slow_clients(one, 1)
    assert len(one.handled) == count
    eventually(lambda: len(one.listener._server._connections) <= webserver.CONNECTION_LIMIT)
    for connection in connections:
        connection.close()
    eventually(lambda: not one.listener._server._connections)


def test_a_connection_at_work_is_not_cut_for_others(bench, monkeypatch):
    monkeypatch.setattr(webserver, "CONNECTION_LIMIT", 4)
    monkeypatch.setattr(http_connection, "IDLE_SECONDS", 60.0)
    begun, release = threading.Event(), threading.Event()

    def handle(trigger, payload):
        begun.set()
        release.wait(10)

    one = bench(handle=handle)
    statuses = []
    client = threading.Thread(target=lambda: statuses.append(one.genuine()[0]))
    client.start()
    assert begun.wait(10)
    connections = slow_clients(one, 20)
    assert received(connections[0]) == b"", "the oldest that waits for its client was cut"
    release.set()
    client.join(10)
    assert statuses == [202]
    for connection in connections:
        connection.close()


def hanging(bench, monkeypatch):
    """A bench whose dispatch lasts longer than is waited for, and an event that ends it."""
    monkeypatch.setattr(listener, "DISPATCH_SECONDS", 0.1)
    release = threading.Event()
    return bench(handle=lambda trigger, payload: release.wait(10)), release


def genuine_twice():
    """Two genuine deliveries on one connection."""
    request = "POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: %d\r\n%s: v1=%s\r\n\r\n" % (
        len(EVENT), "X-PagerDuty-Signature", sign(EVENT))
    return 2 * (request.encode() + EVENT)


def test_a_late_answer_is_the_only_one_and_the_last_of_its_connection(bench, monkeypatch):
    one, release = hanging(bench, monkeypatch)
    with one.connect() as connection:
        connection.sendall(genuine_twice())
        answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Connection: close\r\n" in answer
        release.set()
        eventually(lambda: not one.listener._server._connections)
        assert answer.count(b"HTTP/1.1") == 1 and one.refused() == {"timeout": 1}


def test_a_dispatch_that_hangs_and_then_fails_is_refused_once(bench, monkeypatch):
    monkeypatch.setattr(listener, "DISPATCH_SECONDS", 0.1)
    release = threading.Event()

    def handle(trigger, payload):
        release.wait(10)
        raise ValueError("the broker is away")

    one = bench(handle=handle)
    assert one.genuine()[0] == 503
    release.set()
    eventually(lambda: not one.listener._server._connections)
    assert one.refused() == {"timeout": 1}
    assert "ValueError" in one.messages[-1], "why it failed is in the log all the same"


def test_an_answer_in_time_leaves_nothing_to_be_sent_late(bench):
    one = bench()
    with one.connect() as connection:
        connection.sendall(genuine_twice())
        eventually(lambda: len(one.handled) == 2)
        connection.shutdown(socket.SHUT_WR)
        assert received(connection).count(b"HTTP/1.1 202 ") == 2
    assert not one.listener._server._promises and one.refused() == {}


def test_a_client_that_left_before_the_late_answer_costs_nobody_else(bench, monkeypatch):
    one, release = hanging(bench, monkeypatch)
    with one.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(genuine_twice())
        eventually(lambda: one.listener._server._promises)
    eventually(lambda: one.refused() == {"timeout": 1})
    assert one.ask("GET", "/healthz")[0] == 200
    release.set()
    eventually(lambda: not one.listener._server._connections)


class Exhausted:
    """Stands for the listening socket of a process without file descriptors, and for the wish to
    stop, which comes after some rounds.
    """

    def __init__(self, rounds):
        self.rounds, self.pauses = rounds, []

    def accept(self):
        raise OSError(errno.EMFILE, "Too many open files")

    def is_set(self):
        return len(self.pauses) == self.rounds

    def wait(self, seconds):
        self.pauses.append(seconds)


def test_without_file_descriptors_late_answers_are_sent_all_the_same(caplog):
    server = webserver.WebServer(("127.0.0.1", 0), None, Clock(), logging.getLogger("exhausted"))
    server._stopping = exhausted = Exhausted(rounds=8)
    sent = []
    server.promise("connection", 0.0, lambda: sent.append(len(exhausted.pauses)))
    server._accept(exhausted)
    assert sent == [0] and max(exhausted.pauses) <= webserver.ACCEPT_SECONDS
    assert [record.message for record in caplog.records] == [
        "cannot accept a connection for webhooks: [Errno 24] Too many open files"]


def test_a_port_that_is_taken_is_tried_again(bench, monkeypatch):
    monkeypatch.setattr(webserver, "BIND_SECONDS", (0.05,))
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    one = bench(config_error="no config", address=taken.getsockname())
    assert one.listener.address is None and "cannot listen" in one.messages[0]
    taken.close()
    eventually(lambda: one.listener.address is not None)
    assert one.ask("GET", "/healthz")[0] == 200


def test_stop_ends_it_and_frees_the_port(bench):
    one = bench()
    idle = one.connect()
    eventually(lambda: one.listener._server._connections)
    one.listener.stop()
    assert received(idle) == b""
    idle.close()
    with pytest.raises(OSError):
        one.connect()


def test_stop_ends_the_wait_for_a_port():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    server = webserver.WebServer(
        taken.getsockname(),
        lambda request: None, Clock(),
        logging.Logger("x"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.stop()
    thread.join(10)
    assert not thread.is_alive() and server.address is None
    taken.close()
