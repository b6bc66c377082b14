"""The action reconcile."""

from __future__ import annotations

from action_site import ERROR, HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from reconcile import ReconcileAction

from pagerduty_stackflow.datastore import PREFIX

COUNTS = {"pairs", "in_step", "repaired", "failed", "requests", "complete"}
COMMON = COUNTS | {"outcome", "reason", "stackflow_id", "pagerduty_incident_id", "dedup_key",
                   "warnings", "failures"}
LONG_AGO = "2020-01-01T00:00:00Z"


class ReconcileTestCase(ActionTestCase):
    action_cls = ReconcileAction

    def setUp(self):
        super().setUp()
        self.action_service.set_value(PREFIX + "start", LONG_AGO, local=False)

    def reconcile(self, status=True, **parameters):
        """The result of a run that has to end so."""
        found, result = self.run_action(**parameters)
        self.assertIs(found, status, result)
        name = "would" if parameters.get("dry_run") else "done"
        self.assertEqual(set(result), COMMON | {name} | (set() if status else {"error"}))
        for entry in result[name]:
            self.assertEqual(set(entry), {"stackflow_id", "pagerduty_incident_id", "writes",
                                          "reason"})
        for failure in result["failures"]:
            self.assertEqual(set(failure), ERROR | {"incident_id"})
        self.assertEqual(set(result.get("error", ERROR)), ERROR)
        self.pagerduty.tick()
        return result

    def resolved(self):
        """The number of a record that was paged and is resolved, unnoticed."""
        number = self.paged()
        self.stackflow.set_state(number, "resolved")
        return number

    def test_drift_is_repaired_and_a_second_run_writes_nothing(self):
        number = self.resolved()
        result = self.reconcile()
        self.assertEqual(self.incident(number).status, "resolved")
        self.assertEqual((result["outcome"], result["repaired"], result["pairs"]), ("done", 1, 1))
        entry, = result["done"]
        self.assertEqual((entry["stackflow_id"], entry["writes"]), (number, ["resolve"]))
        self.forget_calls()
        self.assertEqual(self.reconcile()["outcome"], "already")
        self.assertEqual(self.writes(), [])

    def test_a_dry_run_writes_nothing_and_tells_what_the_run_then_does(self):
        number = self.resolved()
        dry = self.reconcile(dry_run=True)
        self.assertEqual((dry["outcome"], dry["repaired"]), ("skipped", 0))
        self.assertEqual(self.writes(), [])
        self.assertEqual(self.incident(number).status, "triggered")
        self.assertEqual(self.reconcile()["done"], dry["would"])

    def test_since_opens_what_is_young(self):
        number, incident_id = self.record(), self.born_in_pagerduty()
        self.assertEqual(self.reconcile()["done"], [])
        result = self.reconcile(since=LONG_AGO)
        self.assertEqual(sorted(entry["writes"][0] for entry in result["done"]),
                         ["create", "trigger"])
        self.assertEqual(self.incident(number).status, "triggered")
        self.assertEqual(self.created_for(incident_id), self.stackflow.incidents()[-1]["number"])

    def test_one_pair_by_either_id(self):
        for named in (lambda number: number, lambda number: self.incident(number).id):
            number, other = self.resolved(), self.resolved()
            result = self.reconcile(incident_id=named(number))
            self.assertEqual([entry["stackflow_id"] for entry in result["done"]], [number])
            self.assertEqual(self.incident(other).status, "triggered")

    def test_what_cannot_be_repaired_fails_the_run_with_the_counts_beside_the_error(self):
        self.stackflow.add_group("Nobody Mapped")
        number = self.record(group="Nobody Mapped")
        result = self.reconcile(False, since=LONG_AGO)
        self.assertEqual(result["error"]["kind"], "out_of_step")
        self.assertIn("Nobody Mapped", result["error"]["message"])
        self.assertEqual([one["incident_id"] for one in result["failures"]], [number])

    def test_what_neither_side_knows_is_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.assertIn(incident_id, self.fail_with("not_found", incident_id=incident_id)[
                "message"])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_a_time_that_nobody_understands_is_refused(self):
        self.assertIn("2026-01-31T08:00:00Z", self.fail_with("bad_input", since="soon")["hint"])
        self.assertEqual(self.calls(), [])

    def test_without_a_config_it_is_skipped_and_calls_nobody(self):
        for config in ({}, dict(self.config, pagerduty={"subdomain": "acme"})):
            self.config = config
            result = self.succeed("skipped")
            self.assertIn("not configured: ", result["reason"])
        self.assertEqual(self.calls(), [])

    def test_an_answer_that_is_not_json_fails_with_the_counts(self):
        self.config["http"] = {"timeout_seconds": 5, "total_seconds": 5}
        self.stackflow.faults.add("GET /prod/api/incidents", **HTML)
        result = self.reconcile(False)
        self.assertIn("not JSON", result["error"]["message"])
        self.assertIs(result["complete"], False)
        self.assertTrue(result["reason"].endswith("; ended by an error"), result["reason"])

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        self.assertEqual(self.reconcile(False)["error"]["kind"], "credentials")

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        self.stackflow.revoke(TOKEN)
        self.assertEqual(self.reconcile(False)["error"]["kind"], "credentials")

    def test_progress_goes_to_the_log_while_it_runs(self):
        number = self.resolved()
        with self.assertLogs("st2.actions.python.ReconcileAction", "INFO") as log:
            self.reconcile()
        self.assertIn("1 links", log.output[0])
        self.assertTrue([line for line in log.output if number in line])
