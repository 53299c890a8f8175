/* mamba.c - Mamba 2: layers whose tokens are read by a state that goes on from one to the next, and no
 * attention. Its parameters are counted; what its layers keep is not written here, since it depends on
 * which kernels are installed (mamba_ssm, or PyTorch operator by operator).
 * Source: Mamba2Mixer in modeling_mamba2.py, transformers 5.23.
 * Called from: config.c, model.c. */
#include "mamba.h"

#include "config_private.h"

void refine_mamba(struct reader *reader, struct shape *s)
{
	s->state.size = whole(reader, "state_size", 128);
	s->state.groups = whole(reader, "n_groups", 8);
	s->state.kernel = whole(reader, "conv_kernel", 4);
	s->state.bias = truth(reader, "use_bias", false);
	s->state.kernel_bias = truth(reader, "use_conv_bias", true);
	s->ffn = s->heads * s->head_dim;
	if (s->ffn != whole(reader, "expand", 2) * s->hidden)
		wrong(reader,
		      "%lld heads of %lld in '%s' are not 'expand' times 'hidden_size'",
		      (long long)s->heads, (long long)s->head_dim, reader->name);
}

static int vector(struct model *model, enum role role, int64_t rows, int64_t copies)
{
	return model_add(model, (struct weight){.role = role,
	                                        .rows = rows,
	                                        .copies = copies,
	                                        .target = -1});
}

int mamba_add(struct model *model, const struct shape *s)
{
	int64_t inner = s->ffn, l = s->layers;
	int64_t read = inner + 2 * s->state.groups * s->state.size;
	int bad = vector(model, ROLE_NORM, s->hidden, l);

	bad |= vector(model, ROLE_ANY, s->heads, 3 * l); /* dt_bias, A_log, D */
	bad |= model_add(model, (struct weight){.role = ROLE_CONVOLUTION,
	                                        .rows = 1,
	                                        .columns = s->state.kernel,
	                                        .stacked = read,
	                                        .copies = l,
	                                        .target = -1});
	bad |= vector(model, ROLE_BIAS, s->state.kernel_bias ? read : 0, l);
	bad |= model_linear(model, ROLE_MLP, -1, s->hidden, inner + read + s->heads, l,
	                    s->state.bias);
	bad |= vector(model, ROLE_NORM, inner, l);
	return bad |
	       model_linear(model, ROLE_MLP, -1, inner, s->hidden, l, s->state.bias);
}
