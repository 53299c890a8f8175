/* names.c - names and defaults of the training configuration.
 * Called from: commands/, formula/, measure/, plan/, recognise/, reconcile/, trace/,
 *     walk/. */
#include "formula.h"

#include <string.h>

#include "terms.h"
#include "text.h"

const char *const dtype_names[DTYPE_COUNT] = {"none", "fp32", "bf16", "fp16",
                                              "fp8",  "int8", "nf4"};
const char *const precision_names[PRECISION_COUNT] = {"fp32", "bf16", "fp16",
                                                      "bf16-mixed", "fp16-mixed"};
const char *const optimizer_names[OPTIMIZER_COUNT] = {
        "sgd",      "sgd-momentum", "adam", "adamw",
        "adam8bit", "adafactor",    "lion", "muon"};
const char *const implementation_names[IMPLEMENTATION_COUNT] = {"foreach", "fused",
                                                                "for-loop"};

const char *const checkpoint_names[CHECKPOINT_COUNT] = {"none", "full", "selective",
                                                        "sqrt"};
const char *const attention_names[ATTENTION_COUNT] = {"math", "flash"};
const char *const offload_names[OFFLOAD_COUNT] = {"none", "optimizer", "params"};
const char *const activations_names[ACTIVATIONS_COUNT] = {"torch", "korthikanti",
                                                          "notes", "rough"};
const char *const formula_bucket_names[FORMULA_BUCKETS] = {
        "parameter", "gradient", "optimizer", "activation", "overhead", "host"};

int dtype_bits(enum dtype dtype)
{
	static const int bits[DTYPE_COUNT] = {
	        [DTYPE_FP32] = 32, [DTYPE_BF16] = 16, [DTYPE_FP16] = 16,
	        [DTYPE_FP8] = 8,   [DTYPE_INT8] = 8,  [DTYPE_NF4] = 4,
	};
	return bits[dtype];
}

const char *width_text(enum dtype dtype)
{
	int bits = dtype_bits(dtype);
	return bits == 32 ? "4 B" : bits == 16 ? "2 B" : bits == 8 ? "1 B" : "0.5 B";
}

struct digits number(int64_t value)
{
	struct digits digits;
	memcpy(digits.s, text_count(value).s, sizeof(digits.s));
	return digits;
}

void training_precision(struct training *training, enum precision precision)
{
	static const struct {
		enum dtype stored, computed;
		bool autocast;
	} rows[PRECISION_COUNT] = {
	        [PRECISION_FP32] = {DTYPE_FP32, DTYPE_FP32, false},
	        [PRECISION_BF16] = {DTYPE_BF16, DTYPE_BF16, false},
	        [PRECISION_FP16] = {DTYPE_FP16, DTYPE_FP16, false},
	        [PRECISION_BF16_MIXED] = {DTYPE_FP32, DTYPE_BF16, true},
	        [PRECISION_FP16_MIXED] = {DTYPE_FP32, DTYPE_FP16, true},
	};
	training->parameter = training->gradient = training->state =
	        training->residual = rows[precision].stored;
	training->activation = rows[precision].computed;
	training->autocast = rows[precision].autocast;
	training->master = DTYPE_NONE;
	training->adapter = DTYPE_FP32;
}

bool optimizer_has_ways(enum optimizer optimizer)
{
	return optimizer == OPTIMIZER_SGD || optimizer == OPTIMIZER_SGD_MOMENTUM ||
	       optimizer == OPTIMIZER_ADAM || optimizer == OPTIMIZER_ADAMW;
}

void training_default(struct training *training, enum precision precision)
{
	memset(training, 0, sizeof(*training));
	training_precision(training, precision);
	training->optimizer = OPTIMIZER_ADAMW;
	training->attention = ATTENTION_FLASH;
	training->batch = 1;
	training->accumulate = 1;
	training->world = 1;
	training->sample_bytes = training->sample_elements = -1;
	training->overhead_ppm = 1000000;
}
