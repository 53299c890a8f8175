"""What single fields of a config.json do to a training, beside what `plan --measure` saw of it on
the simulated a100-80gb, with torch 2.11.0 and transformers 5.23."""
import json

import pytest

GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 512, "n_layer": 3,
        "n_head": 8, "n_positions": 1024, "vocab_size": 512, "resid_pdrop": 0, "attn_pdrop": 0,
        "embd_pdrop": 0}
SMALL = {"bf16": "--precision bf16 --batch 8 --seq 512 --optimizer sgd".split(),
         "mixed": "--precision bf16-mixed --batch 8 --seq 512 --optimizer sgd".split()}


@pytest.fixture
def planned(tmp_path, plan):
    def call(content, *words):
        (tmp_path / "config.json").write_text(json.dumps(content))
        return plan("--config", tmp_path / "config.json", *words, "--json")
    return call


@pytest.fixture
def close(planned):
    """The peak, and the parameters, are what a run measured."""
    def call(content, words, peak, parameters):
        done = planned(content, *words)
        assert done.returncode == 0, done.stderr
        got = json.loads(done.stdout)
        assert got["parameters"] == parameters
        off = got["peak_allocated_bytes"] / peak - 1
        assert abs(off) < 0.001, f"{got['peak_allocated_bytes']} is {100 * off:+.2f} % off {peak}"
    return call


# ---- the function of a feed-forward part ----------------------------------------------------

FUNCTIONS = {
    "gelu_fast": {"bf16": 587_158_016, "mixed": 663_092_736},
    "gelu_python": {"bf16": 419_385_344, "mixed": 491_126_784},
    "gelu_10": {"bf16": 341_795_328, "mixed": 413_536_768},
    "laplace": {"bf16": 335_499_264, "mixed": 407_240_704},
    "linear": {"bf16": 274_686_464, "mixed": 346_427_904},
    "relu2": {"mixed": 541_458_432},
    "silu": {"bf16": 308_240_896},
    "quick_gelu": {"bf16": 341_795_328},
    "gelu_accurate": {"bf16": 436_163_072},
    "tanh": {"bf16": 274_686_464},
}
NAMES = [(name, how) for name, measured in FUNCTIONS.items() for how in measured]


@pytest.mark.parametrize("name, how", NAMES)
def test_each_function_keeps_what_its_operators_keep(close, name, how):
    close({**GPT2, "activation_function": name}, SMALL[how], FUNCTIONS[name][how], 10_244_608)


ONE_OPERATOR = ["gelu", "gelu_pytorch_tanh", "swish", "silu", "mish", "hardswish", "leaky_relu"]


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_functions_of_one_operator_keep_the_same(close, name):
    close({**GPT2, "activation_function": name}, SMALL["bf16"], FUNCTIONS["silu"]["bf16"],
          10_244_608)


@pytest.mark.parametrize("change, part", [
    ({"activation_function": "gelu_fasst"}, "is gelu_fasst: another function, which"),
    ({"activation_function": "prelu"}, "is prelu: another function, which"),
    ({"activation_function": "x" * 9999}, "another function, which"),
    ({"activation_function": 7}, "not a text but of type integer"),
    ({"activation_function": "gelu_new", "hidden_act": "none of GPT-2's"}, None),
])
def test_a_function_that_is_not_known_is_refused(planned, change, part):
    done = planned({**GPT2, **change})
    if part is None:
        assert done.returncode == 0, done.stderr
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert part in done.stderr and done.stderr.count("\n") == 1


LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 512,
         "intermediate_size": 2048, "num_hidden_layers": 3, "num_attention_heads": 8,
         "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 512, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2}
BERT = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 512,
        "intermediate_size": 2048, "num_hidden_layers": 3, "num_attention_heads": 8,
        "vocab_size": 512, "max_position_embeddings": 512, "type_vocab_size": 2}
T5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 512,
      "d_ff": 2048, "d_kv": 64, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 8,
      "vocab_size": 512}
TOWER = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 3,
         "num_attention_heads": 8}
CLIP = {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 256,
        "text_config": {**TOWER, "vocab_size": 512, "max_position_embeddings": 77,
                        "hidden_act": "gelu_fast"},
        "vision_config": {**TOWER, "image_size": 224, "patch_size": 16, "hidden_act": "gelu_new"}}
PAIRS = "--precision bf16-mixed --batch 32 --seq 77 --optimizer sgd".split()
# By the family and how it has its function: what its layers hold depends on both.
ELSEWHERE = [
    (LLAMA, {"hidden_act": "gelu_new"}, SMALL["mixed"], 962_155_520, 12_324_352),
    (LLAMA, {"hidden_act": "relu"}, SMALL["bf16"], 386_872_320, 12_324_352),
    (LLAMA, {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"],
             "hidden_act": "gelu_fast"}, SMALL["bf16"], 770_651_136, 12_324_352),
    (LLAMA, {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"],
             "hidden_act": "quick_gelu", "moe_intermediate_size": 512, "num_experts": 8,
             "num_experts_per_tok": 2}, SMALL["bf16"], 489_383_424, 21_774_208),
    (BERT, {"hidden_act": "gelu_fast"}, SMALL["bf16"], 633_373_184, 10_247_680),
    (BERT, {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"],
            "max_position_embeddings": 514, "hidden_act": "gelu_new"}, SMALL["mixed"],
     763_454_464, 10_248_704),
    (T5, {"feed_forward_proj": "gated-gelu_fast"}, SMALL["bf16"], 1_742_246_400, 28_582_912),
    (T5, {"feed_forward_proj": "gated-silu"}, SMALL["bf16"], 1_138_266_624, 28_582_912),
    (T5, {"feed_forward_proj": "quick_gelu"}, SMALL["mixed"], 1_206_443_520, 22_291_456),
    (CLIP, {}, PAIRS, 1_433_833_984, 19_975_681),
]


@pytest.mark.parametrize("content, change, words, peak, parameters", ELSEWHERE)
def test_a_function_elsewhere(close, content, change, words, peak, parameters):
    close({**content, **change}, words, peak, parameters)


# ---- dropout --------------------------------------------------------------------------------

MATH = {how: [*words, "--attention", "math"] for how, words in SMALL.items()}
OLDER = {"n_embd": 512, "n_layer": 3, "n_head": 8, "vocab_size": 512, "n_positions": 1024}
BLOOM = {"hidden_size": 512, "n_layer": 3, "n_head": 8, "vocab_size": 512}
OPT = {"hidden_size": 512, "ffn_dim": 2048, "num_hidden_layers": 3, "num_attention_heads": 8,
       "vocab_size": 512, "word_embed_proj_dim": 512, "max_position_embeddings": 1024}
ALONE = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
EXPERTS = {**LLAMA, "moe_intermediate_size": 512, "num_experts_per_tok": 2}


def of(kind, base=LLAMA, **fields):
    """A config of this kind, to be trained for words."""
    names = {"gpt_neox": "GPTNeoX", "starcoder2": "Starcoder2", "stablelm": "StableLm",
             "phi": "Phi", "phi3": "Phi3", "llama": "Llama", "bloom": "Bloom", "gptj": "GPTJ",
             "opt": "OPT", "qwen2": "Qwen2", "qwen3": "Qwen3", "qwen3_moe": "Qwen3Moe",
             "qwen2_moe": "Qwen2Moe", "deepseek_v3": "DeepseekV3", "mistral": "Mistral",
             "cohere2": "Cohere2", "gpt2": "GPT2"}
    name = "GPT2LMHeadModel" if kind == "gpt2" else f"{names[kind]}ForCausalLM"
    return {**base, "model_type": kind, "architectures": [name], **fields}


DROPOUTS = [
    (of("starcoder2", residual_dropout=0.1, embedding_dropout=0.1, attention_dropout=0.1),
     SMALL["bf16"], 305_744_384, 8_932_352),
    (of("starcoder2", residual_dropout=0.1, attention_dropout=0.1), MATH["mixed"],
     803_047_424, 8_932_352),
    (of("gpt_neox", ALONE, hidden_dropout=0.1, attention_dropout=0.1, use_parallel_residual=False),
     MATH["bf16"], 720_983_040, 9_982_464),
    (of("gpt_neox", ALONE, hidden_dropout=0.1), SMALL["mixed"], 408_356_352, 9_982_464),
    (of("stablelm", hidden_dropout=0.1, attention_dropout=0.1), MATH["bf16"], 787_533_824,
     12_327_936),
    (of("phi", embd_pdrop=0.1, attention_dropout=0.1), MATH["bf16"], 799_059_968, 9_191_936),
    (of("phi", resid_pdrop=0.1), SMALL["bf16"], 423_537_152, 9_191_936),
    (of("phi3", embd_pdrop=0.1, resid_pdrop=0.1, attention_dropout=0.1), MATH["bf16"],
     833_678_336, 12_324_352),
    (of("llama", attention_dropout=0.1), MATH["bf16"], 825_289_728, 12_324_352),
    (of("bloom", BLOOM, hidden_dropout=0.1), SMALL["bf16"], 689_002_496, 9_721_344),
    (of("gptj", OLDER, rotary_dim=32, embd_pdrop=0.1, attn_pdrop=0.1), SMALL["bf16"],
     826_508_288, 9_973_760),
    (of("gpt2", OLDER, embd_pdrop=0.1, resid_pdrop=0, attn_pdrop=0), SMALL["bf16"],
     438_260_224, 10_244_608),
    (of("qwen3_moe", EXPERTS, num_experts=8, attention_dropout=0.1), MATH["bf16"], 874_970_112,
     21_774_208),
    (of("deepseek_v3", EXPERTS, n_routed_experts=8, n_group=1, topk_group=1, q_lora_rank=None,
        kv_lora_rank=64, first_k_dense_replace=1, num_key_value_heads=8, head_dim=None,
        attention_dropout=0.1), MATH["bf16"], 940_283_904, 22_359_744),
    (of("opt", OPT, dropout=0.1, attention_dropout=0.1), MATH["bf16"], 686_903_296, 10_245_632),
]


@pytest.mark.parametrize("content, words, peak, parameters", DROPOUTS)
def test_dropout_is_where_the_config_asks_for_it(close, content, words, peak, parameters):
    close(content, words, peak, parameters)


@pytest.mark.parametrize("content, words, peak, parameters", DROPOUTS)
def test_no_dropout_switches_all_of_it_off(planned, content, words, peak, parameters):
    bare = {key: 0 if key.endswith(("dropout", "pdrop")) else value
            for key, value in content.items()}
    off, none = (json.loads(planned(*of).stdout)["peak"]["by_bucket"] for of in (
        (content, *words, "--no-dropout"), (bare, *words)))
    assert off == none


# ---- heads ----------------------------------------------------------------------------------

# transformers' own, where a config has no num_key_value_heads: configuration_NAME.py, 5.23.
KEYS = {"mistral": 8, "qwen2": 32, "qwen3": 32, "gemma": 16, "starcoder2": 2, "stablelm": 32,
        "gemma2": 4, "gemma3_text": 4, "smollm3": 4, "glm": 2, "exaone4": 32, "mixtral": 8,
        "qwen2_moe": 16, "qwen3_moe": 4, "llama4_text": 8, "llama": 64, "phi3": 64, "phi": 64,
        "granite": 64, "olmo": 64, "olmo2": 64, "cohere": 64, "cohere2": 64}


@pytest.mark.parametrize("kind", KEYS)
def test_heads_of_keys_that_the_config_does_not_say(planned, kind):
    base = {**ALONE, "num_experts": 8, "model_type": kind, "num_attention_heads": 64,
            "head_dim": 8}
    count = {given: json.loads(planned({**base, "num_key_value_heads": given}).stdout)["parameters"]
             for given in (None, KEYS[kind], 64)}
    assert json.loads(planned(base).stdout)["parameters"] == count[KEYS[kind]]
    assert count[None] == count[64]


@pytest.mark.parametrize("kind", ["gpt_neox", "bloom", "opt", "gptj"])
def test_older_kinds_have_as_many_heads_of_keys_as_of_queries(planned, kind):
    base = {"bloom": BLOOM, "opt": OPT, "gptj": {**OLDER, "rotary_dim": 32}}.get(kind, ALONE)
    counts = {json.loads(planned(of(kind, base, **more)).stdout)["parameters"]
              for more in ({}, {"num_key_value_heads": 2}, {"head_dim": 16})}
    assert len(counts) == 1


# ---- Qwen's windows -------------------------------------------------------------------------

LONG = "--precision bf16 --batch 2 --seq 1024 --optimizer sgd".split()
LONG_MATH = "--precision bf16-mixed --batch 2 --seq 1024 --optimizer sgd --attention math".split()
WINDOW = {"use_sliding_window": True, "sliding_window": 256}
WINDOWS = [
    (of("qwen2", **WINDOW, max_window_layers=1), LONG, 253_543_424, 12_327_424),
    (of("qwen2", **WINDOW, max_window_layers=0), LONG, 259_833_856, 12_327_424),
    (of("qwen2", **WINDOW, max_window_layers=2), LONG_MATH, 734_912_512, 12_327_424),
    (of("qwen3", **WINDOW, layer_types=["sliding_attention", "full_attention",
                                        "full_attention"]), LONG, 274_807_808, 12_324_736),
    (of("qwen3_moe", EXPERTS, num_experts=8, **WINDOW), LONG, 281_737_728, 21_774_208),
    (of("qwen2_moe", EXPERTS, num_experts=8, shared_expert_intermediate_size=512, **WINDOW), LONG,
     284_083_712, 24_137_728),
]


@pytest.mark.parametrize("content, words, peak, parameters", WINDOWS)
def test_windowed_layers_of_qwen_have_a_mask(close, content, words, peak, parameters):
    close(content, words, peak, parameters)


@pytest.mark.parametrize("change", [{"use_sliding_window": False}, {"sliding_window": None},
                                    {"max_window_layers": 3}, {"sliding_window": 1025}])
def test_no_window_takes_no_memory(planned, change):
    plain, with_one = (json.loads(planned(of("qwen2", **more), *LONG).stdout)
                       for more in ({}, {**WINDOW, **change}))
    assert plain["peak"] == with_one["peak"]


# ---- what is there, and what is not ---------------------------------------------------------

BART = {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "d_model": 256,
        "encoder_layers": 2, "encoder_ffn_dim": 512, "decoder_ffn_dim": 512,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "vocab_size": 512,
        "max_position_embeddings": 512}
DEBERTA = {**BERT, "model_type": "deberta-v2",
           "architectures": ["DebertaV2ForSequenceClassification"]}


@pytest.mark.parametrize("content, words, peak, parameters", [
    (of("opt", OPT, dropout=0.1, attention_dropout=0.1, enable_bias=False,
        _remove_final_layer_norm=True), SMALL["bf16"], 245_317_632, 10_230_784),
    (of("cohere2", head_dim=128), SMALL["bf16"], 483_446_272, 14_419_968),
])
def test_fields_that_change_what_there_is(close, content, words, peak, parameters):
    close(content, words, peak, parameters)


def test_bart_has_twelve_layers_where_the_config_has_no_number(planned):
    without, twelve = (json.loads(planned({**BART, **more}).stdout)["parameters"]
                       for more in ({}, {"decoder_layers": 12}))
    assert without == twelve


@pytest.mark.parametrize("content, part", [
    (of("gpt2", OLDER, add_cross_attention=True), "'add_cross_attention' in "),
    (of("opt", OPT, layer_norm_elementwise_affine=False), "norms have no weights"),
    ({key: value for key, value in BART.items() if key != "decoder_ffn_dim"}, "the two stacks have other layers"),
    ({**DEBERTA, "pooler_hidden_size": 256}, "the pooler has another size"),
])
def test_what_is_not_counted_is_refused(planned, content, part):
    done = planned(content)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr and done.stderr.count("\n") == 1


# ---- adapters -------------------------------------------------------------------------------

# What peft 0.21 trains of each published model at rank 8: in its attention between the stacks too.
ADAPTED = [
    ({**T5, "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_decoder_layers": 12,
      "num_heads": 12}, {"q,v": 884_736, "q,k,v,o": 1_769_472, "all": 3_244_032}),  # t5-base
    ({**BART, "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12,  # bart-large-cnn
      "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096, "encoder_attention_heads": 16,
      "decoder_attention_heads": 16}, {"q,v": 1_179_648, "q,k,v,o": 2_359_296, "all": 4_325_376}),
    ({"model_type": "whisper", "d_model": 768, "encoder_layers": 12, "decoder_layers": 12,
      "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "encoder_attention_heads": 12,
      "decoder_attention_heads": 12, "vocab_size": 51865, "max_source_positions": 1500},
     {"q,v": 884_736, "q,k,v,o": 1_769_472, "all": 3_244_032}),  # whisper-small
]


@pytest.mark.parametrize("content, trained", ADAPTED, ids=["t5", "bart", "whisper"])
def test_adapters_of_two_stacks(planned, content, trained):
    for targets, count in trained.items():
        done = planned(content, "--lora-rank", "8", "--lora-targets", targets)
        assert json.loads(done.stdout)["trainable"] == count, targets


@pytest.mark.parametrize("content, targets", [
    (of("gpt2", OLDER), "gate"), (BERT, "gate"),
    (of("qwen3_moe", EXPERTS, num_experts=8), "gate,up,down"),
])
def test_targets_of_which_the_model_has_none_are_refused(planned, content, targets):
    done = planned(content, "--lora-rank", "8", "--lora-targets", targets)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the model has no matmul of '--lora-targets {targets}'" in done.stderr
    assert planned(content, "--lora-rank", "8", "--lora-targets", targets + ",q").returncode == 0
