/* json.c - a look as one JSON document on one line.
 * Called from: commands/live.c. */
#include <stdlib.h>
#include <string.h>

#include "view.h"
#include "heap.h"
#include "json.h"

static void json_buckets(const struct look *look, const struct watched *device,
                         struct json *json)
{
	json_known(json, "buckets_step", device->bucketed ? look->step : -1);
	json_array(json, "buckets");
	for (int i = 0; device->bucketed && i < BUCKET_CACHE; i++) {
		json_object(json, NULL);
		json_text(json, "bucket", look_bucket(i));
		json_number(json, "began_bytes", device->began[i]);
		json_number(json, "most_bytes", device->most[i]);
		json_end(json);
	}
	json_end(json);
}

static void json_leak(const struct leak *leak, struct json *json)
{
	if (!leak->known) {
		json_null(json, "leak");
		return;
	}
	json_object(json, "leak");
	json_number(json, "bytes_per_step", leak->rate);
	json_number(json, "from_step", leak->from);
	json_number(json, "to_step", leak->to);
	json_known(json, "full_in_step", leak->full);
	json_end(json);
}

static void json_device(const struct look *look, const struct watched *device,
                        struct json *json)
{
	json_object(json, NULL);
	json_text(json, "device", device->name);
	json_text(json, "product", *device->product ? device->product : NULL);
	json_known(json, "total_bytes", device->total);
	json_known(json, "allocated_bytes", device->allocated);
	json_known(json, "reserved_bytes", device->reserved);
	json_known(json, "at_ns", device->at_ns);
	json_known(json, "outside_bytes", device->outside);
	json_known(json, "headroom_bytes", device->headroom);
	json_number(json, "peak_allocated_bytes", device->peak);
	json_buckets(look, device, json);
	json_leak(&device->leak, json);
	json_end(json);
}

/* Line ends and the blanks behind them stand between values alone: in a text they are escaped. */
static void on_one_line(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text != '\n') {
			fputc(*text, out);
			continue;
		}
		while (text[1] == ' ' || text[1] == '\n')
			text++;
	}
	fputc('\n', out);
}

void view_json(const struct look *look, const struct showing *showing, FILE *out)
{
	struct json json = {0};
	char *text = NULL;
	size_t length;
	FILE *page = open_memstream(&text, &length);

	if (!page)
		out_of_memory();
	json_begin(&json, page);
	json_head(&json, (int)look->schema);
	json_text(&json, "file", look->path);
	json_text(&json, "state", view_state(look));
	json_text(&json, "incomplete", *look->why ? look->why : NULL);
	json_known(&json, "pid", look->pid);
	json_known(&json, "rank", look->rank);
	json_text(&json, "host", look->host);
	json_text(&json, "script", look->script);
	json_truth(&json, "simulated", look->simulated);
	json_number(&json, "started_unix_ns", look->started_unix_ns);
	json_known(&json, "now_ns", look->now_ns);
	json_known(&json, "exit_status", look->exit_status);
	json_known(&json, "step", look->step);
	json_known(&json, "step_ended_ns", look->step < 0 ? -1 : look->last_ns);
	json_number(&json, "complete_steps", look->complete);
	if (look->milli_rate >= 0)
		json_seconds(&json, "steps_per_second", look->milli_rate);
	else
		json_null(&json, "steps_per_second");
	json_text(&json, "phase", look_phase(look));
	json_number(&json, "lost_events", look->lost);
	json_number(&json, "look_cost_ns", look->cost_ns);
	json_array(&json, "devices");
	for (size_t i = 0; i < look->devices; i++)
		if (!showing->device || !strcmp(showing->device, look->device[i].name))
			json_device(look, &look->device[i], &json);
	json_end(&json);
	json_end(&json);
	fclose(page);
	on_one_line(text, out);
	free(text);
}
