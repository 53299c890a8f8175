"""What grows inside one step, and one block that is made anew and larger each time: `leaks` and
`oom` say the same of it."""


def statement(line):
    with open(line["file"]) as file:
        return file.read().splitlines()[line["line"] - 1].strip()


def test_turns_of_a_loop_inside_one_step(sim, answer, tidemark):
    run = sim("turns.py", memory="1GiB")
    device, = answer("leaks", run.file)["devices"]
    within = device["within_step"]
    each = 2048 * 4096 * 4
    assert device["leaks"] and not device["growing"]
    assert within["step"] == 6 and within["bytes_per_turn"] == each
    assert within["kept_bytes"] == (within["turns"] - 1) * each
    assert within["full_in_turn"] == within["turns"]
    assert not within["graphs"]
    assert statement(within["line"]) == "predictions.append(net(batch))"
    event, = answer("oom", run.file)["events"]
    lever = event["levers"][0]
    assert (lever["id"], lever["mark"]) == ("stop_leak", "fits")
    assert statement(lever) == "predictions.append(net(batch))"
    assert "inside step 6 a loop keeps 32.00 MiB more with each turn" in tidemark("leaks", run.file).stdout


def test_a_block_that_is_made_anew_and_larger(sim, answer, tidemark):
    run = sim("larger.py", memory="1500MiB")
    device, = answer("leaks", run.file)["devices"]
    swelling = device["swelling_block"]
    assert device["leaks"] and swelling["grows_by_bytes"] == 4096 * 1024 * 4
    assert statement(swelling["line"]).startswith("bank = torch.cat")
    event, = answer("oom", run.file)["events"]
    lever = event["levers"][0]
    assert (lever["id"], lever["mark"]) == ("stop_leak", "fits")
    assert statement(lever) == statement(swelling["line"])
    assert not any(lever["enough"] for lever in event["levers"][1:])
    assert "each time larger by 16.00 MiB" in tidemark("leaks", run.file).stdout


def test_a_loop_that_keeps_nothing_is_no_leak(sim, answer):
    run = sim("fits.py", 8, memory="4GiB")
    device, = answer("leaks", run.file)["devices"]
    assert device["within_step"] is None and device["swelling_block"] is None
