/* cudnn.c - cuDNN's version, and its graph ("backend") interface: descriptors store what
 * they are told and give it back; every graph has one engine, which needs no workspace
 * unless TIDEMARK_SIM_CUDNN_WORKSPACE says so. Workspace sizes of real engines are not
 * known: convolutions' figures are estimates. */
#include "entry.h"
#include "config.h"
#include "stream.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALLOC_FAILED = 4 };

/* Must be at least the version PyTorch was compiled against, with the same major. Up to major 8 a
 * major is a thousand, since then ten thousand. */
#ifdef TMKSIM_CUDNN_8
enum { VERSION = 8999, MAJOR = 1000 };
#else
enum { VERSION = 99900, MAJOR = 10000 };
#endif

size_t cudnnGetVersion(void)
{
	return VERSION;
}

size_t cudnnGetMaxDeviceVersion(void)
{
	return VERSION;
}

size_t cudnnGetCudartVersion(void)
{
	return TMKSIM_MAJOR < 13 ? 12080 : 13000;
}

int cudnnGetProperty(int which, int *value)
{
	const int version[] = {VERSION / MAJOR, VERSION % MAJOR / 100, VERSION % 100};
	*value = which >= 0 && which < 3 ? version[which] : 0;
	return 0;
}

int cudnnCreate(struct tmksim_handle **handle)
{
	*handle = tmksim_handle_create();
	return *handle ? 0 : ALLOC_FAILED;
}

void cudnnGetLastErrorString(char *text, size_t bytes)
{
	if (bytes)
		*text = '\0';
}

struct attribute {
	int name, type;
	int64_t count;
	void *values;
	struct attribute *next;
};
struct descriptor {
	int type;
	struct attribute *attributes;
};

/* Bytes of one element, by cuDNN's attribute type. */
static size_t element_bytes(int type)
{
	enum {
		HANDLE,
		DATA_TYPE,
		BOOLEAN,
		INT64,
		FLOAT,
		DOUBLE,
		POINTER,
		DESCRIPTOR = 15
	};
	enum { CHAR = 26 };
	switch (type) {
	case HANDLE:
	case INT64:
	case DOUBLE:
	case POINTER:
	case DESCRIPTOR:
		return 8;
	case BOOLEAN:
	case CHAR:
		return 1;
	default:
		return 4;
	}
}

int cudnnBackendCreateDescriptor(int type, struct descriptor **descriptor)
{
	*descriptor = calloc(1, sizeof(**descriptor));
	if (!*descriptor)
		return ALLOC_FAILED;
	(*descriptor)->type = type;
	return 0;
}

int cudnnBackendDestroyDescriptor(struct descriptor *descriptor)
{
	if (!descriptor)
		return 0;
	for (struct attribute *a = descriptor->attributes, *next; a; a = next) {
		next = a->next;
		free(a->values);
		free(a);
	}
	free(descriptor);
	return 0;
}

static struct attribute *find(const struct descriptor *descriptor, int name)
{
	struct attribute *a = descriptor->attributes;
	while (a && a->name != name)
		a = a->next;
	return a;
}

int cudnnBackendSetAttribute(struct descriptor *descriptor, int name, int type,
                             int64_t count, const void *values)
{
	struct attribute *a = find(descriptor, name);
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return ALLOC_FAILED;
		a->name = name;
		a->next = descriptor->attributes;
		descriptor->attributes = a;
	}
	size_t bytes = (size_t)count * element_bytes(type);
	void *copy = malloc(bytes + 1);
	if (!copy)
		return ALLOC_FAILED;
	memcpy(copy, values, bytes);
	free(a->values);
	a->type = type;
	a->count = count;
	a->values = copy;
	return 0;
}

int cudnnBackendFinalize(struct descriptor *descriptor)
{
	(void)descriptor;
	return 0;
}

/* Attributes that a finished descriptor answers by itself: how many it has, and what. */
static int answer(int name, int type, int64_t wanted, int64_t *count, void *values)
{
	enum {
		ENGINE_COUNT = 300,
		ENGINE_WORKSPACE = 303,
		HEURISTIC_RESULTS = 202,
		PLAN_WORKSPACE = 402,
		NOTES_FIRST = 1303,
		NOTES_LAST = 1305
	};
	int64_t value = 0, n = 1;
	switch (name) {
	case HEURISTIC_RESULTS:
		*count = 1; /* the caller's own descriptors stand for the results */
		return 0;
	case ENGINE_WORKSPACE:
	case PLAN_WORKSPACE:
		value = (int64_t)tmksim_number(TMKSIM_CUDNN_WORKSPACE);
		break;
	case ENGINE_COUNT:
		value = 1;
		break;
	default:
		if (name >= NOTES_FIRST && name <= NOTES_LAST)
			n = 0;
	}
	*count = n;
	if (n && values && wanted > 0 && type != 15)
		memcpy(values, &value, element_bytes(type));
	return 0;
}

int cudnnBackendGetAttribute(const struct descriptor *descriptor, int name, int type,
                             int64_t wanted, int64_t *count, void *values)
{
	int64_t ignored;
	if (!count)
		count = &ignored;
	const struct attribute *a = find(descriptor, name);
	if (!a)
		return answer(name, type, wanted, count, values);
	*count = a->count;
	if (values && wanted > 0) {
		int64_t n = a->count < wanted ? a->count : wanted;
		memcpy(values, a->values, (size_t)n * element_bytes(a->type));
	}
	return 0;
}

int cudnnBackendExecute(struct tmksim_handle *handle, struct descriptor *plan,
                        struct descriptor *variants)
{
	(void)plan, (void)variants;
	tmksim_work(tmksim_handle(handle) ? handle->stream : NULL);
	return 0;
}
