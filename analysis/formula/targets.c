/* targets.c - which matmuls have LoRA's adapters.
 * Called from: formula/, plan/, walk/. */
#include "formula.h"

struct sides lora_sides(const struct shape *s, const struct training *training,
                        enum lora_target target)
{
	unsigned wanted = training->lora_targets;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	const unsigned attention = 1u << LORA_Q | 1u << LORA_K | 1u << LORA_V,
	               gates = 1u << LORA_GATE | 1u << LORA_UP;
	bool gated = s->mlp == MLP_GATED, both = gated && (s->fused || s->fused_gate);
	struct sides all[LORA_COUNT] = {[LORA_Q] = {s->hidden, inner, 0},
	                                [LORA_K] = {s->hidden, keys, 0},
	                                [LORA_V] = {s->hidden, keys, 0},
	                                [LORA_O] = {inner, s->hidden, 0},
	                                [LORA_GATE] = {s->hidden, s->ffn, 0},
	                                [LORA_UP] = {s->hidden, s->ffn, 0},
	                                [LORA_DOWN] = {s->ffn, s->hidden, 0}};

	if (!training->lora_rank)
		return (struct sides){.in = 0};
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
	return wanted & 1u << target ? all[target] : (struct sides){.in = 0};
}

/* Where a model's experts once had matmuls of these names, and any module has one of them still:
 * _convert_peft_config_moe() of peft/utils/transformers_weight_conversion.py, 0.21. Its list of models
 * has those that are like Qwen2-MoE, and not that one itself. */
bool lora_is_of_experts(const struct shape *s, const struct training *training)
{
	const unsigned targets = 1u << LORA_GATE | 1u << LORA_UP | 1u << LORA_DOWN;
	bool knows = s->family == FAMILY_QWEN3_MOE || s->family == FAMILY_DEEPSEEK_V2 ||
	             s->family == FAMILY_DEEPSEEK_V3;
	bool named = s->experts.shared || s->experts.sparse < s->layers;

	return training->lora_rank && training->lora_targets & targets && knows &&
	       s->experts.sparse && named;
}

/* One of all experts' tensors: gate and up are one, and its adapter has the rank of both. */
static struct sides sides_of_experts(const struct shape *s, const struct weight *weight,
                                     unsigned targets)
{
	const unsigned both = 1u << LORA_GATE | 1u << LORA_UP;
	bool first =
	        weight->rows == 2 * s->experts.width && weight->columns == s->hidden;

	if (first ? (targets & both) != both : !(targets & 1u << LORA_DOWN))
		return (struct sides){.in = 0};
	return (struct sides){.in = weight->columns,
	                      .out = weight->rows,
	                      .ranks = (first ? 2 : 1) * s->experts.count};
}

struct sides lora_sides_of(const struct shape *s, const struct weight *weight,
                           const struct training *training)
{
	struct sides sides = {.in = 0};

	if (weight->role == ROLE_EXPERTS && lora_is_of_experts(s, training))
		return sides_of_experts(s, weight, training->lora_targets);
	if (weight->target < 0 ||
	    (weight->role == ROLE_MLP && lora_is_of_experts(s, training)))
		return sides;
	sides = lora_sides(s, training, (enum lora_target)weight->target);
	/* layers with experts and those without have matmuls of two widths */
	if (sides.in && s->experts.sparse)
		sides = (struct sides){.in = weight->columns, .out = weight->rows};
	return sides;
}

bool lora_has_any(const struct model *model, const struct training *training)
{
	for (size_t i = 0; i < model->count; i++)
		if (lora_sides_of(&model->shape, &model->weights[i], training).in)
			return true;
	return false;
}

int64_t lora_rank_of(const struct sides *sides, const struct training *training)
{
	return training->lora_rank * (sides->ranks ? sides->ranks : 1);
}
