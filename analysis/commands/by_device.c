/* by_device.c - see by_device.h.
 * Called from: commands/. */
#include "by_device.h"

#include "next.h"
#include "screen.h"
#include "stack.h"

void by_device_open(struct by_device *answer, const struct options *options,
                    int64_t top)
{
	*answer = (struct by_device){.step = -1};
	option_number(options, OPT_STEP, &answer->step);
	answer->top = option_rows(options, top);
	answer->trace = trace_open(options_file(options));
	if (answer->step >= 0)
		trace_step(answer->trace,
		           answer->step); /* ends here where there is none */
	answer->devices = trace_devices(answer->trace, options->value[OPT_DEVICE],
	                                &answer->count);
	answer->json = options->value[OPT_JSON] ? &answer->writer : NULL;
}

void by_device_begin(struct by_device *answer)
{
	answer->out = screen_open();
	if (!answer->json)
		return;
	json_begin(answer->json, answer->out);
	trace_json_head(answer->trace, answer->json);
}

void by_device_devices(struct by_device *answer)
{
	if (answer->json)
		json_array(answer->json, "devices");
}

void by_device_next_device(struct by_device *answer)
{
	if (answer->shown++ && !answer->json)
		fputs("\n", answer->out);
}

int by_device_close(struct by_device *answer, const char *nothing, const char *first,
                    const char *second)
{
	if (answer->json) {
		json_end(answer->json);
		if (answer->trace->said.count)
			frames_json(answer->trace, answer->json);
		json_end(answer->json);
	} else {
		if (!answer->shown && nothing)
			fputs(nothing, answer->out);
		if (first)
			next_commands(answer->trace, answer->out, first, second);
	}
	trace_close(answer->trace);
	return screen_close(answer->out);
}
