"""The worked examples of the notes on memory, each a command line of `tidemark plan`.

An example is its number, the note it stands in, what it is about, the note's own figure,
and a list of questions: (options, key of the answer, exact value). A key is one of the
answer's own, "term:NAME" for the bytes of a term, or "fits:KEY" of the first card.
`slip` says why the note's figure is not the value, where it isn't.

    python3 examples.py --markdown      the section of docs/formula.md, made from the command
    python3 examples.py                 checks all of them
"""
import argparse
import json
import os
import subprocess
import sys

COMMAND = os.environ.get("TIDEMARK_COMMAND", "tidemark")
GB = 10**9

BERT = ("--params 110M --layers 12 --hidden 768 --heads 12 --vocab 30522 --batch 8 --seq 512 "
        "--precision fp16 --state-dtype fp32 --optimizer adam --activation-formula rough")
MIXED = "--param-dtype fp16 --grad-dtype fp16 --master-dtype fp32 --state-dtype fp32"
BAG = "--params 500M --precision fp32 --optimizer adam --activation-bytes 6GB"
GPT3 = "--model gpt3-175b --seq 2048 --precision fp16 --activation-formula notes"
SQRT = ("--layers 24 --hidden 1024 --heads 16 --vocab 50257 --batch 4 --seq 1024 "
        "--precision fp16 --attention math --activation-formula notes")
LLAMA = ("--params 7B --layers 32 --hidden 4096 --ffn 11008 --heads 32 --vocab 32000 "
         f"--batch 4 --seq 2048 {MIXED} --optimizer adam --activation-formula notes")


def example(number, note, about, said, questions, slip=""):
    return {"number": number, "note": note, "about": about, "said": said,
            "questions": questions, "slip": slip}


def sizes():
    models = [("110M", 110e6), ("340M", 340e6), ("1.5B", 1.5e9), ("7B", 7e9), ("70B", 70e9),
              ("175B", 175e9)]
    return [(f"--params {name} --precision {precision}", "parameter_bytes", int(n * width))
            for name, n in models for precision, width in (("fp32", 4), ("fp16", 2))]


EXAMPLES = [
    example(1, "000", "BERT-base, 110 M, FP16 parameters and gradients", "0.22 and 0.22 GB", [
        (BERT, "parameter_bytes", 220_000_000), (BERT, "gradient_bytes", 220_000_000)]),
    example(2, "000", "Adam, two FP32 moments", "0.88 GB", [
        (BERT, "optimizer_bytes", 880_000_000)]),
    example(3, "000", "activations B8 S512 D768 L12 at 2 bytes, times 3", "75 MB, 0.22 GB", [
        (BERT, "term:forward activations", 75_497_472),
        (BERT, "activation_bytes", 226_492_416)],
        "rounded down before it was multiplied: 75.5 and 226.5 MB"),
    example(4, "000", "total, and twice that for the framework", "1.54 and 3.1 GB", [
        (BERT, "total_bytes", 1_546_492_416),
        (BERT + " --overhead 2", "total_bytes", 3_092_984_832)]),
    example(5, "000", "batch 32", "2.2 and 4.4 GB", [
        (BERT.replace("--batch 8", "--batch 32"), "activation_bytes", 905_969_664),
        (BERT.replace("--batch 8", "--batch 32"), "total_bytes", 2_225_969_664),
        (BERT.replace("--batch 8", "--batch 32") + " --overhead 2", "total_bytes",
         4_451_939_328)],
        "four times the rounded 0.22; it is four times 226.5 MB"),
    example(6, "000", "FP32, where the moments are FP32 already",
            "0.44 + 0.44 + 0.88 + 0.44 = 2.2 GB", [
                (BERT.replace("fp16", "fp32"), "parameter_bytes", 440_000_000),
                (BERT.replace("fp16", "fp32"), "gradient_bytes", 440_000_000),
                (BERT.replace("fp16", "fp32"), "optimizer_bytes", 880_000_000),
                (BERT.replace("fp16", "fp32"), "activation_bytes", 452_984_832),
                (BERT.replace("fp16", "fp32"), "total_bytes", 2_212_984_832)]),
    example(7, "000", "LLaMA-7B in FP16 on 24 GB", "14 + 14 + 28 + 20 > 70 GB, out of memory", [
        ("--params 7B --precision fp16 --state-dtype fp32 --optimizer adam "
         "--activation-bytes 20GB --gpu 24GB", "optimizer_bytes", 56 * GB),
        ("--params 7B --precision fp16 --state-dtype fp32 --optimizer adam "
         "--activation-bytes 20GB --gpu 24GB", "total_bytes", 104 * GB),
        ("--params 7B --precision fp16 --state-dtype fp32 --optimizer adam "
         "--activation-bytes 20GB --gpu 24GB", "fits:fits", False),
        ("--params 7B --precision fp16 --optimizer adam --activation-bytes 20GB",
         "optimizer_bytes", 28 * GB)],
        "28 GB takes the moments at 2 bytes, as pure FP16 keeps them, while the same note "
        "keeps BERT's in FP32; with FP32 moments it is 56 GB and 104 GB in all"),
    example(8, "000", "the bag of 2 + 2 + 4 + 6 = 14, shared by 4", "11, 9.5 and 8", [
        (BAG, "total_bytes", 14 * GB),
        (BAG + " --zero 1 --world 4", "total_bytes", 11 * GB),
        (BAG + " --zero 2 --world 4", "total_bytes", 9_500_000_000),
        (BAG + " --zero 3 --world 4", "total_bytes", 8 * GB)]),
    example(9, "000", "half precision of the bag; twice the batch", "7; activations 6, then 12", [
        ("--params 500M --precision fp32 --optimizer adam --activation-elements 1.5e9",
         "total_bytes", 14 * GB),
        ("--params 500M --precision fp16 --optimizer adam --activation-elements 1.5e9",
         "total_bytes", 7 * GB),
        (BAG + " --batch 2", "activation_bytes", 12 * GB)]),
    example(10, "001", "parameters of BERT-base, BERT-large, GPT-2, LLaMA 7 B and 70 B, GPT-3",
            "0.44/0.22, 1.36/0.68, 6/3, 28/14, 280/140, 700/350 GB", sizes()),
    example(11, "001", "GPT-3's embedding, 50,257 x 12,288", "617 M", [
        ("--model gpt3-175b --precision fp16", "term:embedding", 2 * 617_558_016)],
        "617.6 M elements, printed as bytes: two for each"),
    example(12, "001", "parameters = V D + L 12 D^2 + V D", "formula", [
        ("--layers 96 --hidden 12288 --heads 96 --vocab 50257", "parameters",
         2 * 50257 * 12288 + 96 * 12 * 12288**2),
        ("--layers 96 --hidden 12288 --heads 96 --vocab 50257 --tied", "parameters",
         50257 * 12288 + 96 * 12 * 12288**2),
        ("--model gpt3-175b", "parameters", 174_604_259_328)],
        "a named model adds its positions, biases and norms, and ties its head if it does"),
    example(13, "001", "Adam, mixed precision: 2+2+4+4+4", "16 B a parameter; 7 B in 112 GB", [
        (f"--params 1 {MIXED} --optimizer adam", "total_bytes", 16),
        (f"--params 7B {MIXED} --optimizer adam", "total_bytes", 112 * GB)]),
    example(14, "001", "SGD with momentum, mixed: 2+2+4+4", "12 B a parameter", [
        (f"--params 1 {MIXED} --optimizer sgd-momentum", "total_bytes", 12)]),
    example(15, "001", "8-bit optimizer: 2+2+4+1+1", "10 B a parameter, 37 % saved", [
        (f"--params 7B {MIXED.replace('--state-dtype fp32', '')}--optimizer adam8bit",
         "term:8-bit optimizer states", 14 * GB),
        (f"--params 7B {MIXED.replace('--state-dtype fp32', '')}--optimizer adam8bit",
         "total_bytes", 70 * GB + 218_750_000)],
        "(16 - 10) / 16 is 37.5 %; and every block of 256 has an FP32 scale for each state, "
        "0.03 B a parameter that the note leaves out"),
    example(16, "001", "FP32 Adam: 4+4+4+4", "7 B in 112 GB", [
        ("--params 7B --precision fp32 --optimizer adam", "total_bytes", 112 * GB)]),
    example(17, "001", "activations of a layer, 8 B S D + B H S^2", "201 MB + 805 MB for GPT-3", [
        (GPT3 + " --layers 1 --attention math", "term:layers, 8 B S D", 402_653_184),
        (GPT3 + " --layers 1 --attention math", "term:attention, B H S^2", 805_306_368)],
        "the note counts elements and says bytes; it takes the first term at 1 byte and the "
        "second at 2. Both at 2 bytes: 402.7 + 805.3 MB = 1.208 GB"),
    example(18, "001", "the whole model, B S (D + 8 L D + V) + L B H S^2", "formula", [
        ("--layers 12 --hidden 768 --heads 12 --vocab 50257 --batch 8 --seq 1024 --precision "
         "fp16 --attention math --activation-formula notes", "activation_bytes",
         2 * (8 * 1024 * (768 + 8 * 12 * 768 + 50257) + 12 * 8 * 12 * 1024**2))],
        "elements again: times the bytes of one"),
    example(19, "001", "GPT-3, 96 layers, batch 1 and 8", "96 and 768 GB", [
        (GPT3 + " --attention math", "term:layers, 8 B S D", 96 * 402_653_184),
        (GPT3 + " --attention math", "term:attention, B H S^2", 96 * 805_306_368),
        (GPT3 + " --attention math", "activation_bytes",
         96 * 1_207_959_552 + 2 * 2048 * (12288 + 50257)),
        (GPT3 + " --attention math --batch 8", "activation_bytes",
         8 * (96 * 1_207_959_552 + 2 * 2048 * (12288 + 50257)))],
        "follows from the slip of example 17: the layers are 116 GB and 928 GB, and embedding "
        "and logits come on top"),
    example(20, "001", "checkpoints, the root of 24 layers", "5 checkpoints, about 5 x less", [
        (SQRT, "term:layers, 8 B S D", 24 * 2 * 8 * 4 * 1024 * 1024),
        (SQRT + " --checkpoint sqrt", "term:checkpoints", 5 * 2 * 4 * 1024 * 1024),
        (SQRT + " --checkpoint sqrt", "term:layers, 8 B S D", 5 * 2 * 8 * 4 * 1024 * 1024),
        (SQRT + " --checkpoint sqrt", "term:attention, B H S^2", 5 * 2 * 4 * 16 * 1024**2)],
        "five inputs are kept and five layers at a time recomputed: 24 / 5 = 4.8 x less"),
    example(21, "001", "flash attention saves B H S^2 a layer; B8 H96 S2048", "3.2 GB", [
        (GPT3 + " --layers 1 --batch 8 --attention math", "term:attention, B H S^2",
         6_442_450_944),
        (GPT3 + " --layers 1 --batch 8 --attention flash", "term:attention, B H S^2", 0)],
        "3.22 G elements: 6.44 GB at 2 bytes"),
    example(22, "001", "LLaMA-7B, Adam mixed, B4 S2048", "112 + 16 = 128 GB; 2 A100 80 with FSDP", [
        (LLAMA, "optimizer_bytes", 84 * GB),
        (LLAMA, "term:layers, 8 B S D", 32 * 536_870_912),
        (LLAMA, "total_bytes", 112 * GB + 32 * 536_870_912 + 2 * 8192 * (4096 + 32000)),
        (LLAMA + " --zero 3 --world 2 --gpu a100-80gb", "fits:fits", True)],
        "the note's 500 MB a layer are 8 B S D at 2 bytes, 537 MB, with flash attention; 17.2 GB "
        "in all, and 0.6 GB of embedding and logits beside them"),
    example(23, "001", "LLaMA-70B", "about 1.1 TB; 1.2 TB with activations; 16 A100 80", [
        (f"--params 70B {MIXED} --optimizer adam", "total_bytes", 1120 * GB),
        (f"--params 70B {MIXED} --optimizer adam --activation-bytes 100GB", "total_bytes",
         1220 * GB),
        (f"--params 70B {MIXED} --optimizer adam --activation-bytes 6.25GB --zero 3 "
         "--world 16 --gpu a100-80gb", "fits:fits", True)],
        "the 100 GB are taken as they are given, a sixteenth of them on each device"),
    example(24, "001", "largest batch = (available - model) / activations of a sample",
            "formula", [
                (f"--params 1B {MIXED} --optimizer adam --activation-bytes 1GB --gpu 24GB "
                 "--context 0", "fits:max_batch", 8),
                (f"--params 1B {MIXED} --optimizer adam --activation-bytes 1GB --gpu 24GB "
                 "--context 0.5GB", "fits:max_batch", 7)]),
    example(25, "001", "inference: weights + B S D (L + overhead), quantised weights",
            "2 M; M/2 and M/4", [
                ("--params 7B --param-dtype fp16 --inference", "parameter_bytes", 14 * GB),
                ("--params 7B --param-dtype int8 --inference", "parameter_bytes", 7 * GB),
                ("--params 7B --param-dtype nf4 --inference", "term:parameters", 3_500_000_000),
                ("--model llama-7b --precision fp16 --inference --batch 4 --seq 2048 "
                 "--activation-formula notes", "term:activations", 4 * 2048 * 4096 * 32 * 2),
                ("--model llama-7b --precision fp16 --inference --batch 4 --seq 2048 "
                 "--activation-formula notes", "term:KV cache",
                 2 * 32 * 4 * 2048 * 32 * 128 * 2)],
            "in 2 M the note takes M for the number of parameters, in M/2 and M/4 for the bytes "
            "at FP16; with M parameters 8 bits are M bytes and 4 bits M/2. The KV cache has a "
            "line in its table but no formula: 2 L B S H_kv d_head x bytes. Its overhead is "
            "taken as none"),
    example(26, "002", "1 B in FP32: 4+4+8+1", "17 GB", [
        ("--params 1B --precision fp32 --optimizer adam --activation-bytes 1GB", "total_bytes",
         17 * GB)]),
    example(27, "003", "1 B mixed, Adam: 2+2+12", "16 GB", [
        (f"--params 1B {MIXED} --optimizer adam", "optimizer_bytes", 12 * GB),
        (f"--params 1B {MIXED} --optimizer adam", "total_bytes", 16 * GB)]),
    example(28, "003", "ZeRO-1, 2 and 3", "4 x, 8 x and N x", [
        (f"--params 1B {MIXED} --optimizer adam --zero 1 --world 1000000", "total_bytes",
         4 * GB + 12_000),
        (f"--params 1B {MIXED} --optimizer adam --zero 2 --world 1000000", "total_bytes",
         2 * GB + 14_000),
        (f"--params 1B {MIXED} --optimizer adam --zero 3 --world 64", "total_bytes",
         250_000_000)],
        "4 x and 8 x are limits for many devices: with 64 it is 16 / 4.19 = 3.8 and "
        "16 / 2.22 = 7.2"),
    example(29, "003", "8-bit Adam: 8, then 2 B a parameter", "saves 6 GB at 1 B", [
        ("--params 1B --optimizer adam", "optimizer_bytes", 8 * GB),
        ("--params 1B --optimizer adam8bit", "term:8-bit optimizer states", 2 * GB),
        ("--params 1B --optimizer adam8bit", "term:scales of the 8-bit states", 31_250_000)],
        "less 31 MB for the scales of the blocks"),
    example(30, "003", "ZeRO-Offload: the optimizer in host memory", "13 B on one GPU", [
        (f"--params 13B {MIXED} --optimizer adam --offload optimizer", "total_bytes", 52 * GB),
        (f"--params 13B {MIXED} --optimizer adam --offload optimizer", "host_bytes", 156 * GB),
        (f"--params 13B {MIXED.replace('--grad-dtype fp16', '--grad-dtype none')} "
         "--optimizer adam --offload optimizer --gpu v100-32gb", "total_bytes", 26 * GB),
        (f"--params 13B {MIXED.replace('--grad-dtype fp16', '--grad-dtype none')} "
         "--optimizer adam --offload optimizer --gpu v100-32gb", "fits:fits", True)],
        "2 + 2 B a parameter stay on the device; to train 13 B on 32 GB the gradients are sent "
        "away as they are made, which leaves 2 (Ren et al. 2021)"),
    example(31, "004", "1 B in bf16, full fine-tuning: 2+2+8", "12 GB", [
        ("--params 1B --precision bf16 --state-dtype fp32 --optimizer adamw", "total_bytes",
         12 * GB)]),
    example(32, "004", "LoRA trains the adapter alone; QLoRA has a 4-bit base", "2 GB, then 0.5", [
        ("--params 1B --param-dtype bf16 --lora-params 10M", "term:parameters", 2 * GB),
        ("--params 1B --param-dtype bf16 --lora-params 10M", "gradient_bytes", 40_000_000),
        ("--params 1B --param-dtype bf16 --lora-params 10M", "optimizer_bytes", 80_000_000),
        ("--params 1B --param-dtype nf4 --lora-params 10M", "term:parameters", 500_000_000),
        ("--params 1B --param-dtype nf4 --lora-params 10M", "term:quantisation constants",
         62_500_000),
        ("--params 1B --param-dtype nf4 --double-quant --lora-params 10M",
         "term:quantisation constants", 15_625_000 + 4 * 61_036)],
        "and an FP32 constant for each block of 64: 0.5 bit a parameter, 0.127 where the "
        "constants are quantised too"),
]


def ask(options):
    done = subprocess.run([COMMAND, "plan", *options.split(), "--json"], capture_output=True,
                          text=True)
    if done.returncode:
        raise AssertionError(f"plan {options}: {done.stderr}")
    return json.loads(done.stdout)


def look(answer, key):
    if key.startswith("term:"):
        return sum(t["bytes"] for t in answer["terms"] if t["term"] == key[5:])
    if key.startswith("fits:"):
        return answer["fits"][0][key[5:]]
    return answer[key]


def say(key, value):
    if key == "fits:fits":
        return "fits" if value else "does not fit"
    if key == "parameters" or key == "fits:max_batch":
        return f"{value:,}"
    if value >= 10**6:
        unit, name = next((u, n) for u, n in
                          ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")) if value >= u)
        return f"{value:,} B = {value / unit:.4g} {name}"
    return f"{value:,} B"


def markdown(out):
    for e in EXAMPLES:
        print(f"**{e['number']}.** Note {e['note']}: {e['about']}. The note says: "
              f"{e['said']}.\n", file=out)
        print("```console", file=out)
        last = None
        for options, key, _ in e["questions"]:
            if options != last:
                print(f"$ tidemark plan {options}", file=out)
            last = options
            value = look(ask(options), key)
            print(f"  {key.split(':')[-1]:<28} {say(key, value)}", file=out)
        print("```\n", file=out)
        if e["slip"]:
            print(f"{e['slip'][0].upper()}{e['slip'][1:]}.\n", file=out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true")
    if parser.parse_args().markdown:
        markdown(sys.stdout)
        return 0
    wrong = 0
    for e in EXAMPLES:
        for options, key, value in e["questions"]:
            got = look(ask(options), key)
            if got != value:
                wrong += 1
                print(f"{e['number']}: plan {options}: {key} is {got:,}, not {value:,}")
    print(f"{len(EXAMPLES)} examples, {sum(len(e['questions']) for e in EXAMPLES)} figures, "
          f"{wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
