"""Chat commands: each phrase fits exactly one format, and every answer can be read by a person."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from st2tests.base import BaseActionAliasTestCase

from dev.local_stackstorm import chat, templates

ROOT = Path(__file__).resolve().parents[2]
ALIASES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
           for path in sorted((ROOT / "aliases").glob("*.yaml"))}
FORMATS = [text for alias in ALIASES.values() for text in chat.formats(alias)]
NUMBER, INCIDENT = "INC0001234", "Q1ABCDEFGHIJKL"


def about(incident_id, **more):
    return dict({"incident_id": incident_id}, **more)


def route(group, category=None, priority=None):
    return {"assignment_group": group, "category": category, "priority": priority}


PHRASES = {
    "trigger": {"pd trigger INC0001234": about(NUMBER)},
    "ack": {"pd ack INC0001234": about(NUMBER), "pd ack " + INCIDENT: about(INCIDENT)},
    "resolve": {
        "pd resolve INC0001234": about(NUMBER, resolution=None),
        "pd resolve INC0001234 because": about("INC0001234 because", resolution=None),
        "pd resolve INC0001234 because the disk is new": about(
            NUMBER, resolution="the disk is new"),
        "pd resolve INC0001234 because\nthe disk\nis new": about(
            NUMBER, resolution="the disk\nis new"),
        "pd resolve  INC0001234  because  the disk is new ": about(
            NUMBER, resolution="the disk is new"),
        "pd resolve INC0001234 because of it because \"I said so\"": about(
            NUMBER, resolution="of it because \"I said so\"")},
    "escalate": {
        "pd escalate INC0001234": about(NUMBER, escalation_policy_id=None),
        "pd escalate %s to PABCDEF" % INCIDENT: about(INCIDENT, escalation_policy_id="PABCDEF"),
        "pd escalate  %s\nto  PABCDEF" % INCIDENT: about(INCIDENT, escalation_policy_id="PABCDEF"),
        "pd escalate INC0001234 escalation_level=2": about(
            NUMBER, escalation_policy_id=None, escalation_level="2")},
    "status": {"pd status INC0001234": about(NUMBER), "pd status " + INCIDENT: about(INCIDENT)},
    "note": {
        "pd note INC0001234 on it": about(NUMBER, text="on it"),
        "pd note INC0001234 pd list": about(NUMBER, text="pd list"),
        "pd note INC0001234 \"quoted\"": about(NUMBER, text="\"quoted\""),
        "pd note INC0001234 {{ x }} {% y %} <% z %>": about(
            NUMBER, text="{{ x }} {% y %} <% z %>"),
        "pd note INC0001234 two\nlines": about(NUMBER, text="two\nlines"),
        "pd note INC0001234\ntwo\nlines": about(NUMBER, text="two\nlines"),
        "pd note INC0001234 a = b": about(NUMBER, text="a = b"),
        "pd note INC0001234 set x=1 on db1": about(NUMBER, text="set x=1 on db1"),
        # Whatever looks like a parameter is cut off at the end; by this one the side can be told.
        "pd note INC0001234 on it host=db1": about(NUMBER, text="on it", host="db1"),
        "pd note INC0001234 on it side=stackflow": about(NUMBER, text="on it", side="stackflow")},
    "list": {"pd list": {}, " pd list ": {}},
    "oncall": {
        "pd oncall": {"assignment_group": None},
        "pd oncall  Platform Engineering": {"assignment_group": "Platform Engineering"},
        "pd oncall Platform Engineering": {"assignment_group": "Platform Engineering"},
        "pd oncall \"Platform Engineering\"": {"assignment_group": "Platform Engineering"}},
    "route": {
        "pd route Platform Engineering": route("Platform Engineering"),
        "pd route Platform Engineering priority P1": route("Platform Engineering", None, "P1"),
        "pd route Platform Engineering category api v2": route("Platform Engineering", "api v2"),
        "pd route Platform Engineering category api priority P1": route(
            "Platform Engineering", "api", "P1"),
        "pd route  Platform Engineering  category  api\npriority\tP1": route(
            "Platform Engineering", "api", "P1"),
        "pd route \"All category owners\" category 'api'": route("All category owners", "api")},
    "reconcile": {"pd reconcile": {}},
    "reconcile_dry_run": {"pd reconcile dry run": {}},
    "check": {"pd check": {}},
    "test": {"pd test Production API": {"service": "Production API"},
             "pd test P1234AB": {"service": "P1234AB"}}}
ONE_WORD = {"note": "pd note INC0001234 looking", "test": "pd test P1234AB",
            "route": "pd route Platform category api priority P1"}
"""Commands whose values have no blanks; of other aliases the first of PHRASES has none."""
NOTHING = ["pd", "pd nonsense", "pd ack", "pd trigger", "pd resolve", "pd note INC0001234",
           "pd note", "pd listing", "pd check now", "pd reconcile now", "pdlist", "please pd list"]


class Phrases:
    """What is asked of each alias: see PHRASES."""

    def _get_base_pack_path(self):
        return str(ROOT)

    def test_its_phrases_fit_it_and_nothing_else_and_give_its_parameters(self):
        text, = self.action_alias_db.get_format_strings()
        for command, parameters in PHRASES[self.action_alias_name].items():
            self.assertCommandMatchesExactlyOneFormatString(FORMATS, command)
            self.assertExtractedParametersMatch(text, command, parameters)


class TriggerTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "trigger"


class AckTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "ack"


class ResolveTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "resolve"


class EscalateTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "escalate"


class StatusTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "status"


class NoteTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "note"


class ListTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "list"


class OncallTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "oncall"


class RouteTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "route"


class ReconcileTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "reconcile"


class ReconcileDryRunTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "reconcile_dry_run"


class CheckTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "check"


class TestTestCase(Phrases, BaseActionAliasTestCase):
    action_alias_name = "test"


@pytest.mark.parametrize("blank", ["  ", "\n", "\t", " \n ", "\u00a0"])
@pytest.mark.parametrize("name", sorted(PHRASES))
def test_any_white_space_separates_the_words_of_a_command(name, blank):
    command = ONE_WORD.get(name) or next(iter(PHRASES[name]))
    alias, found = chat.match(ALIASES, command.replace(" ", blank))
    assert alias["name"] == name
    assert found == chat.match(ALIASES, command)[1]


def test_every_alias_is_tried_here():
    tried = {case.action_alias_name for case in Phrases.__subclasses__()}
    assert tried == set(PHRASES) == set(ALIASES)


@pytest.mark.parametrize("command", NOTHING)
def test_other_words_fit_nothing(command):
    with pytest.raises(ValueError, match="fits 0 formats"):
        chat.match(ALIASES, command)


class Run:
    """An execution as far as an answer shows it."""

    id, action, parameters, stdout, stderr, error = "5f00", "x", {}, "", "", "cancelled"

    def __init__(self, status, result, exit_code=0):
        self.status, self.result, self.exit_code = status, result, exit_code


def said(name, run):
    return chat.answer(templates.environment(str), ALIASES[name], run)


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_an_error_is_told_with_its_hint(name):
    error = {"kind": "api", "message": "PagerDuty said {{ no }}", "hint": "say please",
             "retryable": False}
    assert said(name, Run("failed", {"error": error})).splitlines() == [
        "PagerDuty said {{ no }}", "What to do: say please"]
    assert said(name, Run("failed", {"error": dict(error, hint="")})) == "PagerDuty said {{ no }}\n"


@pytest.mark.parametrize("name", sorted(ALIASES))
@pytest.mark.parametrize("run", [Run("timeout", None), Run("failed", "None"), Run("failed", {}),
                                 Run("canceled", None, exit_code=None)])
def test_a_run_without_a_result_is_told_with_its_id(name, run):
    words = said(name, run)
    assert run.status in words and "5f00" in words


def test_a_reconcile_that_ended_early_tells_its_error_and_one_with_failures_each_of_them():
    found = {"reason": "0 of 1 pairs were in step, 0 were repaired", "warnings": ["slow"],
             "done": [], "failures": [],
             "error": {"message": "StackFlow is away", "hint": "run it again later"}}
    assert said("reconcile", Run("failed", found)).splitlines() == [
        found["reason"], "Warning: slow", "StackFlow is away", "What to do: run it again later"]
    failure = {"incident_id": NUMBER, "message": "no entry", "hint": "add one"}
    assert said("reconcile", Run("failed", dict(found, failures=[failure]))).splitlines() == [
        found["reason"], NUMBER + ": no entry", "What to do: add one", "Warning: slow"]


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_an_answer_is_the_packs_own_words_and_no_dump(name):
    result = ALIASES[name]["result"]["format"]
    assert "What to do: {{ said.error.hint }}" in result
    assert "execution.result }}" not in result and "{{ said }}" not in result


def test_a_person_who_triggers_forces_and_a_dry_run_is_one():
    assert ALIASES["trigger"]["immutable_parameters"] == {"force": True}
    assert ALIASES["reconcile_dry_run"]["immutable_parameters"] == {"dry_run": True}
    assert "immutable_parameters" not in ALIASES["reconcile"]


def test_who_asks_in_chat_is_named_and_nobody_else_can_be():
    for name, parameter in (("ack", "by"), ("resolve", "by"), ("note", "author")):
        alias = ALIASES[name]
        command = next(iter(PHRASES[name]))
        _, given = chat.match(ALIASES, command)
        env = templates.environment(str)
        assert chat.parameters(env, alias, given, "{{ casey }}", {})[parameter] == "{{ casey }}"
        with pytest.raises(ValueError):
            chat.parameters(env, alias, dict(given, **{parameter: "boss"}), "casey", {})
    reasons = [chat.parameters(env, ALIASES["escalate"], {}, user, {})["reason"]
               for user in ("casey", "")]
    assert reasons == ["asked in chat by casey", "asked in chat"]
