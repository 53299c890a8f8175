"""--format pprof: the npm package pprof-format decodes it, and its sums are tidemark's."""
import collections
import gzip
import json
import shutil
import sqlite3
import subprocess

import make_trace
import pytest
import where

READ = """
const {Profile} = require(process.argv[1]);
const p = Profile.decode(require('fs').readFileSync(0));
const text = i => p.stringTable.strings[Number(i)];
console.log(JSON.stringify({
  types: p.sampleType.map(t => [text(t.type), text(t.unit)]),
  first: p.stringTable.strings[0], standard: text(p.defaultSampleType), time: String(p.timeNanos),
  functions: Object.fromEntries(p.function.map(f => [f.id, [text(f.name), text(f.filename)]])),
  locations: Object.fromEntries(p.location.map(l => [l.id, [Number(l.line[0].functionId),
                                                            Number(l.line[0].line)]])),
  samples: p.sample.map(s => ({values: s.value.map(Number), stack: s.locationId.map(Number),
    labels: Object.fromEntries(s.label.map(l => [text(l.key), text(l.str)]))}))}));
"""


@pytest.fixture
def profile(tidemark):
    package = where.need("readers") / "pprof-format"
    if not package.exists() or not shutil.which("node"):
        pytest.skip("no node to read it with")

    def export(file, *words):
        out = tidemark("export", "--format", "pprof", file, "-o", "-", *words, text=False).stdout
        done = subprocess.run(["node", "-e", READ, package], input=gzip.decompress(out),
                              capture_output=True, check=True)
        made = json.loads(done.stdout)
        assert made["first"] == "" and made["standard"] == "inuse_space"
        assert made["types"] == [["alloc_objects", "count"], ["alloc_space", "bytes"],
                                 ["inuse_objects", "count"], ["inuse_space", "bytes"]]
        for sample in made["samples"]:
            assert len(sample["values"]) == 4 and sample["stack"]
            assert all(str(made["locations"][str(i)][0]) in made["functions"] for i in sample["stack"])
        return made
    return export


def total(made, value, **labels):
    return sum(s["values"][value] for s in made["samples"]
               if all(s["labels"].get(k) == v for k, v in labels.items()))


@pytest.mark.parametrize("options", [{}, {"leak": 30003, "queue": 3}, {"devices": 2},
                                     {"before": 12345}], ids=str)
def test_sums_are_those_of_the_peak_and_of_the_run(trace, profile, answer, options):
    recording = make_trace.gpt(**options)
    file = trace(recording)
    made = profile(file)
    for device in answer("peak", file)["devices"]:
        name = device["device"]
        assert total(made, 3, device=name) == device["allocated_bytes"]
        for bucket in device["by_bucket"]:
            if bucket["blocks"]:
                assert total(made, 3, device=name, bucket=bucket["bucket"]) == bucket["bytes"]
                assert total(made, 2, device=name, bucket=bucket["bucket"]) == bucket["blocks"]
        mine = [a for a in recording.allocations if a.device == name]
        assert total(made, 0, device=name) == len(mine)
        assert total(made, 1, device=name) == sum(a.bytes for a in mine)


def test_stacks_are_innermost_first(trace, profile):
    made = profile(trace(make_trace.gpt()))
    stacks = {tuple(made["functions"][str(made["locations"][str(i)][0])][0] for i in s["stack"])
              for s in made["samples"]}
    assert ("GPT.__init__", "main") in stacks
    lines = {(made["functions"][str(f)][1], line) for f, line in made["locations"].values()}
    assert ("model.py", 31) in lines


def test_a_real_training(trained, profile):
    file, _, most, _ = trained()
    made = profile(file)
    assert total(made, 3) == most
    with sqlite3.connect(file) as db:
        assert total(made, 0) == db.execute("SELECT count(*) FROM allocation").fetchone()[0]
        by_phase = collections.Counter()
        for s in made["samples"]:
            by_phase[s["labels"]["phase"]] += s["values"][3]
        assert +by_phase == dict(db.execute(
            "SELECT phase, sum(bytes) FROM v_peak_live GROUP BY 1").fetchall())
        assert int(made["time"]) == db.execute("SELECT started_unix_ns FROM run").fetchone()[0]


def test_a_step_of_its_own(trace, profile, peaks):
    file = trace(make_trace.gpt())
    assert {"cuda:0": total(profile(file, "--step", 2), 3)} == peaks(file, "--step", 2)


def test_a_profile_longer_than_a_block_of_gzip(trace, profile, peaks):
    """What is stored comes in blocks of 65,535 bytes at most."""
    recording = make_trace.gpt()
    for i in range(3000):
        recording.alloc(512, "other", "temporary", op=f"op_{i}", stack=(f"file{i}.py:1 f{i}",))
    file = trace(recording, fold=False)
    assert {"cuda:0": total(profile(file), 3)} == peaks(file)
