"""Broken requests, slow clients and many of them: the server answers in time whatever they do."""

import errno
import http.client
import re
import socket
import socketserver
import struct
import threading
import time

import pytest

from listener_bench import (EVENT, PAGERDUTY, STACKFLOW, benches, eventually, read_answer, received,
                            sign, slow_clients)
from pagerduty_stackflow import listener, webserver


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


def test_a_refused_client_reads_its_answer_though_it_still_sends(bench, monkeypatch):
    monkeypatch.setattr(webserver, "ANSWER_SECONDS", 10.0)
    with bench().connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 300000\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 413 ")
        for _ in range(20):
            connection.sendall(b"x" * 1000)  # a reset would be seen by the next one
            time.sleep(0.01)


@pytest.mark.parametrize("lines, status",
                         [("", 411),
                          ("Transfer-Encoding: identity", 400),
                          ("Transfer-Encoding: gzip, chunked", 400),
                          ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
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


def chunked(body, version="1.1", path=PAGERDUTY, signed=b""):
    """The bytes of a request whose body is already in chunks."""
    head = "POST %s HTTP/%s\r\nTransfer-Encoding: Chunked\r\nX-PagerDuty-Signature: v1=%s\r\n\r\n"
    return (head % (path, version, sign(signed))).encode() + body


def in_chunks(body, size):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


HEALTH = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("body", [
    in_chunks(EVENT, 5), in_chunks(EVENT, 1000), b"%X ;name=value\r\n%s\r\n" % (len(EVENT), EVENT) +
    b"00\r\nTrailer: value\r\n\r\n", b"0" + in_chunks(EVENT, 500)],
    ids=["several", "one", "extension and trailer", "leading zero"])
def test_a_body_in_chunks_is_read_to_its_end(bench, body):
    one = bench()
    assert statuses(one.raw(chunked(body, signed=EVENT) + HEALTH)) == [202, 200]
    assert one.handled == [("pagerduty_event", "01EVENT", "incident.triggered")]


@pytest.mark.parametrize("body, status", [
    (b"5\r\nhello", 400), (b"5\r\nhelloXX0\r\n\r\n", 400), (b"5\nhello\n0\n\n", 400),
    (b"\r\n", 400), (b"-5\r\nhello\r\n0\r\n\r\n", 400), (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    (b"5\r\nhello\r\n0\r\n", 400), (b"5 5\r\nhello\r\n0\r\n\r\n", 400),
    (b"4\r\nhello\r\n0\r\n\r\n", 400), (b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", 400),
    (b"5;" + b"x" * 70000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    (b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 10000 + b"\r\n", 400),
    (b"1\r\nx\r\n" * 50000 + b"0\r\n\r\n", 400),
    (b"40001\r\n", 413), (b"ffffffff\r\n", 413), (b"9999999999999999999\r\n", 413),
    (in_chunks(b"x" * 262145, 60000), 413)], ids=lambda value: str(value)[:30])
def test_chunks_that_are_broken_are_400_and_too_many_bytes_413(bench, body, status):
    one = bench()
    for behind in (b"", HEALTH * 2):
        with one.connect() as connection:
            connection.sendall(chunked(body) + behind)
            connection.shutdown(socket.SHUT_WR)
            answer = received(connection)
        assert statuses(answer) == [status] and b"Connection: close\r\n" in answer
    assert one.handled == []


def test_the_largest_body_is_taken_in_chunks_too(bench):
    one = bench()
    body = b"{" + b" " * (256 * 1024 - 2) + b"}"
    assert statuses(one.raw(chunked(in_chunks(body, 10000), signed=body) + HEALTH)) == [202, 200]


def test_chunks_are_not_for_http_1_0(bench):
    assert statuses(bench().raw(chunked(in_chunks(EVENT, 9), "1.0", signed=EVENT))) == [400]


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


def test_a_client_that_leaves_is_no_defect(bench):
    one = bench()
    for start in (b"", b"POST /webhooks", delivery()[:-5], delivery()):
        with one.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(start)
    assert one.ask("GET", "/healthz")[0] == 200  # so the others were accepted too
    eventually(lambda: not one.listener._server.waiting)
    assert not [text for text in one.messages if "failed" in text]


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


def test_a_body_that_is_cut_short_is_not_taken(bench):
    one = bench()
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_WR)
        assert received(connection).startswith(b"HTTP/1.1 400 ")
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
    eventually(lambda: one.refused() == {"cut_short": 2})


@pytest.mark.parametrize("start", [b"Content-Length: 1000\r\n\r\n",
                                   b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n",
                                   b"Transfer-Encoding: chunked\r\n\r\n3e8;"])
def test_a_body_that_trickles_in_is_answered_503_within_the_deadline(bench, monkeypatch, start):
    monkeypatch.setattr(webserver, "REQUEST_SECONDS", 0.4)
    one = bench()
    with one.connect() as connection:
        connection.sendall(b"POST /webhooks/pagerduty HTTP/1.1\r\n" + start)
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
    monkeypatch.setattr(webserver, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(webserver, "IDLE_SECONDS", 0.2)
    assert bench().raw(sent) == b""


def test_headers_that_trickle_in_are_hung_up_on(bench, monkeypatch):
    monkeypatch.setattr(webserver, "REQUEST_SECONDS", 0.3)
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
        monkeypatch.setattr(webserver, name, 60.0)  # none of them goes by itself
    one = bench()
    connections = slow_clients(one, 200)
    try:
        assert one.genuine()[0] == 202
        assert len(one.handled) == 1
        eventually(lambda: len(one.listener._server.waiting) <= webserver.WAITING_LIMIT)
        connections[0].settimeout(10)
        assert received(connections[0]) == b"", "the one that waited longest was cut"
    finally:
        for connection in connections:
            connection.close()
    eventually(lambda: not one.listener._server.waiting)


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
        monkeypatch.setattr(webserver, name, 60.0)
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
    eventually(lambda: len(one.listener._server.waiting) <= webserver.WAITING_LIMIT)
    for connection in connections:
        connection.close()
    eventually(lambda: not one.listener._server.waiting)


def test_a_connection_at_work_is_not_cut_for_others(bench, monkeypatch):
    monkeypatch.setattr(webserver, "WAITING_LIMIT", 4)
    monkeypatch.setattr(webserver, "IDLE_SECONDS", 60.0)
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
    """A bench whose dispatch hangs, and two events: it has begun, and it shall end."""
    monkeypatch.setattr(listener, "DISPATCH_SECONDS", 0.1)
    begun, release = threading.Event(), threading.Event()
    return bench(handle=lambda *_: begun.set() or release.wait(10)), begun, release


def delivery():
    """The bytes of a genuine delivery on a connection that stays open."""
    request = "POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: %d\r\n%s: v1=%s\r\n\r\n" % (
        len(EVENT), "X-PagerDuty-Signature", sign(EVENT))
    return request.encode() + EVENT


def test_a_late_answer_is_the_only_one_and_the_last_of_its_connection(bench, monkeypatch):
    one, _, release = hanging(bench, monkeypatch)
    with one.connect() as connection:
        connection.sendall(delivery() + HEALTH)
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Connection: close\r\n" in answer
        release.set()
        assert received(connection) == b"" and one.refused() == {"timeout": 1}


def test_a_dispatch_that_hangs_and_then_fails_is_refused_once(bench, monkeypatch):
    monkeypatch.setattr(listener, "DISPATCH_SECONDS", 0.1)
    release = threading.Event()

    def handle(trigger, payload):
        release.wait(10)
        raise ValueError("the broker is away")

    one = bench(handle=handle)
    assert one.genuine()[0] == 503
    release.set()
    eventually(lambda: "ValueError" in one.messages[-1])  # why it failed, all the same
    assert one.refused() == {"timeout": 1}


def test_an_answer_in_time_leaves_nothing_to_be_sent_late(bench):
    one = bench()
    with one.connect() as connection:
        connection.sendall(delivery() * 2)
        eventually(lambda: len(one.handled) == 2)
        connection.shutdown(socket.SHUT_WR)
        assert received(connection).count(b"HTTP/1.1 202 ") == 2
    assert one.refused() == {}


def test_a_client_that_left_before_the_late_answer_costs_nobody_else(bench, monkeypatch):
    one, begun, release = hanging(bench, monkeypatch)
    with one.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(delivery() * 2)
        assert begun.wait(10)
    eventually(lambda: one.refused() == {"timeout": 1})
    assert one.ask("GET", "/healthz")[0] == 200
    release.set()
    assert len(one.handled) == 0 and one.refused() == {"timeout": 1}


def test_without_file_descriptors_it_waits_says_so_and_goes_on(bench, monkeypatch):
    monkeypatch.setattr(webserver, "PAUSE_SECONDS", 0.01)
    one = bench()
    failures = [OSError(errno.EMFILE, "Too many open files")] * 3
    accept = socketserver.TCPServer.get_request

    def get_request(server):
        if failures:
            raise failures.pop()
        return accept(server)

    monkeypatch.setattr(socketserver.TCPServer, "get_request", get_request)
    assert one.ask("GET", "/healthz")[0] == 200 and not failures
    assert [text for text in one.messages if "cannot accept" in text] == [
        "cannot accept a connection for webhooks: [Errno 24] Too many open files"] * 3


def test_stop_frees_the_port_and_idle_connections_end_by_themselves(bench, monkeypatch):
    monkeypatch.setattr(webserver, "IDLE_SECONDS", 0.3)
    one = bench()
    idle = one.connect()
    eventually(lambda: one.listener._server.waiting)
    one.listener.stop()
    eventually(lambda: refused(one))
    assert received(idle) == b""
    idle.close()


def refused(one):
    try:
        one.connect().close()
    except ConnectionRefusedError:
        return True
    return False
