"""The action check_connection."""

from __future__ import annotations

from action_site import ERROR, HTML, REST_KEY, TOKEN, ActionTestCase
from check_connection import CheckConnectionAction


class CheckConnectionTestCase(ActionTestCase):
    action_cls = CheckConnectionAction

    def setUp(self):
        super().setUp()
        self.pagerduty.account.subdomain = "acme"
        self.config["http"] = {"timeout_seconds": 5, "total_seconds": 5}

    def check(self, status):
        """The checks of a run that has to end so, by name, and its error."""
        found, result = self.run_action()
        self.assertIs(found, status, result)
        self.assertEqual(set(result), {"ok", "checks"} if status else {"ok", "checks", "error"})
        self.assertIs(result["ok"], status)
        for check in result["checks"]:
            self.assertEqual(set(check) - {"cause", "fix"}, {"name", "status"})
            self.assertIs("fix" in check and "cause" in check, check["status"] != "ok", check)
        for secret in (REST_KEY, TOKEN, self.routing_key):
            self.assertNotIn(secret, str(result))
        error = result.get("error", {})
        self.assertEqual(set(error), set() if status else ERROR)
        return {check["name"]: check for check in result["checks"]}, error

    def failed(self, checks):
        return [name for name, check in checks.items() if check["status"] == "failed"]

    def test_a_healthy_set_up_succeeds_and_writes_nothing(self):
        checks, _ = self.check(True)
        self.assertEqual(self.failed(checks), [])
        self.assertEqual(checks["integration_keys"]["status"], "ok")
        self.assertEqual(checks["pagerduty_write_right"]["status"], "skipped")
        self.assertEqual(self.writes(), [])

    def test_a_failed_check_fails_the_run_with_all_checks_beside_the_error(self):
        self.config["service_mapping"][0]["integration_key"] = "0" * 32
        checks, error = self.check(False)
        self.assertEqual(self.failed(checks), ["integration_keys"])
        self.assertEqual(error["kind"], "check_failed")
        self.assertIn("Integration key invalid", error["message"])
        self.assertIn("Re-copy the Integration Key", error["hint"])
        self.assertIs(error["retryable"], False)

    def test_a_service_that_is_not_found_is_a_failed_check(self):
        self.config["service_mapping"][0]["pagerduty_service_id"] = "P9999XX?x=1"
        checks, _ = self.check(False)
        self.assertEqual(self.failed(checks), ["pagerduty_services"])

    def test_an_answer_that_is_not_json_is_a_failed_check(self):
        self.stackflow.faults.add("GET /prod/api/groups", **HTML)
        checks, _ = self.check(False)
        self.assertEqual(self.failed(checks), ["stackflow_groups"])
        self.assertIn("not JSON", checks["stackflow_groups"]["cause"])

    def test_a_key_that_pagerduty_refuses_is_a_failed_check(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        checks, _ = self.check(False)
        self.assertEqual(self.failed(checks), ["pagerduty_api_key"])
        self.assertIn("API key expired or revoked", checks["pagerduty_api_key"]["cause"])

    def test_a_token_that_stackflow_refuses_is_a_failed_check(self):
        self.stackflow.revoke(TOKEN)
        self.assertEqual(self.failed(self.check(False)[0]), ["stackflow_sign_in"])

    def test_a_firewall_before_stackflow_is_named_and_neither_role_nor_token_is_blamed(self):
        for status in (401, 403):
            self.stackflow.faults.add("/prod/api/incidents", "not_json", status=status, times=99)
            checks, _ = self.check(False)
            self.assertEqual(self.failed(checks), ["stackflow_sign_in"])
            self.assertIn("did not come from the API", checks["stackflow_sign_in"]["cause"])
            self.assertIn("firewall or proxy", checks["stackflow_sign_in"]["fix"])
            self.stackflow.faults.clear()

    def test_a_config_that_is_wrong_is_the_failed_check_and_nothing_is_called(self):
        self.config["pagerduty"] = {"subdomain": "acme"}
        checks, error = self.check(False)
        self.assertEqual(self.failed(checks), ["config"])
        self.assertEqual(error["kind"], "config")
        self.assertIn("pagerduty.from_email", checks["config"]["cause"])
        self.assertEqual(self.calls(), [])
