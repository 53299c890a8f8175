"""Decoders with experts: how accuracy.py draws one, and how many parameters a published one has as
transformers builds it."""

CLASSES = {
    "mixtral": "MixtralForCausalLM", "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM", "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM", "llama4_text": "Llama4ForCausalLM",
}

UNPACKED = ("llama4_text",)  # its router would be packed as a matmul, and does not run then


def shared(draw, hidden, layers, heads):
    """Fewer layers than others: each has many experts."""
    return {"hidden_size": hidden, "num_hidden_layers": min(layers, draw.randint(2, 8)),
            "num_attention_heads": heads, "max_position_embeddings": 4096,
            "num_key_value_heads": draw.choice([k for k in (1, 2, 4, 8) if heads % k == 0]
                                               + [heads]),
            "tie_word_embeddings": draw.choice([True, False]),
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
            "num_experts_per_tok": draw.choice([1, 2, 4, 8])}


def mixtral(draw, hidden, layers, heads):
    return shared(draw, hidden, layers, heads) | {
        "intermediate_size": draw.choice([1, 2, 3]) * hidden,
        "num_local_experts": draw.choice([8, 16])}


def qwen(draw, hidden, layers, heads):
    return shared(draw, hidden, layers, heads) | {
        "intermediate_size": draw.choice([2, 3]) * hidden,
        "moe_intermediate_size": draw.choice([hidden // 2, hidden]),
        "num_experts": draw.choice([8, 16, 32]), "norm_topk_prob": draw.choice([True, False]),
        "decoder_sparse_step": draw.choice([1, 1, 2]), "mlp_only_layers": draw.choice([[], [0]])}


def qwen2_moe(draw, hidden, layers, heads):
    return qwen(draw, hidden, layers, heads) | {
        "shared_expert_intermediate_size": draw.choice([1, 2]) * hidden}


def qwen3_moe(draw, hidden, layers, heads):
    return qwen(draw, hidden, layers, heads) | {"head_dim": draw.choice([64, 128])}


def deepseek(draw, hidden, layers, heads):
    config = shared(draw, hidden, layers, heads) | {
        "intermediate_size": draw.choice([2, 3]) * hidden,
        "moe_intermediate_size": draw.choice([hidden // 2, hidden]),
        "n_routed_experts": draw.choice([8, 16, 32]), "n_shared_experts": draw.choice([1, 2]),
        "first_k_dense_replace": draw.choice([0, 1, 2]),
        "q_lora_rank": draw.choice([None, 256]), "kv_lora_rank": draw.choice([128, 256]),
        "qk_rope_head_dim": draw.choice([32, 64]), "qk_nope_head_dim": draw.choice([64, 128]),
        "v_head_dim": draw.choice([64, 128])}
    return {key: value for key, value in config.items() if key != "num_key_value_heads"}


def deepseek_v3(draw, hidden, layers, heads):
    return deepseek(draw, hidden, layers, heads) | {
        "num_key_value_heads": heads, "n_group": 4, "topk_group": 2,
        "norm_topk_prob": draw.choice([True, False])}


def llama4(draw, hidden, layers, heads):
    return shared(draw, hidden, layers, heads) | {
        "head_dim": 64, "num_experts_per_tok": draw.choice([1, 2]),
        "num_local_experts": draw.choice([4, 8, 16]), "intermediate_size": hidden,
        "intermediate_size_mlp": 2 * hidden, "interleave_moe_layer_step": draw.choice([1, 2]),
        "use_qk_norm": draw.choice([True, False]),
        "attn_temperature_tuning": draw.choice([True, False])}


DRAWN = {"mixtral": mixtral, "qwen2_moe": qwen2_moe, "qwen3_moe": qwen3_moe,
         "deepseek_v2": deepseek, "deepseek_v3": deepseek_v3, "llama4_text": llama4}

# numel() summed over parameters() of what transformers 5.23 builds of each on the meta device.
COUNTED = {
    "mixtral-8x7b": (46_702_792_704, {
        "model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2}),
    "qwen1.5-moe-a2.7b": (14_315_784_192, {
        "model_type": "qwen2_moe", "vocab_size": 151936, "hidden_size": 2048,
        "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
        "intermediate_size": 5632, "moe_intermediate_size": 1408, "num_experts": 60,
        "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4}),
    "qwen3-30b-a3b": (30_532_122_624, {
        "model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048,
        "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4,
        "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_experts": 128, "num_experts_per_tok": 8, "mlp_only_layers": []}),
    "qwen3-moe, experts in some layers": (1_718_336, {
        "model_type": "qwen3_moe", "vocab_size": 3001, "hidden_size": 128,
        "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
        "intermediate_size": 200, "moe_intermediate_size": 64, "num_experts": 8,
        "num_experts_per_tok": 2, "decoder_sparse_step": 2, "mlp_only_layers": [1, 4]}),
    "deepseek-v2-lite": (15_706_484_224, {
        "model_type": "deepseek_v2", "vocab_size": 102400, "hidden_size": 2048,
        "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
        "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64,
        "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128, "v_head_dim": 128}),
    "deepseek-v3": (671_026_404_352, {
        "model_type": "deepseek_v3", "vocab_size": 129280, "hidden_size": 7168,
        "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128, "v_head_dim": 128}),
    "llama-4-scout, its text": (107_769_861_120, {
        "model_type": "llama4_text", "vocab_size": 202048, "hidden_size": 5120,
        "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
        "num_local_experts": 16, "interleave_moe_layer_step": 1}),
    "llama-4, experts in every second layer": (11_963_648, {
        "model_type": "llama4_text", "vocab_size": 3001, "hidden_size": 256,
        "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 32, "intermediate_size": 512, "intermediate_size_mlp": 1024,
        "num_local_experts": 8, "moe_layers": [1, 3]}),
}
