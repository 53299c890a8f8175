/* cudnn_rnn.c - recurrent networks: sizes and layout of the packed weights, which PyTorch
 * takes apart by asking for each matrix. Weight sizes follow from the shapes; reserve
 * space is what the gates of every step need, workspace none: both estimates. */
#include "entry.h"

#include <stdbool.h>
#include <string.h>

enum { BAD_PARAM = 2000 };

/* What a descriptor keeps, as indices into a handle's state. */
enum { MODE, BIAS, DIRECTIONS, TYPE, INPUT, HIDDEN, PROJECTION, LAYERS }; /* RNN */
enum { LENGTH, BATCH };                                                   /* data */
enum { DIMENSIONS, FIRST, SECOND, THIRD, ELEMENT };                       /* tensor */

static size_t element_bytes(int type)
{
	enum { FLOAT, DOUBLE, HALF, INT8, INT32, BFLOAT16 = 9 };
	return type == DOUBLE ? 8 : type == HALF || type == BFLOAT16 ? 2 : 4;
}

int cudnnSetRNNDescriptor_v8(struct tmksim_handle *rnn, int algorithm, int mode,
                             int bias, int direction, int input_mode, int type,
                             int precision, int math, int input, int hidden,
                             int projection, int layers, void *dropout, unsigned flags)
{
	(void)algorithm, (void)input_mode, (void)precision, (void)math, (void)dropout;
	(void)flags;
	if (!tmksim_handle(rnn))
		return BAD_PARAM;
	int64_t *s = rnn->state;
	s[MODE] = mode;
	s[BIAS] = bias;
	s[DIRECTIONS] = 1 + direction;
	s[TYPE] = type;
	s[INPUT] = input;
	s[HIDDEN] = hidden;
	s[PROJECTION] = projection ? projection : hidden;
	s[LAYERS] = layers;
	return 0;
}

int cudnnSetRNNDataDescriptor(struct tmksim_handle *data, int type, int layout,
                              int length, int batch)
{
	/* three more arguments: vector size, lengths, padding */
	(void)type, (void)layout;
	if (!tmksim_handle(data))
		return BAD_PARAM;
	data->state[LENGTH] = length;
	data->state[BATCH] = batch;
	return 0;
}

/* Gates: matrices of each kind in a layer. */
static int64_t gates(const int64_t *s)
{
	enum { RELU, TANH, LSTM, GRU };
	return s[MODE] == LSTM ? 4 : s[MODE] == GRU ? 3 : 1;
}

static bool projects(const int64_t *s)
{
	return s[PROJECTION] != s[HIDDEN];
}

/* Columns of the matrices that take a layer's input. */
static int64_t input_width(const int64_t *s, int64_t layer)
{
	return layer < s[DIRECTIONS] ? s[INPUT] : s[PROJECTION] * s[DIRECTIONS];
}

static int64_t layer_elements(const int64_t *s, int64_t layer)
{
	int64_t recurrent = gates(s) * s[HIDDEN] * s[PROJECTION];
	int64_t projection = projects(s) ? s[PROJECTION] * s[HIDDEN] : 0;
	return gates(s) * s[HIDDEN] * input_width(s, layer) + recurrent + projection;
}

static int64_t bias_elements(const int64_t *s)
{
	enum { NONE, ONE_IN, TWO, ONE_REC };
	int64_t each = gates(s) * s[HIDDEN];
	return s[BIAS] == NONE ? 0 : s[BIAS] == TWO ? 2 * each : each;
}

/* Elements before a layer's matrices; biases lie behind all of these. */
static int64_t elements_before(const int64_t *s, int64_t layer)
{
	int64_t sum = 0;
	for (int64_t i = 0; i < layer; i++)
		sum += layer_elements(s, i);
	return sum;
}

int cudnnGetRNNWeightSpaceSize(void *handle, struct tmksim_handle *rnn, size_t *bytes)
{
	(void)handle;
	if (!tmksim_handle(rnn))
		return BAD_PARAM;
	const int64_t *s = rnn->state;
	int64_t layers = s[LAYERS] * s[DIRECTIONS];
	int64_t elements = elements_before(s, layers) + layers * bias_elements(s);
	*bytes = (size_t)elements * element_bytes((int)s[TYPE]);
	return 0;
}

int cudnnGetRNNTempSpaceSizes(void *handle, struct tmksim_handle *rnn, int training,
                              struct tmksim_handle *data, size_t *workspace,
                              size_t *reserve)
{
	(void)handle;
	if (!tmksim_handle(rnn) || !tmksim_handle(data))
		return BAD_PARAM;
	const int64_t *s = rnn->state;
	int64_t steps = data->state[LENGTH] * data->state[BATCH];
	int64_t kept = steps * s[LAYERS] * s[DIRECTIONS] * (gates(s) + 1) * s[HIDDEN];
	*workspace = 0;
	if (reserve)
		*reserve = training ? (size_t)kept * element_bytes((int)s[TYPE]) : 0;
	return 0;
}

static void describe(struct tmksim_handle *tensor, int64_t rows, int64_t columns,
                     int64_t type)
{
	if (!tensor || !tmksim_handle(tensor))
		return;
	tensor->state[DIMENSIONS] = rows ? 3 : 0;
	tensor->state[FIRST] = 1;
	tensor->state[SECOND] = rows;
	tensor->state[THIRD] = columns;
	tensor->state[ELEMENT] = type;
}

static void give_matrix(char *at, int64_t rows, int64_t columns, int64_t type,
                        struct tmksim_handle *tensor, char **pointer)
{
	if (pointer)
		*pointer = at;
	describe(tensor, at ? rows : 0, columns, type);
}

/* The caller may ask for a matrix, its bias or both. */
int cudnnGetRNNWeightParams(void *handle, struct tmksim_handle *rnn, int layer,
                            size_t bytes, char *weights, int which,
                            struct tmksim_handle *matrix, char **matrix_at,
                            struct tmksim_handle *bias, char **bias_at)
{
	(void)handle, (void)bytes;
	if (!tmksim_handle(rnn))
		return BAD_PARAM;
	const int64_t *s = rnn->state;
	int64_t n = gates(s), width = input_width(s, layer), hidden = s[HIDDEN];
	int64_t element = (int64_t)element_bytes((int)s[TYPE]);
	bool recurrent = which >= n, projection = which == 2 * n;
	int64_t at = elements_before(s, layer);
	at += hidden *
	      (recurrent ? n * width + (which - n) * s[PROJECTION] : which * width);
	give_matrix(projection && !projects(s) ? NULL : weights + at * element,
	            projection ? s[PROJECTION] : hidden,
	            projection  ? hidden
	            : recurrent ? s[PROJECTION]
	                        : width,
	            s[TYPE], matrix, matrix_at);

	int64_t behind = elements_before(s, s[LAYERS] * s[DIRECTIONS]);
	at = behind + layer * bias_elements(s) + which * hidden;
	bool has_bias = !projection && which * hidden < bias_elements(s);
	give_matrix(has_bias ? weights + at * element : NULL, hidden, 1, s[TYPE], bias,
	            bias_at);
	return 0;
}

int cudnnGetTensorNdDescriptor(struct tmksim_handle *tensor, int wanted, int *type,
                               int *dimensions, int *sizes, int *strides)
{
	if (!tmksim_handle(tensor))
		return BAD_PARAM;
	*type = (int)tensor->state[ELEMENT];
	*dimensions = (int)tensor->state[DIMENSIONS];
	int stride = 1;
	for (int i = *dimensions - 1; i >= 0; i--) {
		if (i < wanted) {
			sizes[i] = (int)tensor->state[FIRST + i];
			strides[i] = stride;
		}
		stride *= (int)tensor->state[FIRST + i];
	}
	return 0;
}

int cudnnGetFilterNdDescriptor(struct tmksim_handle *tensor, int wanted, int *type,
                               int *format, int *dimensions, int *sizes)
{
	int strides[3];
	*format = 0; /* rows first */
	return cudnnGetTensorNdDescriptor(tensor, wanted < 3 ? wanted : 3, type,
	                                  dimensions, sizes, strides);
}
