/* targets.c - which matmuls have LoRA's adapters.
 * Called from: formula.c, walk/weights.c. */
#include "formula.h"

struct sides lora_sides(const struct shape *s, const struct training *training,
                        enum lora_target target)
{
	unsigned wanted = training->lora_targets;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	const unsigned attention = 1u << LORA_Q | 1u << LORA_K | 1u << LORA_V,
	               gates = 1u << LORA_GATE | 1u << LORA_UP;
	bool gated = s->mlp == MLP_GATED, both = gated && (s->fused || s->fused_gate);
	struct sides all[LORA_COUNT] = {
	        [LORA_Q] = {s->hidden, inner},     [LORA_K] = {s->hidden, keys},
	        [LORA_V] = {s->hidden, keys},      [LORA_O] = {inner, s->hidden},
	        [LORA_GATE] = {s->hidden, s->ffn}, [LORA_UP] = {s->hidden, s->ffn},
	        [LORA_DOWN] = {s->ffn, s->hidden}};

	if (!training->lora_rank)
		return (struct sides){0, 0};
	if (!gated)
		wanted &= ~(1u << LORA_GATE);
	if (s->fused && wanted & attention) {
		wanted = (wanted & ~attention) | 1u << LORA_Q;
		all[LORA_Q].out = inner + 2 * keys;
	}
	if (both && wanted & gates) {
		wanted = (wanted & ~gates) | 1u << LORA_GATE;
		all[LORA_GATE].out = 2 * s->ffn;
	}
	return wanted & 1u << target ? all[target] : (struct sides){0, 0};
}
