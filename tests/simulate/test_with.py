"""`tidemark simulate --with`: a lever from outside takes the memory that it takes when it is
written into the program, to the byte; what it has nothing to hold on to is told."""
import pathlib
import sqlite3
import sys

import pytest

from conftest import TRAIN
from where import LIBRARIES, need

pytestmark = pytest.mark.turns(3)  # of the short form: tests/short.py

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
GPT = (PROGRAMS / "gpt.py").read_text()
OTHERS = (PROGRAMS / "others.py").read_text()
GPT_LEVERS = ["checkpointing=blocks", "checkpointing=Block", "checkpointing", "foreach_off",
              "fused_optimizer", "bf16_autocast", "no_grad_in_eval", "smaller_batch=2"]


def name(lever):
    return lever.partition("=")[0]


def without_verdict(done, lever, *texts):
    assert done.status == 2, done.err
    assert done.json["gpus"][0]["verdict"] is None
    told, = done.json["with"]
    assert (told["lever"], told["applied"]) == (lever, False)
    line, = [line for line in done.err.splitlines() if "not applied" in line]
    for text in texts:
        assert text in line and text in told["what"], line


@pytest.mark.parametrize("lever", GPT_LEVERS)
def test_a_gpt_has_the_peak_of_the_lever_by_hand(simulate, torch_dir, lever):
    # not all of them have anything to do in an evaluation that keeps its graphs
    words = ["2", "--loader"] + ["--eval"] * (name(lever) == "no_grad_in_eval")
    outside = simulate(torch_dir, ["--with", lever], GPT, *words)
    by_hand = simulate(torch_dir, [], GPT, *words, "--by-hand", name(lever))
    assert outside.status == by_hand.status == 0, outside.err
    assert "with" not in by_hand.json and outside.json["with"][0]["applied"]
    assert outside.gpu["peak_allocated_bytes"] == by_hand.gpu["peak_allocated_bytes"]


@pytest.mark.parametrize("lever", ["checkpointing", "bf16_autocast", "smaller_batch=2"])
def test_a_lever_takes_less_than_nothing_done(simulate, newest_torch, lever):
    plain = simulate(newest_torch, [], GPT, "1").gpu["peak_allocated_bytes"]
    gpu = simulate(newest_torch, ["--with", lever], GPT, "1").gpu
    assert gpu["peak_allocated_bytes"] < 0.95 * plain


@pytest.mark.parametrize("kind, options", [("cnn", []), ("ddp", ["--rank", "1", "--world", "4"]),
                                           ("trainer", []), ("lora", [])])
@pytest.mark.parametrize("lever", ["checkpointing", "smaller_batch=2", "foreach_off"])
def test_a_program_of_another_kind_has_it_too(simulate, newest_torch, kind, options, lever):
    path = f"{newest_torch}:{need('libraries')}"
    outside = simulate(path, [*options, "--with", lever], OTHERS, kind)
    by_hand = simulate(path, options, OTHERS, kind, name(lever))
    assert outside.status == by_hand.status == 0, outside.err
    assert outside.json["with"][0]["applied"]
    # without a loader the program has made the whole batch's tokens, which are small
    slack = 1 << 17 if (kind, lever) == ("lora", "smaller_batch=2") else 0
    assert 0 <= outside.gpu["peak_allocated_bytes"] - by_hand.gpu["peak_allocated_bytes"] <= slack


@pytest.mark.parametrize("kind, lever", [("trainer", "bf16_autocast"), ("lora", "8bit_optimizer"),
                                         ("lora", "flash_attention")])
def test_a_library_has_it_too(simulate, newest_torch, kind, lever):
    path = f"{newest_torch}:{need('libraries')}"
    outside = simulate(path, ["--with", lever], OTHERS, kind)
    by_hand = simulate(path, [], OTHERS, kind, lever)
    assert outside.status == by_hand.status == 0, outside.err
    assert outside.gpu["peak_allocated_bytes"] == by_hand.gpu["peak_allocated_bytes"]


def test_a_loss_in_parts_is_smaller_than_the_logits(simulate, newest_torch):
    if not (LIBRARIES / "liger_kernel").exists():
        pytest.skip("no liger-kernel among the libraries: run tests/setup.sh anew")
    path = f"{newest_torch}:{LIBRARIES}"
    done = simulate(path, ["--with", "chunked_loss"], OTHERS, "lora")
    plain = simulate(path, [], OTHERS, "lora").gpu["peak_allocated_bytes"]
    assert done.json["with"][0]["what"] == "liger-kernel in LlamaForCausalLM"
    logits = 8 * 256 * 8000 * 4
    assert plain - done.gpu["peak_allocated_bytes"] > logits


def test_a_model_that_refuses_a_lever_runs_on(simulate, newest_torch):
    source = '''
import torch
class Stubborn(torch.nn.Linear):
    supports_gradient_checkpointing = True
    def gradient_checkpointing_enable(self, **_):
        raise ValueError("not me")
model = Stubborn(64, 64).cuda()
model(torch.zeros(8, 64, device="cuda")).sum().backward()
print("trained")
'''
    done = simulate(newest_torch, ["--with", "checkpointing"], source)
    assert "trained" in done.out
    without_verdict(done, "checkpointing", "Stubborn refuses it: ValueError: not me")


def test_without_a_loader_labels_are_cut_like_the_batch(simulate, newest_torch):
    done = simulate(newest_torch, ["--with", "smaller_batch=2"], GPT, "2")
    assert done.status == 0, done.err
    assert done.json["with"][0]["what"] == "2 of 8 samples that GPT is given"


def test_several_levers_at_once(simulate, newest_torch):
    done = simulate(newest_torch, ["--with", "checkpointing=blocks,foreach_off"], GPT, "2")
    assert done.status == 0, done.err
    assert [(w["lever"], w["value"], w["applied"]) for w in done.json["with"]] == \
        [("checkpointing", "blocks", True), ("foreach_off", None, True)]
    assert "tidemark: with checkpointing: 6 modules of blocks (Block)" in done.err


def test_expandable_segments_are_in_the_trace(simulate, newest_torch, tmp_path):
    source = "import os\nos.environ['PYTORCH_CUDA_ALLOC_CONF'] = 'max_split_size_mb:64'\n" + GPT
    done = simulate(newest_torch, ["--with", "expandable_segments", "-o", tmp_path / "a.db"],
                    source, "2")
    assert done.status == 0 and done.json["with"][0]["applied"], done.err
    with sqlite3.connect(tmp_path / "a.db") as db:
        kinds = {kind for kind, in db.execute("SELECT kind FROM segment WHERE NOT host")}
    assert kinds == {"cuMemCreate"}


def test_a_name_that_no_module_has(simulate, newest_torch):
    done = simulate(newest_torch, ["--with", "checkpointing=layers"], GPT, "1")
    without_verdict(done, "checkpointing", "'layers'", "blocks ModuleList of 6 Block", "head Linear")
    assert "fits" not in done.err


@pytest.mark.parametrize("lever, text", [
    ("checkpointing", "no module with parameters ran"), ("foreach_off", "LBFGS has no 'foreach'"),
    ("fused_optimizer", "LBFGS has no 'fused'"), ("8bit_optimizer", "no 8-bit LBFGS"),
    ("no_grad_in_eval", "puts no model into eval mode"), ("smaller_batch=2", "nothing to hold on"),
])
def test_a_lever_with_nothing_to_hold_on_to(simulate, newest_torch, lever, text):
    done = simulate(newest_torch, ["--with", lever], OTHERS, "functional")
    without_verdict(done, name(lever), text)


@pytest.mark.parametrize("lever, flag", [("foreach_off", "foreach=False"),
                                         ("fused_optimizer", "fused=True")])
def test_an_optimizer_that_is_so_already(simulate, newest_torch, lever, flag):
    source = TRAIN.replace("fused=True", flag)
    done = simulate(newest_torch, ["--with", lever], source, "100")
    without_verdict(done, lever, f"AdamW has {flag}")


@pytest.mark.parametrize("name", ["teacher", "Teacher"])
def test_a_model_that_is_named_keeps_no_graph(simulate, newest_torch, name):
    source = '''
import torch
class Teacher(torch.nn.Linear):
    pass
teacher, student = Teacher(512, 512).cuda(), torch.nn.Linear(512, 512).cuda()
x = torch.zeros(8, 512, device="cuda")
(student(x) - teacher(x)).pow(2).mean().backward()
print(teacher.weight.grad is None, student.weight.grad is None)
'''
    done = simulate(newest_torch, ["--with", f"no_grad_in_eval={name}"], source)
    assert done.out.split() == ["True", "False"], done.err
    assert done.json["with"][0]["what"] == "Teacher"


def test_a_batch_that_is_small_already(simulate, newest_torch):
    done = simulate(newest_torch, ["--with", "smaller_batch=8"], GPT, "1", "--loader")
    without_verdict(done, "smaller_batch", "the data loader yields batches of 8")


def test_a_package_that_is_not_installed(simulate, newest_torch):
    done = simulate(newest_torch, ["--with", "8bit_optimizer"], GPT, "1")
    without_verdict(done, "8bit_optimizer", "'pip install bitsandbytes'")


def test_a_python_that_takes_no_folder(simulate, newest_torch, call, tmp_path):
    script = tmp_path / "isolated.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(newest_torch)!r})\n" + TRAIN)
    done = call("simulate", "--with", "foreach_off", "--", sys.executable, "-E", script, "100",
                env={"PYTHONPATH": str(newest_torch)})
    assert done.returncode == 2, done.stderr
    assert "PYTHONPATH (-I, -E)" in done.stderr


def test_the_programs_own_sitecustomize_runs(simulate, newest_torch, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nprint('my own', file=sys.stderr)\n")
    done = simulate(f"{folder}:{newest_torch}", ["--with", "foreach_off"], TRAIN, "100")
    assert done.err.count("my own") == 2 and "trained" in done.out


def test_a_loss_that_a_lever_must_not_take_along(simulate, newest_torch):
    """A model in eval mode through which a gradient goes to its input, and one that is trained in
    eval mode because nobody said train()."""
    source = """
import torch
from torch import nn
judge, model = nn.Linear(64, 64).cuda().eval(), nn.Linear(64, 64).cuda()
for _ in range(2):
    judge(model(torch.zeros(8, 64, device="cuda"))).sum().backward()
assert model.weight.grad is not None
"""
    done = simulate(newest_torch, ["--with", "no_grad_in_eval"], source)
    without_verdict(done, "no_grad_in_eval", "no model in eval mode ran with gradients on")


@pytest.mark.parametrize("wish, text", [
    ("checkpoint", "did you mean 'checkpointing'?"), ("magic", "'--with list' has all"),
    ("smaller_batch", "needs a number"), ("smaller_batch=0", "from 1 on, not '0'"),
    ("smaller_batch=half", "not 'half'"), ("foreach_off=1", "takes no value"),
    (",", "names no lever"),
])
def test_a_wish_that_cannot_be(call, wish, text):
    done = call("simulate", "--with", wish, "--", "true")
    assert done.returncode == 2 and text in done.stderr.replace("tidemark simulate ", ""), \
        done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_levers_are_listed(call):
    done = call("simulate", "--with", "list")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {
        "expandable_segments", "checkpointing[=NAME]", "smaller_batch=N", "chunked_loss"}
