/* answer.c - see answer.h. Called from: the commands that answer for each device. */
#include "answer.h"

#include "screen.h"

void answer_open(struct answer *answer, const struct options *options, int64_t top)
{
	*answer = (struct answer){.step = -1, .top = top};
	option_number(options, OPT_STEP, &answer->step);
	option_number(options, OPT_TOP, &answer->top);
	answer->trace = trace_open(options);
	if (answer->step >= 0)
		trace_step(answer->trace, answer->step); /* ends here where there is none */
	answer->devices = trace_devices(answer->trace, options, &answer->count);
	answer->json = options->value[OPT_JSON] ? &answer->writer : NULL;
}

void answer_begin(struct answer *answer)
{
	answer->out = screen_open();
	if (!answer->json)
		return;
	json_begin(answer->json, answer->out);
	trace_json_head(answer->trace, answer->json);
}

void answer_devices(struct answer *answer)
{
	if (answer->json)
		json_array(answer->json, "devices");
}

void answer_next_device(struct answer *answer)
{
	if (answer->shown++ && !answer->json)
		fputs("\n", answer->out);
}

int answer_close(struct answer *answer, const char *nothing, const char *first,
                 const char *second)
{
	if (answer->json) {
		json_end(answer->json);
		json_end(answer->json);
	} else {
		if (!answer->shown && nothing)
			fputs(nothing, answer->out);
		if (first)
			trace_next(answer->trace, answer->out, first, second);
	}
	trace_close(answer->trace);
	return screen_close(answer->out);
}
