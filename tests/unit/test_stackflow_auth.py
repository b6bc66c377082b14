"""Signing in to StackFlow: three ways, two kinds of token, their end, and every refusal."""

import json

import pytest

from aws_site import aws, moto_url, no_aws  # noqa: F401
from leaks import assert_leaks_no_secret
from pagerduty_stackflow import secrets_manager
from pagerduty_stackflow.credentials import LAG, PREFIX
from pagerduty_stackflow.errors import ApiError, CredentialsError, NotFoundError
from world import SF_HOST, World

CLIENT, CLIENT_SECRET = "client-of-the-pack", "client-secret-0123456789"
USER, PASSWORD = "pack@example.com", "password-0123456789"
SECRETS = (CLIENT_SECRET, PASSWORD)
OAUTH = {"method": "client_credentials", "client_id": CLIENT, "client_secret": CLIENT_SECRET,
         "token_url": SF_HOST + "/oauth2/token"}
COGNITO = {"method": "user_password", "client_id": CLIENT, "username": USER, "password": PASSWORD,
           "token_url": SF_HOST + "/", "token_field": "id_token"}
WAYS = [pytest.param(OAUTH, id="client_credentials"), pytest.param(COGNITO, id="user_password")]


class Site:
    """A world whose pack signs in as ``auth`` says; requests of it are told apart."""

    def __init__(self):
        self.world = World()
        self.stackflow = self.world.stackflow
        self.stackflow.revoke("stackflow-token")
        self.stackflow.add_client(CLIENT, CLIENT_SECRET)
        self.stackflow.add_user(USER, role="itsm_manager", password=PASSWORD)
        self.number = self.stackflow.create_incident("Disk full", "P1")
        self.store = self.world.store
        self.world.session.mount("https://cognito-idp.eu-west-1.amazonaws.com",
                                 self.world.session.get_adapter(SF_HOST))

    def configure(self, auth, **config):
        stackflow = dict(self.world.config["stackflow"], auth=auth)
        self.world.configure(stackflow=stackflow, **config)

    def read(self):
        """A new process reads a record."""
        return self.world.pack().stackflow.incident(self.number)

    def sign_ins(self):
        return [one for one in self.stackflow.requests if one.path in ("/", "/oauth2/token")]

    def calls(self):
        return [one.status for one in self.stackflow.requests if one not in self.sign_ins()]

    def tokens(self):
        return list(self.stackflow.identity.tokens)

    def fail(self, kind=CredentialsError):
        with pytest.raises(kind) as caught:
            self.read()
        assert_leaks_no_secret(caught.value, *SECRETS, *self.tokens())
        assert caught.value.hint
        return caught.value


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def signed_in(site, request):
    site.configure(request.param)
    site.read()
    return site


each_way = pytest.mark.parametrize("signed_in", WAYS, indirect=True)


# Tokens and their time.

@each_way
def test_a_token_serves_many_processes(signed_in):
    for _ in range(5):
        signed_in.read()
    assert len(signed_in.sign_ins()) == 1 and signed_in.calls() == [200] * 6


@each_way
def test_it_is_stored_encrypted_until_100_seconds_before_its_end(signed_in):
    (name, (text, end)), = [one for one in signed_in.store.values.items()
                            if one[0].startswith(PREFIX)]
    for secret in signed_in.tokens() + list(SECRETS) + [USER]:
        assert secret not in text + name
    assert (end - signed_in.world.clock.now()).total_seconds() <= 3500


@each_way
@pytest.mark.parametrize("passed, sign_ins", [(3490, 1), (3501, 2), (7200, 2)])
def test_it_is_used_until_100_seconds_before_its_end(signed_in, passed, sign_ins):
    signed_in.world.clock.advance(passed)
    signed_in.read()
    assert len(signed_in.sign_ins()) == sign_ins and set(signed_in.calls()) == {200}


def test_it_ends_within_one_process_too(site):
    site.configure(OAUTH)
    site.stackflow.add_token("given-token")
    site.stackflow.faults.add("/oauth2/token", status=200, times=9, body={
        "access_token": "given-token", "expires_in": 160})
    client = site.world.pack().stackflow
    for passed, sign_ins in ((0, 1), (59, 1), (2, 2)):
        site.world.clock.advance(passed)
        client.incident(site.number)
        assert len(site.sign_ins()) == sign_ins


@each_way
def test_a_401_signs_in_once_more(signed_in):
    for token in signed_in.tokens():
        signed_in.stackflow.revoke(token)
    assert signed_in.read().number == signed_in.number
    signed_in.read()
    assert len(signed_in.sign_ins()) == 2 and signed_in.calls() == [200, 401, 200, 200]


@each_way
def test_a_second_401_is_final(signed_in):
    signed_in.stackflow.faults.add("/prod/api", "status", status=401, times=9)
    error = signed_in.fail()
    assert "StackFlow refuses the token" in error.message and "stackflow.auth" in error.hint
    assert len(signed_in.sign_ins()) == 2 and len(signed_in.calls()) == 3


@each_way
def test_a_refused_token_is_dropped_even_if_nobody_can_sign_in(signed_in):
    for token in signed_in.tokens():
        signed_in.stackflow.revoke(token)
    signed_in.stackflow.faults.add("POST /", status=400, times=9, body={})
    signed_in.fail()
    assert [name for name in signed_in.store.values if name.startswith(PREFIX)] == []


@each_way
def test_without_a_crypto_key_every_process_signs_in(signed_in):
    signed_in.store.values.clear()
    signed_in.store.encryption = False
    client = signed_in.world.pack().stackflow
    for _ in range(3):
        client.incident(signed_in.number)
    signed_in.read()
    assert len(signed_in.sign_ins()) == 3 and not signed_in.store.values


@each_way
@pytest.mark.parametrize("field, value", [("scope", "other"), ("token_field", None),
                                          ("client_id", "another")])
def test_a_changed_setting_does_not_use_the_old_token(signed_in, field, value):
    auth = signed_in.world.config["stackflow"]["auth"]
    kinds = {"access_token": "id_token", "id_token": "access_token"}
    signed_in.stackflow.switches.id_token_with_client_credentials = True
    signed_in.stackflow.add_client("another", CLIENT_SECRET)
    value = value or kinds[auth.get("token_field", "access_token")]
    signed_in.configure(dict(auth, **{field: value}))
    signed_in.read()
    assert len(signed_in.sign_ins()) == 2


@each_way
def test_a_changed_password_or_client_secret_does_not_use_the_old_token(signed_in):
    auth = signed_in.world.config["stackflow"]["auth"]
    name = "password" if "password" in auth else "client_secret"
    signed_in.configure(dict(auth, **{name: "wrong-0123456789"}))
    assert "is wrong" in signed_in.fail().message


@pytest.mark.parametrize("expires_in, kept", [(3600, 3500), ("3600", 3500), (None, 300),
                                              ("soon", 300), (-1, 300), (1e30, 86300), (60, 0)])
def test_the_answer_says_how_long_a_token_is_kept(site, expires_in, kept):
    site.configure(OAUTH)
    site.stackflow.add_token("given-token")
    site.stackflow.faults.add("/oauth2/token", status=200, times=9, body={
        "access_token": "given-token", "expires_in": expires_in})
    for passed, sign_ins in ((0, 1), (kept - 5, 1), (10, 2)):
        site.world.clock.advance(max(0, passed))
        site.read()
        assert len(site.sign_ins()) == sign_ins or not kept


# Which token.

@pytest.mark.parametrize("auth, kinds", [(OAUTH, ("access_token", "id_token")),
                                         (COGNITO, ("access_token", "id_token"))])
def test_id_token_and_access_token_are_both_usable(site, auth, kinds):
    site.stackflow.switches.id_token_with_client_credentials = True
    for kind in kinds:
        site.stackflow.switches.accepts = kind.partition("_")[0]
        site.configure(dict(auth, token_field=kind))
        assert site.read().number == site.number


@pytest.mark.parametrize("auth, wrong, right", [
    (OAUTH, "access_token", "id_token"), (COGNITO, "access_token", "id_token"),
    (COGNITO, "id_token", "access_token")])
def test_a_403_names_the_other_kind(site, auth, wrong, right):
    site.stackflow.switches.accepts = right.partition("_")[0]
    site.configure(dict(auth, token_field=wrong))
    error = site.fail(ApiError)
    assert error.status == 403 and "stackflow.auth.token_field to " + right in error.hint


def test_a_403_for_a_ready_token_asks_for_an_id_token(site):
    site.stackflow.add_token("access-0123456789", kind="access")
    site.stackflow.switches.accepts = "id"
    site.configure({"method": "token", "token": "access-0123456789"})
    assert "give an ID token" in site.fail(ApiError).hint


def test_an_answer_without_the_token_names_the_setting(site):
    site.configure(dict(OAUTH, token_field="id_token"))
    error = site.fail()
    assert "holds no id_token" in error.message
    assert "stackflow.auth.token_field to access_token" in error.hint


@pytest.mark.parametrize("body", [[], "x", {}, {"access_token": None}, {"access_token": 5},
                                  {"access_token": "two words"}, {"access_token": "line\nbreak"},
                                  {"access_token": ""}])
def test_an_answer_that_is_no_token(site, body):
    site.configure(OAUTH)
    site.stackflow.faults.add("/oauth2/token", status=200, body=body)
    assert "holds no access_token" in site.fail().message


# How it is asked for.

def test_client_credentials_go_into_the_form_and_nowhere_else(site):
    site.configure(dict(OAUTH, scope="incidents/read incidents/write"))
    site.read()
    request, = site.sign_ins()
    assert request.body.decode() == (
        "grant_type=client_credentials&client_id=%s&client_secret=%s"
        "&scope=incidents%%2Fread+incidents%%2Fwrite" % (CLIENT, CLIENT_SECRET))
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers and not request.query


def test_no_scope_is_sent_where_none_is_configured(site):
    site.configure(OAUTH)
    site.read()
    assert b"scope" not in site.sign_ins()[0].body


@pytest.mark.parametrize("client_secret", [None, CLIENT_SECRET])
def test_user_and_password_go_to_cognito_of_the_region(site, client_secret):
    auth = dict(COGNITO, token_url=None, client_secret=client_secret)
    site.configure(auth, aws={"region": "eu-west-1"})
    site.read()
    request, = site.sign_ins()
    assert request.headers["x-amz-target"] == "AWSCognitoIdentityProviderService.InitiateAuth"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    body = json.loads(request.body.decode())
    assert (body["AuthFlow"], body["ClientId"]) == ("USER_PASSWORD_AUTH", CLIENT)
    assert ("SECRET_HASH" in body["AuthParameters"]) is bool(client_secret)
    assert CLIENT_SECRET not in request.body.decode()


def test_the_hash_of_an_app_client_with_a_secret():
    """Made with: printf '%s' USERCLIENT | openssl dgst -sha256 -hmac KEY -binary | base64"""
    from pagerduty_stackflow.stackflow.auth import secret_hash
    assert secret_hash("KEY", "USER", "CLIENT") == "TXBWZKjRlAaMALhs7xDvtC2pcyh13GBVsdUFNIBMRpo="


# What refuses.

@pytest.mark.parametrize("status, body, words, hint", [
    (400, {"error": "invalid_client"}, "client id or its secret is wrong", "client_id"),
    (401, {"error": "invalid_client"}, "client id or its secret is wrong", "client_id"),
    (403, "no", "client id or its secret is wrong", "client_id"),
    (400, {"error": "unauthorized_client"}, "does not allow this way", "app client"),
    (400, {"error": "unsupported_grant_type"}, "does not allow this way", "app client"),
    (400, {"error": "invalid_scope"}, "scope", "stackflow.auth.scope"),
    (404, {}, "token endpoint is wrong", "token_url"),
    (302, {}, "token endpoint is wrong", "token_url"),
    (409, {}, "refused", "stackflow.auth"), (418, {}, "refused", "stackflow.auth")])
def test_a_refused_client(site, status, body, words, hint):
    """Never as a NotFoundError, which would mean that the record does not exist."""
    site.configure(OAUTH)
    site.stackflow.faults.add("/oauth2/token", status=status, body=body, times=9)
    error = site.fail()
    assert words in error.message and hint in error.hint and not error.retryable
    assert error.message.startswith("StackFlow sign-in: ")
    assert len(site.stackflow.requests) == 1


@pytest.mark.parametrize("kind, words, hint, retryable", [
    ("NotAuthorizedException", "user name or password is wrong", "password", False),
    ("com.amazonaws#UserNotFoundException", "user name or password is wrong", "username", False),
    ("UserNotConfirmedException", "not confirmed", "confirm the user", False),
    ("PasswordResetRequiredException", "was reset", "new password", False),
    ("InvalidParameterException", "does not allow this way", "app client", False),
    ("ResourceNotFoundException", "does not know the app client", "client_id", False),
    ("TooManyRequestsException", "asked too often", "wait", True),
    ("SomethingNew", "refused", "stackflow.auth", False)])
def test_cognito_refuses(site, kind, words, hint, retryable):
    site.configure(COGNITO)
    site.stackflow.faults.add("POST /", status=400, times=9, body={
        "__type": kind, "message": "no, %s, not with %s" % (USER, PASSWORD)})
    error = site.fail()
    assert words in error.message and hint in error.hint and error.retryable is retryable
    assert USER not in error.message and len(site.stackflow.requests) == 1


def test_a_token_url_left_over_from_client_credentials_is_told_as_such(site):
    site.configure(dict(COGNITO, token_url=OAUTH["token_url"]))
    assert "leave it out" in site.fail().hint


def test_the_simulated_cognito_refuses_too(site):
    site.configure(dict(COGNITO, password="wrong-0123456789"))
    assert "user name or password is wrong" in site.fail().message
    site.configure(dict(COGNITO, client_id="unknown"))
    assert "does not know the app client" in site.fail().message
    site.configure(COGNITO)
    site.stackflow.switches.user_password_auth = False
    assert "does not allow this way" in site.fail().message


@pytest.mark.parametrize("challenge, words", [
    ("NEW_PASSWORD_REQUIRED", "has to set a new password"), ("SMS_MFA", "second factor"),
    ("SOFTWARE_TOKEN_MFA", "second factor"), ("MFA_SETUP", "second factor"),
    ("EMAIL_OTP", "second factor"), ("CUSTOM_CHALLENGE", "further step (CUSTOM_CHALLENGE)"),
    ("x <y>", "further step (of an unknown kind)")])
def test_a_challenge_is_named(site, challenge, words):
    site.configure(COGNITO)
    site.stackflow.faults.add("POST /", status=200, body={
        "ChallengeName": challenge, "Session": "session-0123456789"})
    error = site.fail()
    assert words in error.message
    assert_leaks_no_secret(error, "session-0123456789")


@each_way
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"kind": "reset"},
                                   {"kind": "not_json", "status": 200}])
def test_trouble_of_the_token_endpoint_is_tried_again(signed_in, fault):
    signed_in.world.clock.advance(4000)
    before = len(signed_in.sign_ins())
    signed_in.stackflow.faults.add("POST /", times=1, **fault)
    signed_in.read()
    assert len(signed_in.sign_ins()) == before + 2


@each_way
def test_a_token_endpoint_that_stays_away_is_no_matter_of_credentials(signed_in):
    signed_in.world.clock.advance(4000)
    signed_in.stackflow.faults.add("POST /", status=503, times=999)
    error = signed_in.fail(ApiError)
    assert error.retryable and not isinstance(error, NotFoundError)


# From Secrets Manager.

@pytest.fixture
def secret(monkeypatch):
    """The text of the secret, in a list that a test may change, and how often it was read."""
    held = {"text": "", "reads": 0}

    def fetch(name, settings):
        assert (name.id, name.setting) == ("stackflow/pack", "stackflow.auth.secret")
        held["reads"] += 1
        return held["text"]

    monkeypatch.setattr(secrets_manager, "fetch", fetch)
    return held


@pytest.mark.parametrize("auth, text", [
    (dict(OAUTH, client_secret=None), json.dumps({"client_secret": CLIENT_SECRET})),
    (dict(OAUTH, client_secret=None), CLIENT_SECRET),
    (dict(COGNITO, username=None, password=None),
     json.dumps({"username": USER, "password": PASSWORD})),
    (dict(COGNITO, password=None), json.dumps({"username": "nobody", "password": PASSWORD})),
    ({"method": "token"}, json.dumps({"token": "ready-0123456789"})),
    ({"method": "token"}, "ready-0123456789")])
def test_credentials_from_a_secret(site, secret, auth, text):
    site.stackflow.add_token("ready-0123456789")
    secret["text"] = text
    site.configure(dict(auth, secret="stackflow/pack"))
    for _ in range(3):
        site.read()
    assert secret["reads"] == 1 and set(site.calls()) == {200}


@pytest.mark.parametrize("auth, text, words", [
    (dict(OAUTH, client_secret=None), '{"secret": "%s"}' % CLIENT_SECRET, "holds no client_secret"),
    (dict(COGNITO, username=None, password=None), PASSWORD, "holds no username and no password"),
    (dict(COGNITO, username=None, password=None), '{"username": "x"}', "holds no password"),
    ({"method": "token"}, '{"bearer": "x"}', "holds no token"),
    ({"method": "token"}, '{"token": ', "is not valid JSON")])
def test_a_secret_of_wrong_content(site, secret, auth, text, words):
    secret["text"] = text
    site.configure(dict(auth, secret="stackflow/pack"))
    error = site.fail()
    assert words in error.message and "stackflow.auth.secret" in error.message
    assert "JSON object" in error.hint and site.stackflow.requests == []


def test_a_rotated_client_secret_is_read_at_the_next_sign_in(site, secret):
    secret["text"] = CLIENT_SECRET
    site.configure(dict(OAUTH, client_secret=None, secret="stackflow/pack"))
    site.read()
    site.stackflow.add_client(CLIENT, "rotated-0123456789")
    secret["text"] = "rotated-0123456789"
    for token in site.tokens():
        site.stackflow.revoke(token)
    site.read()
    assert site.calls() == [200, 401, 200] and secret["reads"] == 2


def test_a_rotated_ready_token_costs_one_request_more(site, secret):
    site.stackflow.add_token("ready-0123456789")
    secret["text"] = "ready-0123456789"
    site.configure({"method": "token", "secret": "stackflow/pack"})
    site.read()
    site.stackflow.revoke("ready-0123456789")
    site.stackflow.add_token("rotated-0123456789")
    secret["text"] = "rotated-0123456789"
    site.read()
    site.read()
    assert site.calls() == [200, 401, 200, 200] and secret["reads"] == 2


def test_a_ready_token_that_nobody_replaced_is_tried_once_more_and_fails(site, secret):
    secret["text"] = "ready-0123456789"
    site.configure({"method": "token", "secret": "stackflow/pack"})
    before = site.world.clock.now()
    error = site.fail()
    assert "StackFlow refuses the token" in error.message and site.calls() == [401, 401]
    assert (site.world.clock.now() - before).total_seconds() >= LAG
    assert_leaks_no_secret(error, "ready-0123456789")


def test_a_ready_token_of_the_config_fails_at_once(site):
    site.configure({"method": "token", "token": "ready-0123456789"})
    error = site.fail()
    assert "expired or revoked" in error.message and "401" in error.message
    assert "stackflow.auth.token" in error.hint and site.calls() == [401]


def test_a_secret_on_a_server(site, aws):  # noqa: F811
    aws.put(json.dumps({"username": USER, "password": PASSWORD}), "stackflow/pack")
    site.configure({"method": "user_password", "client_id": CLIENT, "secret": "stackflow/pack",
                    "token_url": SF_HOST + "/"}, aws={"endpoint_url": aws.url})
    for _ in range(3):
        site.read()
    assert aws.reads == 1 and len(site.sign_ins()) == 1
