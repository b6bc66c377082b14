"""A server with a certificate that nobody vouched for gets no request, from any client."""

import datetime
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from aws_site import make_settings, no_aws, queue_poller  # noqa: F401
from leaks import assert_leaks_no_secret
from pagerduty_stackflow.errors import ApiError, CredentialsError
from pagerduty_stackflow.secrets_manager import SecretName, fetch
from transport_site import SECRETS, call, transport

x509 = pytest.importorskip("cryptography.x509")


def certificate(folder):
    """A self-signed one for 127.0.0.1, with its key in one file."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime(2020, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(
        key.public_key()).serial_number(1).not_valid_before(start).not_valid_after(
        start + datetime.timedelta(days=36500)).add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    path = folder / "server.pem"
    path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()) + made.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server that answers every request with an empty object: its URL, certificate, requests."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    path = certificate(tmp_path_factory.mktemp("tls"))
    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "https://127.0.0.1:%d" % server.server_port, path, seen
    server.shutdown()
    server.server_close()


def test_a_certificate_that_is_not_trusted_gets_no_request(site, monkeypatch):
    url, _, seen = site
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    del seen[:]
    with pytest.raises(ApiError) as caught:
        call(transport(), url)
    assert "certificate is not trusted" in caught.value.message and not caught.value.retryable
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint and seen == []
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_a_ca_of_ones_own_is_trusted_by_the_usual_variable(site, monkeypatch):
    url, path, seen = site
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
    assert call(transport(), url) == {} and seen


def test_aws_is_not_trusted_either_without_a_certificate(site, no_aws, monkeypatch):  # noqa: F811
    pytest.importorskip("boto3")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    url, path, seen = site
    del seen[:]
    settings = make_settings(url)
    for error, act in (
            (CredentialsError, lambda: fetch(SecretName("id", "setting", "instead"), settings)),
            (ApiError, queue_poller(url + "/1/queue", settings).receive)):
        with pytest.raises(error) as caught:
            act()
        assert "TLS certificate is not trusted" in caught.value.message
        assert "AWS_CA_BUNDLE" in caught.value.hint and seen == []
    monkeypatch.setenv("AWS_CA_BUNDLE", path)
    with pytest.raises(CredentialsError, match="holds no secret"):
        fetch(SecretName("id", "setting", "instead"), settings)
    assert seen
