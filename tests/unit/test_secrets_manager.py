"""One read of a secret, and every way in which it can fail."""

import logging
import subprocess
import sys

import pytest

from aws_site import KEY, SECRET, VARIABLES, aws, make_settings, moto_url, no_aws  # noqa: F401
from leaks import assert_leaks_no_secret
from pagerduty_stackflow import aws as aws_module, secrets_manager
from pagerduty_stackflow.errors import CredentialsError
from pagerduty_stackflow.secrets_manager import SecretName, fetch

NAME = SecretName(SECRET, "pagerduty.api_key_secret", "pagerduty.api_key")
ROLE = "arn:aws:sts::123456789012:assumed-role/st2/i-0123"
DENIED = ("User: %s is not authorized to perform: secretsmanager:GetSecretValue on resource: x "
          "because no identity-based policy allows the secretsmanager:GetSecretValue action" % ROLE)
SESSION_TOKEN = "session-token-of-nobody"
REFUSALS = [
    ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.",
     "secret not found", "its datastore key came back empty", False),
    ("ResourceNotFoundException",
     "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
     "the secret has no current value", "store a value", False),
    ("InvalidRequestException", "You can't perform this operation on the secret because it was "
     "marked for deletion.", "the secret is scheduled for deletion", "restore-secret", False),
    ("AccessDeniedException", DENIED, "access denied to " + ROLE,
     "secretsmanager:GetSecretValue", False),
    ("AccessDeniedException", "", "access denied", "secretsmanager:GetSecretValue", False),
    ("AccessDeniedException", "Access to KMS is not allowed", "KMS access denied", "kms:Decrypt",
     False),
    ("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text",
     "KMS cannot decrypt the secret", "kms:Decrypt", False),
    ("InvalidParameterException", "Invalid name.", "AWS refuses the secret id",
     "pagerduty.api_key_secret", False),
    ("ExpiredTokenException", "The security token included in the request is expired",
     "the AWS credentials have expired", "renew", False),
    ("UnrecognizedClientException", "The security token included in the request is invalid.",
     "the AWS credentials are not valid", "access key", False),
    ("InvalidSignatureException", "The Canonical String should have been x-amz-security-token:" +
     SESSION_TOKEN, "the AWS credentials are not valid", "clock", False),
    ("ThrottlingException", "Rate exceeded", "throttled", "retries later", True),
    ("TooManyRequestsException", "Rate exceeded", "throttled", "retries later", True),
    ("InternalServiceError", "An error occurred on the server side.",
     "AWS has trouble (InternalServiceError)", "retries later", True),
    ("SomethingNew", "?", "AWS refuses (SomethingNew)", "GetSecretValue", False),
    ("<html>" + SESSION_TOKEN, "?", "AWS refuses (an unknown code)", "GetSecretValue", False)]


def failure(settings, name=NAME):
    with pytest.raises(CredentialsError) as caught:
        fetch(name, settings)
    assert_leaks_no_secret(caught.value, KEY, SESSION_TOKEN, VARIABLES["AWS_SECRET_ACCESS_KEY"])
    assert "pagerduty.api_key_secret" in caught.value.message and caught.value.hint
    return caught.value


@pytest.fixture
def stub(monkeypatch, no_aws):  # noqa: F811
    """boto3's own client with the next answer prepared; checks what it is asked for."""
    pytest.importorskip("boto3")
    from botocore.stub import Stubber
    make_client = secrets_manager.make_client
    stubber = []

    def made(*given):
        client = make_client(*given)
        stubber.append(Stubber(client))
        prepare(stubber[-1])
        stubber[-1].activate()
        return client

    prepared = []

    def prepare(one):
        for how, what in prepared:
            getattr(one, how)("get_secret_value", **what)

    monkeypatch.setattr(secrets_manager, "make_client", made)
    return prepared


@pytest.mark.parametrize("code, said, words, hint, retryable", REFUSALS)
def test_each_refusal_of_aws_has_words_of_its_own(stub, code, said, words, hint, retryable):
    stub.append(("add_client_error", {
        "service_error_code": code, "service_message": said, "http_status_code": 400,
        "expected_params": {"SecretId": SECRET}}))
    error = failure(make_settings())
    assert error.message == (
        "AWS Secrets Manager (us-east-1), secret of pagerduty.api_key_secret: " + words)
    assert hint in error.hint and error.retryable is retryable


def test_the_words_differ_wherever_the_remedy_does():
    assert len({(row[2], row[3]) for row in REFUSALS}) >= 14


def test_a_status_of_500_without_a_known_code_is_trouble(stub):
    stub.append(("add_client_error", {"service_error_code": "502", "http_status_code": 502}))
    assert failure(make_settings()).retryable


def test_no_aws_credentials(no_aws, monkeypatch):  # noqa: F811
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = failure(make_settings("http://127.0.0.1:9"))
    assert error.message.endswith("no AWS credentials") and not error.retryable
    assert "pagerduty.api_key (if that is set, its datastore key came back empty)" in error.hint


def test_half_of_the_credentials_is_none(no_aws, monkeypatch):  # noqa: F811
    pytest.importorskip("boto3")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no AWS credentials" in failure(make_settings("http://127.0.0.1:9")).message


def test_a_profile_that_does_not_exist(no_aws, monkeypatch):  # noqa: F811
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "cannot be loaded (ProfileNotFound)" in failure(make_settings()).message


def test_nobody_answers(no_aws, monkeypatch):  # noqa: F811
    pytest.importorskip("boto3")
    monkeypatch.setattr(aws_module, "TRIES", 1)
    error = failure(make_settings("http://127.0.0.1:9"))
    assert "AWS cannot be reached (EndpointConnectionError)" in error.message and error.retryable


@pytest.mark.parametrize("kind, options, words", [
    ("SSLError", {"endpoint_url": "https://x", "error": "certificate verify failed"},
     "the TLS certificate is not trusted"),
    ("ReadTimeoutError", {"endpoint_url": "https://x"}, "AWS cannot be reached (ReadTimeoutError)"),
    ("ConnectTimeoutError", {"endpoint_url": "https://x"}, "AWS cannot be reached"),
    ("ConnectionClosedError", {"endpoint_url": "https://x"}, "AWS cannot be reached"),
    ("ProxyConnectionError", {"proxy_url": "http://me:password@x"}, "AWS cannot be reached"),
    ("CredentialRetrievalError", {"provider": "iam", "error_msg": "x"}, "cannot be loaded"),
    ("InvalidRegionError", {"region_name": "x"}, "the request cannot be made")])
def test_what_botocore_raises_is_told_by_its_kind(monkeypatch, kind, options, words):
    exceptions = pytest.importorskip("botocore.exceptions")

    def fail(*_):
        raise getattr(exceptions, kind)(**options)

    monkeypatch.setattr(secrets_manager, "make_client", fail)
    error = failure(make_settings())
    assert words in error.message
    assert error.retryable is ("cannot be reached" in words)
    assert_leaks_no_secret(error, "me:password")


def test_an_id_that_boto3_refuses(no_aws):  # noqa: F811
    pytest.importorskip("boto3")
    error = failure(make_settings(), SecretName("", NAME.setting, NAME.instead))
    assert "AWS refuses the secret id" in error.message


def test_without_boto3_the_virtualenv_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    error = failure(make_settings())
    assert "boto3 is not installed" in error.message and "setup_virtualenv" in error.hint


# Against a server.

@pytest.mark.parametrize("value", [KEY, KEY + "\n", KEY.encode(), '{"api_key": "x"}'])
def test_a_secret_is_read_as_text_or_bytes(aws, value):  # noqa: F811
    aws.put(value)
    text = value.decode() if isinstance(value, bytes) else value
    assert fetch(NAME, make_settings(aws.url)) == text.strip()
    assert aws.reads == 1


def test_an_arn_is_read_in_its_own_region(aws):  # noqa: F811
    arn = aws.put(KEY, region="eu-west-1")
    name = SecretName(arn, NAME.setting, NAME.instead)
    assert fetch(name, make_settings(aws.url)) == KEY
    assert "secret not found" in failure(make_settings(aws.url)).message


def test_the_region_of_the_config_serves_a_name(aws):  # noqa: F811
    aws.put(KEY, region="ap-south-1")
    settings = make_settings(aws={"endpoint_url": aws.url, "region": "ap-south-1"})
    assert fetch(NAME, settings) == KEY


def test_what_a_server_can_refuse(aws):  # noqa: F811
    settings = make_settings(aws.url)
    assert "secret not found" in failure(settings).message
    aws.client().create_secret(Name=SECRET)
    assert "no current value" in failure(settings).message
    aws.put(KEY)
    aws.client().delete_secret(SecretId=SECRET)
    assert "scheduled for deletion" in failure(settings).message


@pytest.mark.parametrize("value, words", [(b"\xff\xfe\x00", "no UTF-8 text"),
                                          (" \n", "the secret is empty")])
def test_a_value_that_is_no_text(aws, value, words):  # noqa: F811
    aws.put(value)
    assert words in failure(make_settings(aws.url)).message


def test_an_endpoint_that_is_something_else(no_aws):  # noqa: F811
    pytest.importorskip("boto3")
    from dev.simulators.base import serve
    from dev.simulators.stackflow import StackFlow
    simulator = StackFlow()
    simulator.faults.add("", "not_json", status=200, times=99)
    server = serve(simulator)
    try:
        assert "the answer holds no secret" in failure(make_settings(server.url)).message
    finally:
        server.close()


def test_debug_logs_of_botocore_hold_no_secret(aws, caplog):  # noqa: F811
    logger = logging.getLogger("botocore")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    try:
        aws.put(KEY)
        caplog.clear()
        logger.setLevel(logging.NOTSET)
        with caplog.at_level(logging.DEBUG):
            assert fetch(NAME, make_settings(aws.url)) == KEY
        assert caplog.records and KEY not in caplog.text
    finally:
        logger.setLevel(level)


def test_nothing_imports_boto3_before_a_secret_is_read():
    code = ("import sys; sys.path[:0] = %r; import pagerduty_stackflow.pack; "
            "print([name for name in sys.modules if name.startswith('boto')])" % sys.path)
    out = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert out.stdout.strip() == b"[]"
