"""The benchmarks run; what they measure is not judged here."""

import json

import pytest
from dev.bench.__main__ import GROUPS, run
from dev.bench.measure import Scale

TINY = Scale(rounds=1, deliveries=8, paced=4, pairs=40)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_measures_prints_and_writes(group, tmp_path, capsys):
    found = run([group], TINY, str(tmp_path))
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [one["name"] for one in written["measures"]] == [one.name for one in found] != []
    assert written["cores"] and written["python"]
    printed = capsys.readouterr().out
    for one in found:
        assert one.name in printed and len(one.values) == 1 and one.values[0] > 0
    assert "<svg" in (tmp_path / "bench.svg").read_text()
