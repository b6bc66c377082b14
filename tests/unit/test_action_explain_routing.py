"""The action explain_routing."""

from __future__ import annotations

from action_site import (GROUP, HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase)
from explain_routing import ExplainRoutingAction

from pagerduty_stackflow import commands, reconcile

SHOWN = {"entry", "service_id", "service_name", "service_url", "key", "escalation_policy",
         "warnings", "assignment_group", "category", "priority", "severity", "reaches_threshold",
         "rule", "why", "stackflow_id", "pagerduty_incident_id"}


class ExplainRoutingTestCase(ActionTestCase):
    action_cls = ExplainRoutingAction

    def setUp(self):
        super().setUp()
        policy = self.pagerduty.add_escalation_policy("Databases", [(5, [self.person])])
        self.database = self.pagerduty.add_service("Database Service", policy, id="P5678CD")
        self.database_key = self.pagerduty.add_integration(self.database)[1]
        self.config["service_mapping"].append({
            "pagerduty_service_id": self.database, "pagerduty_service_name": "Database Service",
            "stackflow_assignment_group": "Database Reliability",
            "stackflow_category": "database", "integration_key": self.database_key})

    def explain(self, **parameters):
        status, result = self.run_action(**parameters)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), SHOWN)
        self.assertEqual(self.writes(), [])
        for key in (self.routing_key, self.database_key, REST_KEY, TOKEN):
            self.assertNotIn(key, str(result))
        self.assertTrue(result["why"])
        return result

    def test_a_group_alone(self):
        result = self.explain(assignment_group="database reliability")
        self.assertEqual((result["entry"], result["service_id"]), ("service_mapping[1]", "P5678CD"))
        self.assertEqual(result["key"]["position"], "service_mapping[1].integration_key")
        self.assertEqual(result["service_url"],
                         "https://acme.pagerduty.com/service-directory/P5678CD")
        self.assertEqual(len(result["key"]["fingerprint"]), 16)
        self.assertEqual(result["escalation_policy"]["name"], "Databases")
        self.assertEqual(result["rule"], "stackflow_created")
        self.assertIn("if its priority reaches the threshold P2", result["why"])
        self.assertIsNone(result["severity"])

    def test_a_group_category_and_priority(self):
        result = self.explain(assignment_group=GROUP, category="api", priority="P1")
        self.assertEqual((result["severity"], result["reaches_threshold"], result["rule"]),
                         ("critical", True, "stackflow_created"))
        self.assertEqual(result["service_name"], "Production API")

    def test_a_priority_under_the_threshold_runs_no_rule(self):
        result = self.explain(assignment_group=GROUP, priority="P3")
        self.assertEqual((result["severity"], result["reaches_threshold"], result["rule"]),
                         ("warning", False, None))
        self.assertIn("stackflow_priority_raised", result["why"])

    def test_a_priority_is_one_of_four_in_any_case(self):
        self.assertEqual(self.explain(assignment_group=GROUP, priority="p1")["rule"],
                         "stackflow_created")
        error = self.fail_with("bad_input", assignment_group=GROUP, priority="high")
        self.assertEqual(error["hint"], "give one of P1, P2, P3, P4")

    def test_a_group_without_an_entry_goes_to_the_default_service(self):
        self.config["default_pagerduty_service_id"] = self.database
        result = self.explain(assignment_group="Nobody Mapped", priority="P1")
        self.assertEqual(result["service_id"], self.database)
        self.assertIn("default_pagerduty_service_id", result["why"])

    def test_a_group_that_leads_nowhere_fails_and_names_the_nearest(self):
        error = self.fail_with("routing", assignment_group="Platform Enginering")
        self.assertIn("nearest: 'Platform Engineering'", error["message"])

    def test_an_incident_that_is_not_paged_yet(self):
        number = self.record("P2")
        result = self.explain(incident_id=number)
        self.assertEqual((result["assignment_group"], result["priority"], result["stackflow_id"]),
                         (GROUP, "P2", number))
        self.assertEqual((result["rule"], result["severity"]), ("stackflow_created", "error"))

    def test_an_incident_that_is_paged_is_kept_in_step(self):
        number = self.paged()
        result = self.explain(incident_id=number)
        self.assertIsNone(result["rule"])
        self.assertIn("an alert was sent there already", result["why"])
        self.assertIn("sync_status", result["why"])
        self.use_case(reconcile.reconcile, incident_id=number)
        self.assertIn("paged there already", self.explain(incident_id=number)["why"])

    def test_a_paged_incident_moves_with_its_group(self):
        number = self.paged()
        result = self.explain(incident_id=number, assignment_group="Database Reliability")
        self.assertEqual((result["rule"], result["service_id"]),
                         ("stackflow_regrouped", self.database))
        self.assertIn("moves with its group", result["why"])

    def test_a_paged_incident_is_not_moved_to_the_default_service(self):
        self.config["default_pagerduty_service_id"] = self.database
        number = self.paged()
        result = self.explain(incident_id=number, assignment_group="Nobody Mapped")
        self.assertIsNone(result["rule"])
        self.assertIn("opening only", result["why"])

    def test_an_incident_that_is_resolved_opens_nothing(self):
        number = self.record()
        self.stackflow.set_state(number, "resolved")
        result = self.explain(incident_id=number)
        self.assertIsNone(result["rule"])
        self.assertIn("stackflow_reopened", result["why"])

    def test_an_incident_that_is_open_again_triggers_a_new_alert(self):
        number = self.paged()
        self.stackflow.set_state(number, "resolved")
        self.use_case(commands.resolve_incident, incident_id=number)
        self.pagerduty.tick()
        self.use_case(commands.resolve_incident, incident_id=number, incident=self.event(number))
        self.stackflow.reopen(number)
        self.assertEqual(self.explain(incident_id=number)["rule"], "stackflow_reopened")

    def test_an_incident_of_before_the_first_run_opens_nothing(self):
        number = self.record()
        service = self.get_action_instance(config=self.config).action_service
        service.set_value("pagerduty_stackflow.start", "2999-01-01T00:00:00Z", local=False)
        result = self.explain(incident_id=number)
        self.assertIsNone(result["rule"])
        self.assertIn("before the pack was installed", result["why"])

    def test_a_pagerduty_incident_without_a_record(self):
        result = self.explain(incident_id=self.born_in_pagerduty(priority="P1"))
        self.assertEqual((result["rule"], result["assignment_group"], result["priority"]),
                         ("pagerduty_triggered", GROUP, "P1"))
        self.assertIsNone(result["stackflow_id"])

    def test_a_pagerduty_incident_with_a_record_is_explained_by_that(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.explain(incident_id=incident_id)
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"]),
                         (number, incident_id))

    def test_a_pagerduty_incident_makes_no_record_where_the_direction_is_off(self):
        self.config["bidirectional_sync"] = False
        result = self.explain(incident_id=self.born_in_pagerduty())
        self.assertIsNone(result["rule"])

    def test_a_pagerduty_incident_of_a_service_that_is_not_mapped(self):
        result = self.explain(incident_id=self.born_in_pagerduty(service=self.unmapped))
        self.assertEqual((result["entry"], result["rule"], result["service_id"]),
                         (None, None, self.unmapped))
        self.assertIn("not in service_mapping", result["why"])

    def test_the_routing_is_explained_without_a_rest_key_and_the_policy_is_not_known(self):
        self.pagerduty.revoke_api_key(REST_KEY)
        result = self.explain(assignment_group=GROUP)
        self.assertIsNone(result["escalation_policy"])
        self.assertIn("API key expired or revoked", result["warnings"][0])

    def test_a_service_that_pages_nobody_is_a_warning(self):
        self.pagerduty.disable_service(self.service)
        self.assertIn("disabled", self.explain(assignment_group=GROUP)["warnings"][0])

    def test_neither_incident_nor_group_is_bad_input(self):
        error = self.fail_with("bad_input")
        self.assertIn("assignment_group", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_an_incident_that_is_unknown_is_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.fail_with("not_found", incident_id=incident_id)

    def test_a_malformed_id_is_refused_without_a_call(self):
        for incident_id in ("inc0001", "../users", "Q0ABC DEF123", "48213"):
            error = self.fail_with("bad_input", incident_id=incident_id)
            self.assertIn("INC0001234", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_an_answer_that_is_not_json_fails(self):
        number = self.record()
        self.stackflow.faults.add("GET /prod/api/incidents/", **HTML)
        self.assertIn("not JSON", self.fail_with("api", incident_id=number)["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(assignment_group=GROUP)
