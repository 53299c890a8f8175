"""runs.py - the list of workloads, and how one of them is run and watched."""
import json
import os
import pathlib
import re
import subprocess

import answer

from where import BUILD, CACHE, COMMAND, LIBRARIES, LIBRARY, PYTHON  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent
TORCH = os.environ.get("TIDEMARK_TEST_TORCH", CACHE / "torch-2.11.0")

RANKS = ("--rank", "0", "--world", "4")

#: name -> (words for workloads.py, library that it needs or None, words for simulate)
WORKLOADS = {
    "MLP, AdamW foreach": ("model=mlp", None),
    "MLP, SGD momentum, gradients kept": ("model=mlp optimizer=momentum keep", None),
    "MLP, AdamW loop, frozen layer": ("model=mlp optimizer=loop frozen=2", None),
    "GPT, AdamW foreach": ("model=gpt", None),
    "GPT, AdamW fused, bf16 autocast, tied": ("model=gpt tied optimizer=fused precision=bf16",
                                             None),
    "GPT, fp16 + GradScaler, clipping": ("model=gpt precision=fp16 clip", None),
    "GPT, pure bf16, SGD": ("model=gpt precision=pure-bf16 optimizer=sgd", None),
    "GPT, checkpoints, 3 micro-batches": ("model=gpt ckpt=plain micro=3", None),
    "GPT, zero_grad first, evaluations, averaged weights": (
        "model=gpt zero=first evaluate average=0", None),
    "GPT, weights averaged from the third step on": ("model=gpt average=2", None),
    "GPT, torch.compile aot_eager": ("model=gpt wrap=compile backend=aot_eager", None),
    "GPT, torch.compile inductor": ("model=gpt wrap=compile backend=inductor", "triton"),
    "GPT, DDP": ("model=gpt wrap=ddp", None, RANKS),
    "GPT, DDP, gradients as bucket views": ("model=gpt wrap=ddp view", None, RANKS),
    "GPT, FSDP1": ("model=gpt wrap=fsdp1", None, RANKS),
    "GPT, FSDP2, mixed precision": ("model=gpt wrap=fsdp2 mixed", None, RANKS),
    "GPT-2, AdamW foreach": ("model=gpt2", "transformers"),
    "GPT-2, bf16 autocast": ("model=gpt2 precision=bf16", "transformers"),
    "GPT-2, fp16 + GradScaler": ("model=gpt2 precision=fp16", "transformers"),
    "GPT-2, pure bf16": ("model=gpt2 precision=pure-bf16", "transformers"),
    "GPT-2, SGD momentum": ("model=gpt2 optimizer=momentum", "transformers"),
    "GPT-2, Adafactor": ("model=gpt2 optimizer=adafactor", "transformers"),
    "GPT-2, Muon + AdamW": ("model=gpt2 optimizer=muon", "transformers"),
    "GPT-2, reentrant checkpoints": ("model=gpt2 ckpt=reentrant", "transformers"),
    "GPT-2, non-reentrant checkpoints": ("model=gpt2 ckpt=nonreentrant", "transformers"),
    "Llama, AdamW foreach": ("model=llama", "transformers"),
    "Llama, AdamW fused, bf16 autocast": ("model=llama optimizer=fused precision=bf16",
                                         "transformers"),
    "Llama, fp16 + GradScaler": ("model=llama precision=fp16", "transformers"),
    "Llama, pure bf16": ("model=llama precision=pure-bf16", "transformers"),
    "Llama, AdamW capturable": ("model=llama optimizer=capturable", "transformers"),
    "Llama, 3 micro-batches, clipping": ("model=llama micro=3 clip", "transformers"),
    "ResNet-50, SGD momentum": ("model=resnet50 optimizer=momentum", "torchvision"),
    "Llama, LoRA (PEFT)": ("model=lora", "peft"),
    "Llama, 4-bit QLoRA (bitsandbytes)": ("model=qlora precision=bf16", "bitsandbytes"),
    "GPT-2, 8-bit AdamW (bitsandbytes)": ("model=gpt2 optimizer=adam8bit", "bitsandbytes"),
    "Llama, HF Trainer": ("model=llama with=trainer", "accelerate"),
    "GPT-2, Accelerate, bf16": ("model=gpt2 with=accelerate mixed=bf16", "accelerate"),
    "GPT-2, Lightning": ("model=gpt2 with=lightning", "lightning"),
    "GPT-2, DDP": ("model=gpt2 wrap=ddp", "transformers", RANKS),
    "GPT-2, DDP, gradients as bucket views": ("model=gpt2 wrap=ddp view", "transformers",
                                              RANKS),
    "Llama, FSDP1": ("model=llama wrap=fsdp1", "transformers", RANKS),
    "Llama, FSDP1, original parameters, mixed precision": (
        "model=llama wrap=fsdp1 orig mixed", "transformers", RANKS),
    "Llama, FSDP2": ("model=llama wrap=fsdp2", "transformers", RANKS),
    "Llama, FSDP2, mixed precision": ("model=llama wrap=fsdp2 mixed", "transformers", RANKS),
}


class Missing(Exception):
    """Something that the run needs is not on this machine."""


def library_path(name):
    if name and not (LIBRARIES / name).exists():
        why = CACHE / "libraries.why"
        raise Missing(why.read_text().strip() if why.exists()
                      else f"no {name}: run tests/setup.sh")
    return str(LIBRARIES)


def needed(device, library=None):
    if not LIBRARY.exists():
        raise Missing("the library is not built")
    if not PYTHON.exists():
        raise Missing("no venv: run tests/setup.sh")
    if device == "cuda" and not (pathlib.Path(TORCH) / "torch").exists():
        raise Missing("no torch-2.11.0: run tests/setup.sh")
    library_path(library)


def environment(folder, device, mode, **more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("TIDEMARK_", "PYTORCH_", "ACCURACY_"))}
    env.pop("LD_PRELOAD", None)
    paths = [str(TORCH)] if device == "cuda" else []
    return {**env, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": ":".join([*paths, str(LIBRARIES)]), "ACCURACY_MODE": mode,
            "ACCURACY_TRUTH": str(folder / "truth.json"), "TMPDIR": str(folder),
            "TORCHINDUCTOR_COMPILE_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def reason(stderr):
    """Python's own last word, which is not always the last line."""
    lines = [re.sub(r"^\[rank\d+\]: ", "", line) for line in stderr.splitlines()
             if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return (errors or lines or ["it said nothing"])[-1]


def run(name, folder, device="cuda", mode="truth", words=(), **env):
    """(truth, path of the trace) of one run of a workload, made in `folder`."""
    options, library, *ranks = WORKLOADS[name]
    needed(device, library)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "t.db"
    script = [str(PYTHON), str(HERE / "workloads.py"), *options.split(), *words]
    if device == "cuda":
        front = [str(COMMAND), "simulate", "--gpu", "a100-80gb",
                 *(ranks[0] if ranks else ()), "-o", str(trace), "--"]
    else:
        front = [str(COMMAND), "run", "--cpu", "-o", str(trace), "--"]
    done = subprocess.run([*front, *script], env=environment(folder, device, mode, **env),
                          cwd=folder, text=True, capture_output=True, timeout=600)
    truth = folder / "truth.json"
    if not truth.exists():
        raise RuntimeError(reason(done.stderr))
    return json.loads(truth.read_text()), trace


def reconciled(trace):
    """What `tidemark reconcile` says of the device."""
    done = subprocess.run([COMMAND, "reconcile", trace, "--json",
                           "--device", "cuda:0"], text=True, capture_output=True, timeout=60)
    if done.returncode:
        raise RuntimeError(reason(done.stderr))
    return json.loads(done.stdout)["devices"][0]


def compared(name, folder, **options):
    truth, trace = run(name, folder, **options)
    return answer.compare(trace, truth)
