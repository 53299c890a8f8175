"""Questions that make no sense: one clear sentence and status 2."""
import pytest


def refused(done, part):
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1
    assert not done.stderr.endswith(".\n")
    assert part in done.stderr, done.stderr


@pytest.mark.parametrize("options, part", [
    ("", "name a model"),
    ("--batch 4", "name a model"),
    ("--model gpt-2", "the nearest are gpt2"),
    ("--model lama-3-8b", "llama-3-8b"),
    ("--model llama3", "llama-3"),
    ("--model zzzzzzzz", "there is no model 'zzzzzzzz'"),
    ("--model gpt2 --params 7B", "both name a model"),
    ("--params 7B --config c.json", "both name a model"),
    ("gpt2", "takes options alone"),
    ("--params 0", "at least 1"),
    ("--params -7", "takes a number"),
    ("--params seven", "takes a number such as"),
    ("--params 1.5", "whole number"),
    ("--params 1e30", "too large"),
    ("--params 9e18", "these sizes are too large"),
    ("--params 7B --batch 0", "'--batch' must be at least 1"),
    ("--params 7B --activation-bytes 9e18 --batch 9e9", "too large"),
    ("--model gpt2 --batch 9e18", "too large"),
    ("--layers 9e18 --hidden 64", "can't have layers"),
    ("--layers 12", "needs '--layers' and '--hidden'"),
    ("--layers 12 --hidden 768 --heads 7", "7 heads don't divide the hidden size, 768"),
    ("--layers 12 --hidden 768 --heads 12 --kv-heads 24", "more than 12 heads"),
    ("--layers 12 --hidden 768 --heads 12 --kv-heads 5", "evenly"),
    ("--model gpt2 --optimizer adamx", "did you mean 'adam'?"),
    ("--model gpt2 --optimizer unicorns", "is one of sgd, sgd-momentum"),
    ("--model gpt2 --precision bf61", "did you mean 'bf16'?"),
    ("--model gpt2 --param-dtype none", "can't be 'none'"),
    ("--model gpt2 --grad-dtype nf4", "can't be 'nf4'"),
    ("--model gpt2 --state-dtype nf4", "can't be 'nf4'"),
    ("--model gpt2 --param-dtype nf4", "can't be trained"),
    ("--model gpt2 --param-dtype int8", "can't be trained"),
    ("--model gpt2 --double-quant", "needs '--param-dtype nf4'"),
    ("--model gpt2 --optimizer adam8bit --state-dtype fp32", "int8, not in fp32"),
    ("--params 7B --optimizer adafactor", "depends on the shapes"),
    ("--model gpt2 --inference --optimizer adam", "contradict"),
    ("--model gpt2 --inference --checkpoint full", "contradict"),
    ("--model gpt2 --inference --lora-rank 8", "contradict"),
    ("--model gpt2 --inference --zero 2 --world 4", "contradict"),
    ("--model gpt2 --inference --offload optimizer", "contradict"),
    ("--model gpt2 --zero 2", "needs '--world'"),
    ("--model gpt2 --optimizer lion --optimizer-impl fused", "has one way of its own"),
    ("--model gpt2 --optimizer-impl quick", "is one of foreach, fused, for-loop"),
    ("--model gpt2 --accumulate 0", "at least 1"),
    ("--model gpt2 --inference --clip", "contradict"),
    ("--model gpt2 --world 4", "needs '--zero': 0 is DDP"),
    ("--model gpt2 --zero 4 --world 4", "is one of 0, 1, 2, 3"),
    ("--model gpt2 --zero 3 --world 0", "at least 1"),
    ("--params 7B --lora-rank 8", "needs the shape"),
    ("--model gpt2 --lora-rank 0", "at least 1"),
    ("--model gpt2 --lora-rank 9999", "more than the hidden size"),
    ("--model gpt2 --lora-targets q", "needs '--lora-rank'"),
    ("--model gpt2 --lora-rank 8 --lora-targets query", "not 'query'"),
    ("--model gpt2 --lora-rank 8 --lora-params 5M", "contradict"),
    ("--model gpt2 --lora-rank 8 --grad-dtype bf16", "use '--lora-dtype'"),
    ("--model gpt2 --lora-dtype bf16", "needs '--lora-rank'"),
    ("--params 7B --checkpoint full", "needs the shape"),
    ("--params 7B --seq 512", "counts only where"),
    ("--model gpt2 --seq 4096", "1024 positions, fewer than"),
    ("--model gpt2 --activation-bytes 1GB --activation-formula notes", "contradict"),
    ("--model gpt2 --checkpoint full --activation-formula rough", "knows no checkpoints"),
    ("--model gpt2 --gpu h1000", "did you mean 'h100"),
    ("--model gpt2 --gpu 24", "too small to be one"),
    ("--model gpt2 --gpu ,", "names no card"),
    ("--model gpt2 --overhead 0.5", "factor from 1 to 100"),
    ("--model gpt2 --overhead much", "takes a number"),
    ("--model gpt2 --context big", "takes a number such as"),
    ("--model gpt2 --btach 4", "did you mean '--batch'?"),
    ("--config missing.json", "cannot read 'missing.json'"),
])
def test_refused(plan, options, part):
    refused(plan(*options.split()), part)


def test_a_trace_that_is_none_is_status_3_as_everywhere(plan, tmp_path):
    (tmp_path / "a.db").write_text("no trace")
    done = plan("--trace", "a.db")
    assert done.returncode == 3 and "not a tidemark trace" in done.stderr
