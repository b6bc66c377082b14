"""The action manage_webhooks."""

from __future__ import annotations

import json
from unittest import mock

import requests
from action_site import GROUP, OUTCOME, REST_KEY, ActionTestCase
from manage_webhooks import ManageWebhooksAction

PUBLIC = "https://hooks.example.com/stackstorm"
URL = PUBLIC + "/webhooks/pagerduty"
KEY = "pagerduty_stackflow.webhook_secret."
ROW = {"id", "scope", "service_id", "events", "active", "temporarily_disabled", "ours",
       "secret_key"}
EVENTS = {"incident." + name for name in ("triggered", "acknowledged", "resolved", "reopened",
                                          "service_updated", "annotated")}


class ManageWebhooksTestCase(ActionTestCase):
    action_cls = ManageWebhooksAction

    def setUp(self):
        super().setUp()
        policy = self.pagerduty.account.services[self.service].policy_id
        self.database = self.pagerduty.add_service("Database Service", policy, id="P5678CD")
        self.config["webhook_listener"] = {"public_url": PUBLIC + "/"}
        for group, category in (("Database Reliability", None), (GROUP, "api")):
            entry = dict(self.config["service_mapping"][0])
            if group != GROUP:
                entry.update(pagerduty_service_id=self.database,
                             pagerduty_service_name="Database Service")
            entry.update(stackflow_assignment_group=group, stackflow_category=category)
            self.config["service_mapping"].append(entry)

    def manage(self, outcome, operation, **parameters):
        """Rows, by id, and the whole result of a run that has to end with this outcome."""
        status, result = self.run_action(operation=operation, **parameters)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), OUTCOME | {"subscriptions"})
        self.assertEqual(result["outcome"], outcome, result)
        self.assertTrue(result["reason"])
        for row in result["subscriptions"]:
            self.assertEqual(set(row), ROW)
        return {row["id"]: row for row in result["subscriptions"]}, result

    def foreign(self, url="https://other.example.com/hook", **fields):
        return self.pagerduty.subscribe(url, **fields)[0]

    def ours(self):
        return [one for one in self.pagerduty.account.subscriptions.values() if one.url == URL]

    def stored(self, one):
        return self.action_service.get_value(KEY + one, local=False, decrypt=True)

    def test_create_subscribes_each_mapped_service_once_to_what_the_rules_need(self):
        self.foreign()
        rows, result = self.manage("done", "create")
        made = {one.id: one for one in self.ours()}
        self.assertEqual(set(rows), set(made))
        self.assertEqual(sorted(one.filter_id for one in made.values()),
                         sorted([self.service, self.database]))
        for one in made.values():
            self.assertEqual(one.filter_type, "service_reference")
            self.assertEqual(set(one.events), EVENTS)
            self.assertEqual(rows[one.id]["secret_key"], KEY + one.id)
            self.assertEqual(self.stored(one.id), one.secret)
            self.assertNotIn(one.secret, json.dumps(result))

    def test_the_secret_is_stored_encrypted_and_nowhere_else(self):
        with mock.patch.object(self.action_service, "set_value",
                               wraps=self.action_service.set_value) as stored:
            rows, _ = self.manage("done", "create", service="database service")
        (one,) = rows
        secret = self.pagerduty.account.subscriptions[one].secret
        stored.assert_called_once_with(KEY + one, secret, ttl=None, local=False, encrypt=True)

    def test_create_leaves_a_service_alone_that_has_ours_already(self):
        rows, _ = self.manage("done", "create", service=self.service)
        again, result = self.manage("done", "create")
        self.assertEqual(len(self.ours()), 2)
        self.assertLess(set(rows), set(again))
        self.manage("already", "create")
        self.assertEqual(len(self.ours()), 2)

    def test_another_spelling_of_our_address_is_ours_too(self):
        one = self.foreign(URL.replace(".com/", ".com:443/") + "/")
        rows, _ = self.manage("already", "create")
        self.assertEqual((list(rows), rows[one]["ours"]), ([one], True))

    def test_create_leaves_all_alone_where_the_account_calls_us_and_says_what_is_wrong(self):
        one = self.foreign(URL, events=["incident.triggered"])
        self.pagerduty.account.subscriptions[one].active = False
        rows, result = self.manage("already", "create")
        self.assertEqual(list(rows), [one])
        self.assertEqual((rows[one]["scope"], rows[one]["secret_key"]), ("account", None))
        self.assertEqual(len(result["warnings"]), 2)

    def test_where_the_secret_cannot_be_stored_the_subscription_is_deleted_again(self):
        with mock.patch.object(self.action_service, "set_value", side_effect=ValueError("secret")):
            error = self.fail_with("datastore", operation="create")
        self.assertEqual(self.ours(), [])
        self.assertIn("deleted again", error["message"])
        self.assertNotIn("secret", error["message"].replace("the secret of", ""))
        self.assertIn("key to encrypt", error["hint"])

    def test_where_stackstorm_denies_the_write_the_error_names_the_permission_and_no_key(self):
        denied = requests.HTTPError("403", response=mock.Mock(status_code=403))
        with mock.patch.object(self.action_service, "set_value", side_effect=denied):
            error = self.fail_with("datastore_denied", operation="create")
        self.assertEqual(self.ours(), [])
        self.assertIn("key_value_pair_set", error["message"])
        self.assertIn("role admin", error["hint"])
        self.assertFalse(error["retryable"])

    def test_where_it_cannot_be_deleted_either_the_error_names_it(self):
        self.pagerduty.faults.add("DELETE /webhook_subscriptions", kind="status", status=400)
        with mock.patch.object(self.action_service, "set_value", side_effect=ValueError):
            error = self.fail_with("datastore", operation="create", service=self.service)
        self.assertIn(self.ours()[0].id, error["hint"])

    def test_what_was_made_before_a_failure_is_named(self):
        with mock.patch.object(self.action_service, "set_value", side_effect=[True, ValueError]):
            error = self.fail_with("datastore", operation="create")
        (one,) = self.ours()
        self.assertIn("made before: " + one.id, error["message"])

    def test_a_lost_answer_leaves_no_subscription_whose_secret_nobody_knows(self):
        self.pagerduty.faults.add("POST /webhook_subscriptions", kind="drop_answer")
        error = self.fail_with("outcome_unknown", operation="create", service=self.service)
        self.assertEqual(self.ours(), [])
        self.assertIn("run create again", error["hint"])
        self.manage("done", "create", service=self.service)

    def test_the_eleventh_subscription_of_a_service_is_refused_with_a_hint(self):
        for _ in range(10):
            self.foreign(service=self.service)
        error = self.fail_with("api", operation="create", service=self.service)
        self.assertIn("2019", error["message"])
        self.assertIn("at most 10", error["hint"])

    def test_list_shows_the_packs_own_or_one(self):
        other = self.foreign()
        self.assertEqual(self.manage("skipped", "list")[0], {})
        self.manage("done", "create")
        rows, _ = self.manage("done", "list")
        self.assertEqual(len(rows), 2)
        rows, _ = self.manage("done", "list", service="Production API")
        self.assertEqual([row["service_id"] for row in rows.values()], [self.service])
        rows, result = self.manage("done", "list", subscription_id=other)
        self.assertIs(rows[other]["ours"], False)
        self.assertNotIn("other.example.com", json.dumps(result))
        self.forget_calls()
        self.manage("done", "list")
        self.assertEqual(self.writes(), [])

    def test_enable_lifts_what_pagerduty_and_what_a_person_switched_off(self):
        (one,), _ = self.manage("done", "create", service=self.service)
        subscription = self.pagerduty.account.subscriptions[one]
        subscription.active = False
        subscription.disabled_until = self.pagerduty.clock.now().replace(year=2999)
        rows, _ = self.manage("done", "list")
        self.assertEqual((rows[one]["active"], rows[one]["temporarily_disabled"]), (False, True))
        rows, _ = self.manage("done", "enable")
        self.assertEqual((rows[one]["active"], rows[one]["temporarily_disabled"]), (True, False))

    def test_ping_has_pagerduty_send_an_event(self):
        (one,), _ = self.manage("done", "create", service=self.service)
        self.manage("done", "ping", subscription_id=one)
        (delivery,) = self.pagerduty.deliveries
        self.assertIn(b"pagey.ping", delivery.body)

    def test_delete_removes_the_packs_own_with_their_secrets_and_nothing_else(self):
        other = self.foreign()
        made, _ = self.manage("done", "create")
        rows, _ = self.manage("done", "delete", service=self.database)
        (one,) = rows
        self.assertIsNone(rows[one]["secret_key"])
        self.assertEqual(len(self.ours()), 1)
        self.manage("done", "delete")
        self.assertEqual(list(self.pagerduty.account.subscriptions), [other])
        self.assertEqual([self.stored(one) for one in made], [None, None])

    def test_delete_of_one_that_is_gone_removes_its_secret(self):
        (one,), _ = self.manage("done", "create", service=self.service)
        del self.pagerduty.account.subscriptions[one]
        self.manage("already", "delete", subscription_id=one)
        self.assertIsNone(self.stored(one))

    def test_a_service_in_an_operation_does_not_touch_one_of_the_whole_account(self):
        self.foreign(URL)
        rows, _ = self.manage("done", "list", service=self.service)
        self.assertEqual(len(rows), 1)
        self.manage("skipped", "delete", service=self.service)
        self.assertEqual(len(self.ours()), 1)

    def test_bad_input_is_refused_before_any_call(self):
        for hint, parameters in (
                ("list, create", {"operation": "rotate"}),
                ("P1234AB (Production API)", {"operation": "create", "service": "Billing"}),
                ("shows the ids", {"operation": "delete", "subscription_id": "../incidents"}),
                ("leave out", {"operation": "create", "subscription_id": "PABC"}),
                ("leave out", {"operation": "ping", "subscription_id": "PABC",
                               "service": "P1234AB"})):
            self.assertIn(hint, self.fail_with("bad_input", **parameters)["hint"])
        self.assertEqual(self.calls(), [])

    def test_a_name_that_two_services_have_is_refused(self):
        for entry in self.config["service_mapping"]:
            entry["pagerduty_service_name"] = "Production API"
        error = self.fail_with("bad_input", operation="create", service="production api")
        self.assertIn("several services", error["message"])

    def test_without_a_public_url_nothing_can_be_subscribed(self):
        del self.config["webhook_listener"]
        error = self.fail_with("config", operation="create")
        self.assertIn("webhook_listener.public_url", error["message"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_subscription_is_not_found(self):
        for operation in ("list", "enable", "ping"):
            self.fail_with("not_found", operation=operation, subscription_id="PUNKNOWN")

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(operation="list")

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", operation="list")
        self.assertIn("API key expired or revoked", error["message"])
