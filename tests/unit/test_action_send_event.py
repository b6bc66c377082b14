"""The action send_event."""

from __future__ import annotations

from unittest import mock

from action_site import ActionTestCase
from pagerduty_stackflow import prefilter
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.incidents import dedup_key
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.pagerduty.webhooks import parse
from pagerduty_stackflow.settings import load
from send_event import SendEventAction

LONG_HOST = ".".join(["a" * 60] * 4) + ".example.com"


class SendEventTestCase(ActionTestCase):
    action_cls = SendEventAction

    def sent(self):
        """What reached the Events API, oldest first."""
        return [write.document for write in self.pagerduty.writes]

    def test_a_trigger_opens_an_incident_on_the_service(self):
        for service in (self.service, " production API "):
            result = self.succeed("done", event_action="trigger", service=service, summary="Hot")
            incident, = self.pagerduty.incidents(dedup_key=result["dedup_key"])
            self.assertEqual((incident.service_id, incident.title), (self.service, "Hot"))
        payload = self.sent()[0]["payload"]
        self.assertEqual((payload["severity"], payload["source"]), ("critical", "StackStorm"))

    def test_everything_that_is_given_is_sent(self):
        links = [{"href": "https://wiki.example/x", "text": "Book"}, {"href": "http://a.example"}]
        self.succeed("done", event_action="trigger", service=self.service, summary="Hot",
                     severity="warning", source="db1", dedup_key="mine:1", links=links,
                     custom_details={"load": 17, "text": "{{ x }}"})
        event, = self.sent()
        self.assertEqual(event, {
            "event_action": "trigger", "dedup_key": "mine:1", "routing_key": self.routing_key,
            "links": links, "payload": {
                "summary": "Hot", "severity": "warning", "source": "db1",
                "custom_details": {"load": 17, "text": "{{ x }}"}}})

    def test_its_alert_is_acknowledged_and_resolved_by_its_key(self):
        event = {"service": self.service, "dedup_key": "mine:1"}
        self.succeed("done", event_action="trigger", summary="Hot", **event)
        for action, status in (("acknowledge", "acknowledged"), ("resolve", "resolved")):
            result = self.succeed("done", event_action=action, **event)
            self.assertEqual(result["dedup_key"], "mine:1")
            self.assertEqual(self.pagerduty.incidents(dedup_key="mine:1")[0].status, status)

    def test_a_trigger_without_a_key_gets_one_of_its_own_and_lands_once_though_repeated(self):
        event = {"event_action": "trigger", "service": self.service, "summary": "Hot"}
        self.pagerduty.faults.add("POST", "drop_answer", times=1)
        with mock.patch("pagerduty_stackflow.transport.random.uniform", return_value=0):
            keys = {self.succeed("done", **event)["dedup_key"] for _ in range(2)}
        self.assertEqual((len(self.sent()), len(keys)), (3, 2))
        self.assertEqual(len(self.pagerduty.incidents()), 2)

    def test_its_incident_gets_a_stackflow_record_like_any_that_was_opened_in_pagerduty(self):
        self.pagerduty.subscribe("http://127.0.0.1:1/webhooks/pagerduty")
        self.succeed("done", event_action="trigger", service=self.service, summary="Hot")
        payload = parse(self.pagerduty.deliveries[0].body)
        verdict = prefilter.judge("pagerduty_event", payload, load(self.config),
                                  Links(Datastore(self.action_service)), None)
        self.assertEqual(verdict, prefilter.APPLY)

    def test_what_is_too_long_is_cut_and_told(self):
        result = self.succeed("done", event_action="trigger", service=self.service,
                              summary="x" * 1025, custom_details={"log": "y" * 600000})
        self.assertEqual(len(result["warnings"]), 2)
        self.assertEqual(len(self.sent()[0]["payload"]["summary"]), 1024)

    def test_a_key_of_the_packs_own_form_is_refused(self):
        for host in (self.host, LONG_HOST):
            self.config["stackflow"]["instance_url"] = "https://%s" % host
            own = dedup_key(host, "INC0001234")
            for key in (own, own + ":1", own + ":unanswered", own[:-10] + "test:x"):
                for action in ("trigger", "acknowledge", "resolve"):
                    error = self.fail_with("bad_input", event_action=action, service=self.service,
                                           summary="x", dedup_key=key)
                    self.assertIn("resolve_incident", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_keys_of_others_are_theirs(self):
        for key in ("stackflow:other.example:INC1", "Stackflow:%s:INC1" % self.host, "stackflow",
                    "x" * 255):
            self.succeed("done", event_action="trigger", service=self.service, summary="x",
                         dedup_key=key)

    def test_what_pagerduty_would_refuse_is_refused_before_it_is_sent(self):
        links = [["x"], [{}], [{"text": "x"}], [{"href": "ftp://a.example/x"}],
                 [{"href": "javascript:1"}], [{"href": "https://"}],
                 [{"href": "wiki"}], [{"href": 7}], [{"href": "https://[x"}],
                 [{"href": "https://a.example", "text": 7}]]
        wrong = [{"event_action": "Trigger"}, {"event_action": ""}, {"severity": "P1"},
                 {"severity": "Critical"}, {"summary": None}, {"summary": " "},
                 {"dedup_key": "x" * 256}, {"event_action": "resolve"},
                 {"event_action": "acknowledge", "dedup_key": ""}, {"custom_details": ["x"]},
                 {"links": [{"href": "https://a.example", "text": "x" * 600000}]}]
        for one in wrong + [{"links": each} for each in links]:
            event = dict({"event_action": "trigger", "service": self.service, "summary": "Hot"},
                         **one)
            self.fail_with("bad_input", **event)
        self.assertEqual(self.calls(), [])

    def test_an_unknown_service_is_refused(self):
        for service in ("Billing", "", "P0000ZZ"):
            error = self.fail_with("bad_input", event_action="trigger", service=service,
                                   summary="x")
            self.assertIn("P1234AB (Production API)", error["hint"])

    def test_a_key_that_is_none_is_told_without_showing_it(self):
        self.config["service_mapping"][0]["integration_key"] = "not-a-key"
        error = self.fail_with("credentials", event_action="trigger", service=self.service,
                               summary="x")
        self.assertNotIn("not-a-key", str(error))

    def test_an_event_that_pagerduty_refuses_fails(self):
        self.pagerduty.faults.add("POST", status=400, body={
            "status": "invalid event", "message": "Event object is invalid", "errors": ["no"]})
        error = self.fail_with("api", event_action="trigger", service=self.service, summary="x")
        self.assertIn("Event object is invalid", error["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(event_action="trigger", service=self.service, summary="x")
