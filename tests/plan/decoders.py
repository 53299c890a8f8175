"""Decoders whose config.json has names or parts of its own: how accuracy.py draws one, and how
many parameters a published one has as transformers builds it."""

CLASSES = {
    "gptj": "GPTJForCausalLM", "codegen": "CodeGenForCausalLM", "gpt_neo": "GPTNeoForCausalLM",
    "bloom": "BloomForCausalLM", "mpt": "MptForCausalLM", "falcon": "FalconForCausalLM",
}


def gptj(draw, hidden, layers, heads):
    return {"n_embd": hidden, "n_layer": layers, "n_head": heads, "n_positions": 2048,
            "rotary_dim": draw.choice([32, 64]), "tie_word_embeddings": False}


def gpt_neo(draw, hidden, layers, heads):
    return {"hidden_size": hidden, "num_layers": layers, "num_heads": heads,
            "attention_types": [[["global"], layers]], "max_position_embeddings": 2048,
            "intermediate_size": draw.choice([None, 2 * hidden])}


def bloom(draw, hidden, layers, heads):
    return {"hidden_size": hidden, "n_layer": layers, "n_head": heads}


def mpt(draw, hidden, layers, heads):
    return {"d_model": hidden, "n_layers": layers, "n_heads": heads, "max_seq_len": 2048,
            "attn_config": {"clip_qkv": draw.choice([None, 8.0])}}


def falcon(draw, hidden, layers, heads):
    newer = draw.choice([False, False, True])
    return {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "alibi": False, "bias": False, "new_decoder_architecture": newer,
            "num_kv_heads": heads // 2 if newer else None,
            "multi_query": newer or draw.choice([True, False]),
            "parallel_attn": newer or draw.choice([True, False])}


DRAWN = {"gptj": gptj, "codegen": gptj, "gpt_neo": gpt_neo, "bloom": bloom, "mpt": mpt,
         "falcon": falcon}

# Whose parameters are counted, while the order in which a step takes memory is not known.
WITHOUT_STEP = {"falcon-rw-1b"}

# numel() summed over parameters() of what transformers 5.23 builds of each on the meta device.
COUNTED = {
    "gpt-j-6b": (6_050_882_784, {
        "model_type": "gptj", "vocab_size": 50400, "n_embd": 4096, "n_layer": 28, "n_head": 16,
        "n_positions": 2048, "rotary_dim": 64, "tie_word_embeddings": False}),
    "codegen-350m": (356_712_448, {
        "model_type": "codegen", "vocab_size": 51200, "n_embd": 1024, "n_layer": 20, "n_head": 16,
        "n_positions": 2048, "rotary_dim": 32, "tie_word_embeddings": False}),
    "gpt-neo-1.3b": (1_315_575_808, {
        "model_type": "gpt_neo", "vocab_size": 50257, "hidden_size": 2048, "num_layers": 24,
        "num_heads": 16, "max_position_embeddings": 2048, "intermediate_size": None}),
    "bloom-560m": (559_214_592, {
        "model_type": "bloom", "vocab_size": 250880, "n_embed": 1024, "n_layer": 24,
        "num_attention_heads": 16}),
    "mpt-7b": (6_649_286_656, {
        "model_type": "mpt", "vocab_size": 50432, "d_model": 4096, "n_layers": 32, "n_heads": 32,
        "max_seq_len": 2048, "attn_config": {"clip_qkv": None}}),
    "falcon-40b": (41_303_293_952, {
        "model_type": "falcon", "vocab_size": 65024, "hidden_size": 8192,
        "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8, "bias": False,
        "new_decoder_architecture": True, "parallel_attn": True}),
    "falcon-rw-1b": (1_311_625_216, {
        "model_type": "falcon", "vocab_size": 50304, "hidden_size": 2048,
        "num_hidden_layers": 24, "num_attention_heads": 32, "alibi": True, "bias": True,
        "multi_query": False, "parallel_attn": False}),
    "gemma-3-1b": (999_885_952, {
        "model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 256, "intermediate_size": 6912}),
    "olmo-1b": (1_176_764_416, {
        "model_type": "olmo", "vocab_size": 50304, "hidden_size": 2048, "num_hidden_layers": 16,
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 8192,
        "tie_word_embeddings": True}),
    "smollm3-3b": (3_075_098_624, {
        "model_type": "smollm3", "vocab_size": 128256, "hidden_size": 2048,
        "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 4,
        "intermediate_size": 11008}),
    "command-r7b": (8_028_033_024, {
        "model_type": "cohere2", "vocab_size": 256000, "hidden_size": 4096,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336}),
    "glm-4-9b": (9_399_951_360, {
        "model_type": "glm", "vocab_size": 151552, "hidden_size": 4096, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 2, "intermediate_size": 13696}),
    "nemotron-4b": (4_190_509_056, {
        "model_type": "nemotron", "vocab_size": 256000, "hidden_size": 3072,
        "num_hidden_layers": 32, "num_attention_heads": 24, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 9216}),
    "exaone-4-1.2b": (1_279_391_488, {
        "model_type": "exaone4", "vocab_size": 102400, "hidden_size": 2048,
        "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 4096, "tie_word_embeddings": True}),
    "gemma-2, its head from transformers": (745_558_272, {
        "model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 9216}),
    "qwen3, its head from transformers": (187_045_376, {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "num_hidden_layers": 2,
        "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 3072,
        "tie_word_embeddings": True}),
}
