/* device.h - one device of a trace as the page draws it: steps, shapes, blocks. */
#ifndef TIDEMARK_ANALYSIS_DEVICE_H
#define TIDEMARK_ANALYSIS_DEVICE_H

#include "json.h"
#include "trace.h"

/* Blocks and samples of the curve that the page of one trace may have, over all devices. */
enum { PAGE_BLOCKS = 400000, PAGE_SAMPLES = 300000 };

/* One object of an array: names, and "bytes", a stream of numbers as pack.h has them, in base64.
 * What is in the stream stands at the head of web/stream.js, which reads it. True where blocks were left out. */
bool device_json(struct trace *trace, const struct device *device, struct json *json);

#endif
