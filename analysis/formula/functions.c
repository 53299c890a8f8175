/* functions.c - the function of a feed-forward part, by the name that a config.json gives it.
 * Source: ACT2CLS in transformers' activations.py, 5.23; what each keeps: PyTorch's
 * derivatives.yaml.
 * Called from: formula/, reconcile/. */
#include "functions.h"

#include <string.h>

struct function {
	const char *name;
	enum mlp mlp;
};

/* Those with weights of their own (prelu, xielu) are not among them. */
static const struct function functions[] = {
        {"gelu", MLP_GELU},
        {"gelu_pytorch_tanh", MLP_GELU},
        {"silu", MLP_GELU},
        {"swish", MLP_GELU},
        {"mish", MLP_GELU},
        {"hardswish", MLP_GELU},
        {"leaky_relu", MLP_GELU},
        {"relu6", MLP_GELU},
        {"relu", MLP_RELU},
        {"tanh", MLP_RELU},
        {"sigmoid", MLP_RELU},
        {"gelu_new", MLP_GELU_NEW},
        {"gelu_accurate", MLP_GELU_NEW},
        {"gelu_python_tanh", MLP_GELU_NEW},
        {"gelu_fast", MLP_GELU_FAST},
        {"gelu_python", MLP_GELU_PYTHON},
        {"gelu_10", MLP_GELU_CLIPPED},
        {"quick_gelu", MLP_GELU_QUICK},
        {"relu2", MLP_RELU2},
        {"laplace", MLP_LAPLACE},
        {"linear", MLP_LINEAR},
};

static const struct function *function_named(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!strcmp(name, functions[i].name))
			return &functions[i];
	return NULL;
}

enum mlp function_called(struct reader *reader, const char *key, const char *name)
{
	const struct function *function = function_named(name);

	if (!function)
		strange(reader, key, "another function");
	return function ? function->mlp : MLP_GELU;
}

enum mlp function_read(struct reader *reader, const char *key, enum mlp otherwise)
{
	struct rows *rows = look(reader, key);
	const char *type = rows ? rows_text(rows, 0) : NULL;
	enum mlp mlp = otherwise;

	if (type && !strcmp(type, "text"))
		mlp = function_called(reader, key, rows_text(rows, 1));
	else if (type && strcmp(type, "null") != 0)
		wrong(reader, "'%s' in '%s' is not a text but of type %s", key,
		      reader->name, type);
	if (rows)
		rows_free(rows);
	return mlp;
}

/* NULL: the model has its own function, whatever the config says. */
static const char *key_of(enum family family)
{
	switch (family) {
	case FAMILY_GPT2:
	case FAMILY_OPT:
	case FAMILY_GPTJ:
	case FAMILY_CODEGEN:
	case FAMILY_GPT_NEO:
	case FAMILY_BART:
	case FAMILY_WHISPER:
		return "activation_function";
	case FAMILY_DISTILBERT:
	case FAMILY_FALCON:
		return "activation";
	case FAMILY_GEMMA2:
	case FAMILY_GEMMA3:
		return "hidden_activation";
	case FAMILY_BLOOM:
	case FAMILY_MPT:
	case FAMILY_T5:
	case FAMILY_MAMBA2:
		return NULL;
	default:
		return "hidden_act";
	}
}

void config_function(struct reader *reader, struct shape *s)
{
	enum mlp *mlp = s->mlp == MLP_GATED ? &s->gate : &s->mlp;
	const char *key = key_of(s->family);

	if (key)
		*mlp = function_read(reader, key, *mlp);
}

int function_keeps(enum mlp mlp)
{
	static const int kept[] = {
	        [MLP_GELU] = 2,         [MLP_GELU_NEW] = 5,   [MLP_GELU_FAST] = 8,
	        [MLP_GELU_OWN] = 2,     [MLP_GELU_QUICK] = 3, [MLP_GELU_PYTHON] = 4,
	        [MLP_GELU_CLIPPED] = 3, [MLP_RELU] = 1,       [MLP_RELU2] = 2,
	        [MLP_LAPLACE] = 2,      [MLP_LINEAR] = 1,     [MLP_GATED] = 0};

	return kept[mlp];
}

int shape_keeps(const struct shape *s)
{
	/* a gate's result is multiplied, and the product is what the last matmul reads */
	return s->mlp == MLP_GATED ? function_keeps(s->gate) + 2
	                           : function_keeps(s->mlp);
}
