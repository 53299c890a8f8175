"""--format perfetto: Perfetto's own descriptors decode it, and its counters are tidemark's."""
import collections
import sqlite3

import make_trace
import pytest
from conftest import reader


@pytest.fixture
def packets(tidemark):
    unknown = reader("google.protobuf.unknown_fields")
    pb2 = reader("perfetto.protos.perfetto.trace.perfetto_trace_pb2")

    def export(file, *words):
        out = tidemark("export", "--format", "perfetto", file, "-o", "-", *words, text=False).stdout
        trace = pb2.Trace()
        assert trace.ParseFromString(out) == len(out)
        for message in (trace, *trace.packet, *(p.track_event for p in trace.packet),
                        *(p.track_descriptor for p in trace.packet)):
            assert len(unknown.UnknownFieldSet(message)) == 0
        assert {p.trusted_packet_sequence_id for p in trace.packet} == {1}
        return trace.packet
    return export


def tracks(packets):
    found = {p.track_descriptor.uuid: p.track_descriptor for p in packets
             if p.HasField("track_descriptor")}
    assert all(t.parent_uuid in found for t in found.values() if t.parent_uuid)
    return found


def counters(packets):
    """{track's name: [(time, bytes)]}, each in order of time."""
    named, out = tracks(packets), collections.defaultdict(list)
    for p in packets:
        if p.HasField("track_event") and p.track_event.type == p.track_event.TYPE_COUNTER:
            track = named[p.track_event.track_uuid]
            assert track.counter.unit == track.counter.UNIT_SIZE_BYTES
            out[track.name].append((p.timestamp, p.track_event.counter_value))
    assert all(times == sorted(times) for times in ([t for t, _ in v] for v in out.values()))
    return out


def slices(packets, name):
    """(begin, end, what) of a track; each that begins ends before the next one."""
    named, out, open_ = tracks(packets), [], None
    for p in packets:
        e = p.track_event
        if not p.HasField("track_event") or named[e.track_uuid].name != name:
            continue
        if e.type == e.TYPE_SLICE_BEGIN:
            assert open_ is None
            open_ = p.timestamp, e.name
        else:
            assert e.type == e.TYPE_SLICE_END and open_[0] <= p.timestamp
            out.append((open_[0], p.timestamp, open_[1]))
            open_ = None
    assert open_ is None
    return out


@pytest.mark.parametrize("options", [{}, {"leak": 30003, "queue": 3}, {"devices": 2}], ids=str)
def test_counters_reach_the_peak_and_buckets_add_up(trace, packets, peaks, answer, options):
    file = trace(make_trace.gpt(**options))
    found = counters(packets(file))
    for device in answer("peak", file)["devices"]:
        name = device["device"]
        allocated = found[f"{name} allocated"]
        assert max(v for _, v in allocated) == device["allocated_bytes"]
        now = collections.Counter()
        steps = sorted((t, n, v) for n, values in found.items() if n.startswith(name)
                       and n.split()[1] not in ("allocated", "reserved") for t, v in values)
        sums = {}
        for time, bucket, value in steps:
            now[bucket] = value
            sums[time] = sum(now.values())
        assert sums == dict(allocated)


def test_steps_and_phases_are_slices(trace, packets):
    file = trace(make_trace.gpt(evals=2))
    found = packets(file)
    with sqlite3.connect(file) as db:
        steps = db.execute("SELECT start_ns, end_ns, 'step ' || id FROM step").fetchall()
    assert slices(found, "steps") == steps
    phases = slices(found, "phases")
    assert {"setup", "forward", "backward", "optimizer", "eval"} <= {name for _, _, name in phases}
    assert all(a[1] <= b[0] for a, b in zip(phases, phases[1:]))


def test_a_real_training_and_its_refusal(trained, packets):
    file, _, most, _ = trained("torch-2.11.0", "oom")
    found = packets(file)
    values = counters(found)
    assert max(v for _, v in values["cuda:0 allocated"]) == most
    with sqlite3.connect(file) as db:
        reserved = db.execute("SELECT max(reserved_bytes) FROM memory_sample").fetchone()[0]
    assert max(v for _, v in values["cuda:0 reserved"]) == reserved
    [refused] = [p.track_event for p in found if p.track_event.type == p.track_event.TYPE_INSTANT]
    assert {a.name: a.int_value for a in refused.debug_annotations}["requested_bytes"] == 1 << 40
    [process] = [t for t in tracks(found).values() if t.HasField("process")]
    assert "train.py" in process.process.process_name


def test_one_device_and_one_step(trace, packets, peaks):
    file = trace(make_trace.gpt(devices=2))
    found = counters(packets(file, "--device", "cuda:1", "--step", 2))
    assert {name.split()[0] for name in found} == {"cuda:1"}
    assert max(v for _, v in found["cuda:1 allocated"]) == peaks(file, "--step", 2)["cuda:1"]
