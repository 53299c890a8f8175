"""--config: a Hugging Face config.json, which may be anything at all."""
import json
import random

import pytest
from decoders import COUNTED as DECODERS
from decoders import WITHOUT_STEP
from experts import COUNTED as EXPERTS
from test_models import HEADS, PUBLISHED

LLAMA = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
         "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
         "head_dim": 64, "vocab_size": 128256, "max_position_embeddings": 131072,
         "tie_word_embeddings": True, "torch_dtype": "bfloat16", "rope_theta": 5e5}
CONFIGS = {
    "llama-3.2-1b": LLAMA,
    "mistral-7b": {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
                   "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
                   "num_key_value_heads": 8, "tie_word_embeddings": False, "head_dim": None},
    "qwen2.5-0.5b": {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
                     "num_hidden_layers": 24, "num_attention_heads": 14, "vocab_size": 151936,
                     "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3-0.6b": {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
                   "num_hidden_layers": 28, "num_attention_heads": 16, "head_dim": 128,
                   "num_key_value_heads": 8, "vocab_size": 151936, "attention_bias": False,
                   "tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12,
             "n_positions": 1024, "vocab_size": 50257, "n_inner": None, "resid_pdrop": 0.1},
    "bert-base": {"model_type": "bert", "architectures": ["BertForSequenceClassification"],
                  "hidden_size": 768, "intermediate_size": 3072,
                  "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30522,
                  "max_position_embeddings": 512, "type_vocab_size": 2},
    "roberta-base": {"model_type": "roberta",
                     "architectures": ["RobertaForSequenceClassification"],
                     "hidden_size": 768, "intermediate_size": 3072,
                     "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 50265,
                     "max_position_embeddings": 514, "type_vocab_size": 1},
    "pythia-160m": {"model_type": "gpt_neox", "hidden_size": 768, "intermediate_size": 3072,
                    "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 50304,
                    "rotary_pct": 0.25, "tie_word_embeddings": False},
    "opt-125m": {"model_type": "opt", "hidden_size": 768, "ffn_dim": 3072,
                 "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 50272,
                 "max_position_embeddings": 2048, "word_embed_proj_dim": 768},
    "phi-3-mini": {"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192,
                   "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32064,
                   "num_key_value_heads": 32, "tie_word_embeddings": False},
    "gemma-2b": {"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384,
                 "num_hidden_layers": 18, "num_attention_heads": 8, "head_dim": 256,
                 "num_key_value_heads": 1, "vocab_size": 256000},
}

# Of kinds that have no name of their own here: what transformers builds has as many parameters.
COUNTED = {
    "starcoder2-3b": (3_030_371_328, {
        "model_type": "starcoder2", "hidden_size": 3072, "intermediate_size": 12288,
        "num_hidden_layers": 30, "num_attention_heads": 24, "num_key_value_heads": 2,
        "vocab_size": 49152, "use_bias": True}),
    "granite-3.0-2b": (2_533_531_648, {
        "model_type": "granite", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 49155, "tie_word_embeddings": True}),
    "olmo-2-1b": (1_484_916_736, {
        "model_type": "olmo2", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16,
        "vocab_size": 100352, "tie_word_embeddings": False}),
    "stablelm-2-1.6b": (1_644_515_328, {
        "model_type": "stablelm", "hidden_size": 2048, "intermediate_size": 5632,
        "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32,
        "vocab_size": 100352, "use_qkv_bias": True, "partial_rotary_factor": 0.25}),
    "command-r": (34_980_831_232, {
        "model_type": "cohere", "hidden_size": 8192, "intermediate_size": 22528,
        "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 64,
        "vocab_size": 256000}),
    "phi-2": (2_779_683_840, {
        "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 51200,
        "partial_rotary_factor": 0.4}),
    "gemma-2-2b": (2_614_341_888, {
        "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "head_dim": 256,
        "num_key_value_heads": 4, "vocab_size": 256000}),
    **DECODERS, **EXPERTS,
}


@pytest.fixture
def config(tmp_path, plan):
    def call(content, *words):
        path = tmp_path / "config.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return plan("--config", path, "--seq", "64", *words, "--json")
    return call


def test_nanogpts_configuration_needs_no_type(config):
    nano = {"block_size": 1024, "vocab_size": 50257, "n_layer": 12, "n_head": 12,
            "n_embd": 768, "dropout": 0.1, "bias": True}
    twin = {**CONFIGS["gpt2"], "activation_function": "gelu"}
    mine, theirs = (json.loads(config(c).stdout) for c in (nano, twin))
    for answer in (mine, theirs):
        for key in ("model", "config"):
            answer.pop(key, None)
    assert mine == theirs


STRANGE = [
    ({**LLAMA, "model_type": "cohere", "use_qk_norm": True}, "'use_qk_norm' in 'X' is true"),
    ({**CONFIGS["opt-125m"], "word_embed_proj_dim": 512}, "'word_embed_proj_dim' in 'X' is 512"),
    ({**CONFIGS["bert-base"], "is_decoder": True}, "'is_decoder' in 'X' is true"),
    ({**CONFIGS["bert-base"], "model_type": "deberta-v2", "conv_kernel_size": 3},
     "'conv_kernel_size' in 'X' is 3"),
    ({**CONFIGS["bert-base"], "model_type": "deberta-v2", "legacy": False},
     "'legacy' in 'X' is false"),
    (BART := {"model_type": "bart", "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
              "encoder_attention_heads": 4, "decoder_attention_heads": 4, "vocab_size": 500,
              "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_position_embeddings": 128,
              "activation_dropout": 0.1}, "'activation_dropout' in 'X' is 0.1"),
    ({**BART, "activation_dropout": 0, "decoder_ffn_dim": 256}, "'decoder_ffn_dim' in 'X' is 256"),
    ({**BART, "activation_dropout": 0, "decoder_layerdrop": 0.1},
     "'decoder_layerdrop' in 'X' is 0.1"),
    ({"model_type": "resnet", "hidden_act": "silu"}, "'hidden_act' in 'X' is silu"),
    ({"model_type": "mamba"}, "'X' describes a 'mamba'"),
]


@pytest.mark.parametrize("content, part", STRANGE, ids=lambda x: str(x)[:50])
def test_what_is_not_known_is_one_key_and_may_be_measured(config, tmp_path, content, part):
    """The key and its value alone, and the command that runs it all the same."""
    name = str(tmp_path / "config.json")
    done = config(content)
    refused(done, part.replace("'X'", f"'{name}'"))
    assert f"'tidemark plan --measure --config {name}' tries it" in done.stderr
    assert " or " not in done.stderr.split(": ", 1)[1].split("which")[0]
    shown = config(content, "--measure", "--print-script")
    assert shown.returncode == 0 and "SETTINGS = {" in shown.stdout


@pytest.mark.parametrize("packing, words, part", [
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "",
     "(bitsandbytes, 4 bits) is not counted: weights are fp32; --param-dtype nf4 counts it"),
    ({"load_in_8bit": True}, "--precision bf16",
     "(bitsandbytes, 8 bits) is not counted: weights are bf16; --param-dtype int8 counts it"),
    ({"load_in_4bit": True}, "--param-dtype nf4 --lora-rank 4", None),
    ({"quant_method": "gptq", "bits": 4}, "", "(gptq) is not counted: weights are fp32"),
    ({"quant_method": "x" * 5000}, "", "(xxxxxxxxxxxxxxxxxxxxxxx) is not counted"),
    ({"quant_method": 7}, "", "(unnamed) is not counted"),
    ({"quant_method": "é\x1b[31m"}, "", "(unnamed) is not counted"),
    (None, "", None), ("awq", "", None), ([1], "", None),
])
def test_weights_that_were_published_packed_are_said_not_to_be_counted(config, packing, words,
                                                                       part):
    answer = json.loads(config({**LLAMA, "quantization_config": packing}, *words.split()).stdout)
    notes = [note for note in answer["notes"] if "quantization_config" in note]
    assert len(notes) == (part is not None) and (not part or part in notes[0]), notes


def test_albert_has_no_checkpoints(config):
    albert = {**CONFIGS["bert-base"], "model_type": "albert"}
    assert config(albert).returncode == 0
    refused(config(albert, "--checkpoint", "full"), "transformers has no checkpoints of ALBERT")


@pytest.mark.parametrize("content", [{**BART, "encoder_layers": -1}, {"model_type": 7},
                                     {**BART, "encoder_layers": -1, "activation_dropout": .1}])
def test_what_cannot_be_is_not_measured_either(config, content):
    assert config(content, "--measure", "--print-script").returncode == 2


def refused(done, part):
    assert (done.returncode, done.stdout) == (2, ""), done.stdout[:200]
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1
    assert part in done.stderr, done.stderr


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_says_the_same_as_the_name(config, plan, name):
    from_config = json.loads(config(CONFIGS[name]).stdout)
    from_name = json.loads(plan("--model", name, "--seq", "64", "--json").stdout)
    assert from_config["parameters"] == PUBLISHED[name] + HEADS.get(name, 0)
    assert from_config["total_bytes"] == from_name["total_bytes"]


@pytest.mark.parametrize("name", COUNTED)
def test_a_config_has_as_many_parameters_as_its_model(config, name):
    parameters, content = COUNTED[name]
    answer = json.loads(config(content).stdout)
    assert answer["parameters"] == parameters
    if name in WITHOUT_STEP:
        assert answer["peak"] is None
    else:
        assert answer["peak"], "its training step is not known"


SPARSE = {"model_type": "qwen3_moe", "vocab_size": 1000, "hidden_size": 64,
          "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 96,
          "moe_intermediate_size": 40, "num_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize("change, layers", [
    ({}, {0, 1, 2, 3, 4, 5}),
    ({"decoder_sparse_step": 2}, {1, 3, 5}),
    ({"decoder_sparse_step": 7}, set()),
    ({"mlp_only_layers": [0, 5, 77, -1]}, {1, 2, 3, 4}),
    ({"decoder_sparse_step": 3, "mlp_only_layers": [2]}, {5}),
    ({"num_experts": 0}, set()),
    ({"num_experts": None, "num_local_experts": 8}, {0, 1, 2, 3, 4, 5}),
])
def test_experts_stand_in_the_layers_that_the_config_names(config, change, layers):
    def terms(**more):
        answer = json.loads(config({**SPARSE, **more}).stdout)
        return {term["term"]: term["bytes"] for term in answer["terms"]
                if term["bucket"] == "parameter"}
    found = terms(**change)
    assert found.get("experts", 0) == 4 * len(layers) * 8 * 3 * 64 * 40
    assert found.get("router", 0) == 4 * len(layers) * 8 * 64
    assert found.get("feed-forward", 0) == 4 * (6 - len(layers)) * 3 * 64 * 96


LATENT = {**SPARSE, "model_type": "deepseek_v3", "n_routed_experts": 16}


@pytest.mark.parametrize("content, words, there", [
    (SPARSE, (), True),
    (SPARSE, ("--gpu", "t4"), False),  # its card has no operator for all experts
    ({**SPARSE, "moe_intermediate_size": 42}, (), False),  # nor any for rows of this length
    ({**SPARSE, "moe_intermediate_size": 42, "num_experts": 0}, (), True),
    ({**SPARSE, "output_router_logits": True}, (), False),
    (SPARSE, ("--lora-rank", "4", "--lora-targets", "q,v"), True),
    (SPARSE, ("--lora-rank", "4", "--lora-targets", "all"), True),  # no module has these names
    ({**SPARSE, "mlp_only_layers": [2]}, ("--lora-rank", "4", "--lora-targets", "all"), False),
    ({**SPARSE, "model_type": "mixtral"}, ("--lora-rank", "4", "--lora-targets", "all"), True),
    (LATENT, (), True),
    ({**LATENT, "rope_interleave": False}, (), False),
    ({**LATENT, "n_shared_experts": 0}, (), False),
    ({**LATENT, "model_type": "deepseek_v2", "num_experts_per_tok": None}, (), False),
    ({**SPARSE, "model_type": "llama4_text"}, ("--gpu", "t4"), True),
])
def test_the_peak_of_a_model_with_experts_is_said_where_it_is_known(config, content, words, there):
    answer = json.loads(config(content, *words).stdout)
    assert answer["parameters"] and bool(answer["peak"]) == there


@pytest.mark.parametrize("change, part", [
    ({"num_experts_per_tok": 9}, "can't have 9 of 8 experts"),
    ({"num_experts": -1}, "can't be -1"),
    ({"num_experts": 2**30}, "can't have experts"),
    ({"moe_intermediate_size": "40"}, "of type text"),
    ({"decoder_sparse_step": 0}, "can't be 0"),
    ({"num_hidden_layers": 2000}, "with experts no more than 1024"),
    ({"model_type": "deepseek_v3", "n_shared_experts": 10**9}, "can't be 1000000000"),
    ({"model_type": "deepseek_v3", "kv_lora_rank": 0}, "can't be 0"),
])
def test_a_config_with_experts_that_cannot_be(config, change, part):
    refused(config({**SPARSE, **change}), part)


@pytest.mark.parametrize("change, part", [
    ({"hidden_size": None}, "has no 'hidden_size'"),
    ({"hidden_size": -1}, "can't be -1"),
    ({"hidden_size": 0}, "can't be 0"),
    ({"hidden_size": 10**30}, "'hidden_size'"),
    ({"hidden_size": 2**39}, "can't have hidden"),
    ({"hidden_size": "2048"}, "not a whole number but of type text"),
    ({"hidden_size": 2048.5}, "of type real"),
    ({"hidden_size": [2048]}, "of type array"),
    ({"hidden_size": {"a": 1}}, "of type object"),
    ({"num_attention_heads": True}, "of type true"),
    ({"num_hidden_layers": 10**9}, "can't have layers"),
    ({"num_key_value_heads": 64}, "more than 32 heads"),
    ({"num_key_value_heads": 7}, "evenly"),
    ({"num_attention_heads": 33, "head_dim": None, "num_key_value_heads": 3}, "don't divide"),
    ({"tie_word_embeddings": "yes"}, "neither true nor false"),
    ({"model_type": "stablelm", "qk_layernorm": True},
     "is true: the model has norms for each head"),
    ({"model_type": "mamba"}, "which is not one of llama, mistral"),
    ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}},
     "a 'gemma3_text': save 'text_config' as"),
    ({"model_type": "llava", "text_config": {"model_type": 7}}, "which is not one of"),
    ({"model_type": "llava", "text_config": ["llama"]}, "which is not one of"),
    ({"model_type": 7}, "has no 'model_type'"),
    ({"model_type": "x" * 10000}, "which is not one of"),
])
def test_a_config_with_a_wrong_value(config, change, part):
    refused(config({**LLAMA, **change}), part)


@pytest.mark.parametrize("text, part", ids=range(13), argvalues=[
    ("", "not valid JSON"),
    ("{", "not valid JSON"),
    ("[1, 2, 3]", "has no 'model_type'"),
    ("7", "has no 'model_type'"),
    ("null", "has no 'model_type'"),
    ("{}", "has no 'model_type'"),
    ('{"a": NaN}', "not valid JSON"),
    ("{'model_type': 'llama'}", "not valid JSON"),
    (b"\xff\xfe\x00{}", "zero bytes"),
    (b"\x80\x81\x82", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ('{"a":' * 5000 + "1" + "}" * 5000, "not valid JSON"),
    (json.dumps({**LLAMA, "pad": "x" * 2_000_000}), "larger than 1 MiB"),
])
def test_a_config_that_is_none(config, text, part):
    refused(config(text), part)


def test_special_files(plan, tmp_path):
    for path in ("/dev/zero", "/dev/null", tmp_path):
        refused(plan("--config", path), "is not a file")


def test_a_config_damaged_anywhere_is_answered_or_refused(config):
    """Bytes changed, removed and doubled: never anything but an answer or a sentence."""
    rng = random.Random(11)
    good = json.dumps(LLAMA).encode()
    for _ in range(150):
        text = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            kind = rng.randrange(3)
            if kind == 0:
                text[at] = rng.randrange(256)
            elif kind == 1:
                del text[at:at + rng.randint(1, 9)]
            else:
                text[at:at] = text[at:at + rng.randint(1, 9)]
            text = text or bytearray(b"{")
        done = config(bytes(text))
        assert done.returncode in (0, 2), (text, done.stderr)
        assert done.returncode == 0 or done.stderr.count("\n") == 1
