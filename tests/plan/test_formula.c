/* test_formula.c - the formula engine without a command line. */
#include "formula.h"
#include "../test.h"

static struct model model;
static struct training training;
static struct formula result;
static char why[256];

static void named(const char *name)
{
	struct shape shape;
	char nearest[160];
	CHECK(model_find(name, &shape, nearest, sizeof(nearest)));
	CHECK(!model_from_shape(&model, &shape));
	training_default(&training, PRECISION_BF16);
	training.seq = 1024;
}

static void counted(int64_t parameters)
{
	CHECK(!model_add(&model, (struct weight){ROLE_ANY, parameters, 0, 1, -1}));
	training_default(&training, PRECISION_FP32);
}

static int compute(void)
{
	return formula_compute(&model, &training, &result, why, sizeof(why));
}

TEST("the terms add up to their buckets and the buckets to the total")
{
	int64_t sums[FORMULA_BUCKETS] = {0}, total = 0;
	named("llama-3.2-1b");
	training.overhead_ppm = 1300000;
	CHECK(!compute());
	for (int i = 0; i < result.count; i++)
		sums[result.terms[i].bucket] += result.terms[i].bytes;
	for (int i = 0; i < FORMULA_HOST; i++) {
		CHECK(sums[i] == result.bucket[i]);
		total += sums[i];
	}
	CHECK(total == result.total);
	model_free(&model);
}

TEST("every term names its source, and none repeats another")
{
	named("gpt2");
	training.attention = ATTENTION_MATH;
	training.dropout = true;
	CHECK(!compute());
	for (int i = 0; i < result.count; i++) {
		CHECK(result.terms[i].source && *result.terms[i].source);
		CHECK(*result.terms[i].formula && *result.terms[i].numbers);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(result.terms[i].name, result.terms[j].name) != 0 ||
			      result.terms[i].bucket != result.terms[j].bucket);
	}
	model_free(&model);
}

TEST("a sum past 63 bits is an error, never a wrong number")
{
	counted(INT64_MAX);
	CHECK(compute() == -1);
	CHECK(strstr(why, "too large"));
	model_free(&model);
	named("gpt2");
	training.batch = INT64_MAX / 4096;
	CHECK(compute() == -1);
	model_free(&model);
	CHECK(!model_add(&model,
	                 (struct weight){ROLE_MLP, INT64_C(1) << 40, 1 << 20, 1, -1}));
	CHECK(model_add(&model,
	                (struct weight){ROLE_MLP, INT64_C(1) << 40, 1 << 22, 2, -1}));
	model_free(&model);
}

TEST("a batch of nothing costs nothing but what doesn't depend on it")
{
	int64_t fixed;
	named("llama-3.2-1b");
	training.batch = 0;
	CHECK(!compute());
	fixed = result.total;
	training.batch = 1;
	CHECK(!compute());
	int64_t sample = result.total - fixed;
	training.batch = 5;
	CHECK(!compute());
	CHECK(result.total == fixed + 5 * sample);
	model_free(&model);
}

TEST("the largest batch fits and one more does not")
{
	named("gpt2");
	int64_t largest = formula_largest_batch(&model, &training, INT64_C(24) << 30);
	CHECK(largest > 0);
	training.batch = largest;
	CHECK(!compute() && result.total <= INT64_C(24) << 30);
	training.batch++;
	CHECK(!compute() && result.total > INT64_C(24) << 30);
	CHECK(!formula_largest_batch(&model, &training, 1 << 20));
	model_free(&model);
	counted(1000);
	CHECK(formula_largest_batch(&model, &training, 1 << 20) == -1);
	model_free(&model);
}

TEST("small tensors keep fp32 states under an 8-bit optimizer")
{
	CHECK(!model_add(&model, (struct weight){ROLE_NORM, 4095, 0, 1, -1}));
	CHECK(!model_add(&model, (struct weight){ROLE_MLP, 64, 64, 3, -1}));
	training_default(&training, PRECISION_FP32);
	training.optimizer = OPTIMIZER_ADAM8BIT;
	CHECK(!compute());
	CHECK(result.bucket[FORMULA_OPTIMIZER] ==
	      2 * 4 * 4095 + 3 * (2 * 4096 + 2 * 4 * 16));
	model_free(&model);
}

TEST("adafactor keeps a row and a column of each matrix, and needs to know them")
{
	CHECK(!model_add(&model, (struct weight){ROLE_MLP, 300, 70, 2, -1}));
	CHECK(!model_add(&model, (struct weight){ROLE_NORM, 70, 0, 1, -1}));
	training_default(&training, PRECISION_FP32);
	training.optimizer = OPTIMIZER_ADAFACTOR;
	CHECK(!compute());
	CHECK(result.bucket[FORMULA_OPTIMIZER] == 4 * (2 * 370 + 70));
	model_free(&model);
	counted(1000);
	training.optimizer = OPTIMIZER_ADAFACTOR;
	CHECK(compute() == -1);
	CHECK(strstr(why, "shapes"));
	model_free(&model);
}

TEST("muon keeps momentum for hidden matrices and two moments for the rest")
{
	CHECK(!model_add(&model, (struct weight){ROLE_EMBEDDING, 100, 8, 1, -1}));
	CHECK(!model_add(&model, (struct weight){ROLE_MLP, 32, 8, 2, -1}));
	training_default(&training, PRECISION_FP32);
	training.optimizer = OPTIMIZER_MUON;
	CHECK(!compute());
	CHECK(result.bucket[FORMULA_OPTIMIZER] == 4 * (2 * 800 + 2 * 256));
	model_free(&model);
}

TEST("adapters are rank times the sum of both sides of each target")
{
	named("llama-2-7b");
	training.lora_rank = 8;
	training.lora_targets = 1u << LORA_Q | 1u << LORA_V;
	CHECK(!compute());
	CHECK(result.trainable == 4194304); /* PEFT's own example for this model */
	CHECK(result.bucket[FORMULA_GRADIENT] == 4 * 4194304);
	model_free(&model);
}

TEST("under 4-bit quantisation embeddings, norms and head stay in 16 bits")
{
	named("llama-2-7b");
	training.parameter = DTYPE_NF4;
	training.inference = true;
	CHECK(!compute());
	int64_t linear = 6476005376, rest = 6738415616 - linear;
	CHECK(result.bucket[FORMULA_PARAMETER] == linear / 2 + linear / 16 + 2 * rest);
	model_free(&model);
}

TEST_MAIN
