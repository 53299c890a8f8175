"""The answer as people read it: it fits the screen and says what it stands on."""
import re

import pytest

QUESTIONS = ["--params 7B", "--model llama-3.2-1b --precision bf16 --batch 4 --seq 2048",
             "--model gpt3-175b --zero 3 --world 64 --offload params --checkpoint sqrt "
             "--attention math --seq 2048",
             "--model llama-2-7b --param-dtype nf4 --double-quant --lora-rank 16 --gpu 24GB",
             "--model gpt2 --inference --precision fp16", "--layers 12 --hidden 768"]


def visible(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_eighty_columns_and_no_trailing_blanks(plan, question, locale):
    for explain in ([], ["--explain"]):
        done = plan(*question.split(), *explain, "--color", "always", env={"LC_ALL": locale})
        assert done.returncode == 0, done.stderr
        for line in visible(done.stdout).splitlines():
            assert len(line) <= 80, line
            assert line == line.rstrip(), repr(line)


def test_an_ascii_screen_gets_ascii(plan):
    done = plan(*QUESTIONS[1].split(), "--explain", env={"LC_ALL": "C"})
    assert done.stdout.isascii()


def test_the_four_buckets_total_and_cards(plan):
    out = plan(QUESTIONS[1]).stdout
    for word in ("parameters", "gradients", "optimizer", "activations", "total",
                 "batch up to", "a100-80gb", "too small: ", "the CUDA context takes"):
        assert word in out


def test_what_is_not_counted_is_said(plan):
    out = plan("--params 7B").stdout
    assert "activations are not counted" in out and "shape of the model is not known" in " ".join(out.split())


def test_explain_shows_numbers_and_source(plan):
    out = plan("--params 7B --explain").stdout
    assert "4 B x 7,000,000,000" in out and "torch.optim.AdamW" in out


def test_host_memory_is_shown_beside(plan):
    out = plan("--params 13B --offload optimizer").stdout
    assert "beside it, in host memory" in out


def test_quiet_leaves_the_answer_alone(plan):
    out = plan(*QUESTIONS[0].split(), "--quiet").stdout
    assert "next" not in out and "total" in out
