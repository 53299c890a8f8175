/* state.c - what the model keeps of each device and of each thread that trains.
 * Called from: all of the model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

const char *tmk_model_device_name(struct tmk_device_id id, char *name, size_t size)
{
	static const char *const kinds[] = {
	        "cpu",  "cuda", "mkldnn", "opengl", "opencl", "ideep", "hip",  "fpga",
	        "maia", "xla",  "vulkan", "metal",  "xpu",    "mps",   "meta", "hpu"};
	const char *kind =
	        id.type >= 0 && (size_t)id.type < sizeof(kinds) / sizeof(*kinds)
	                ? kinds[(int)id.type]
	                : "device";
	if (id.type == 0)
		snprintf(name, size, "cpu");
	else
		snprintf(name, size, "%s:%d", kind, id.index);
	return kind;
}

struct tmk_device_state *tmk_model_device(struct tmk_model *m, struct tmk_device_id id)
{
	if (id.index < 0)
		id.index = 0;
	for (int i = 0; i < m->devices; i++)
		if (m->device[i].id.type == id.type &&
		    m->device[i].id.index == id.index)
			return &m->device[i];
	if (m->devices == TMK_MAX_DEVICES)
		return &m->device[TMK_MAX_DEVICES - 1];
	struct tmk_device_state *d = &m->device[m->devices];
	d->id = id;
	const char *kind = tmk_model_device_name(id, d->name, sizeof(d->name));
	tmk_store_run(m->store, TMK_SQL_device, (int64_t)m->devices, d->name, kind,
	              TMK_NULL, NULL);
	m->devices++;
	return d;
}

bool tmk_model_drifts(const struct tmk_device_state *d)
{
	enum { SURE = 16 };
	return d->drift && d->drift_events >= SURE;
}

struct tmk_loop *tmk_model_loop(struct tmk_model *m, uint16_t thread)
{
	static struct tmk_loop nobody; /* without memory: what it says is lost */
	if (thread < m->loops)
		return &m->loop[thread];
	uint32_t more = thread + 16u;
	/* Not tried again: callers have pointers into it once all their threads were met. */
	struct tmk_loop *p =
	        m->no_more_loops ? NULL : realloc(m->loop, more * sizeof(*p));
	if (!p) {
		m->no_more_loops = true;
		m->lost[TMK_LOST_MEMORY_OTHER]++;
		memset(&nobody, 0, sizeof(nobody));
		return &nobody;
	}
	memset(p + m->loops, 0, (more - m->loops) * sizeof(*p));
	m->loop = p;
	m->loops = more;
	return &m->loop[thread];
}

bool tmk_model_trains(const struct tmk_model *m, uint16_t thread)
{
	return thread < m->loops && m->loop[thread].trains;
}

uint32_t tmk_model_index(const struct tmk_model *m, uint64_t event)
{
	uint64_t first = m->total_events - m->events;
	uint64_t i = event > first ? event - first : 0;
	return i < m->events ? (uint32_t)i : m->events;
}
