/* json.h - writes one JSON document as it goes; knows how deep it is. */
#ifndef TIDEMARK_ANALYSIS_JSON_H
#define TIDEMARK_ANALYSIS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH = 16 };

struct json {
	FILE *out;
	int depth;
	struct {
		bool array, filled;
	} level[JSON_DEPTH];
};

/* Opens the document's object. key is NULL inside an array. */
void json_begin(struct json *json, FILE *out);
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_end(struct json *json); /* closes what was opened last */

void json_number(struct json *json, const char *key, int64_t number);
void json_known(struct json *json, const char *key, int64_t number); /* < 0: null */
/* A list of numbers on one line. */
void json_number_list(struct json *json, const char *key, const int64_t *numbers,
                      size_t count);
void json_seconds(struct json *json, const char *key,
                  int64_t milliseconds); /* "6.075" */
void json_truth(struct json *json, const char *key, bool truth);
void json_null(struct json *json, const char *key);

/* NULL becomes null; bytes that are not UTF-8 become U+FFFD, so that the document stays
 * readable whatever a file is called. */
void json_text(struct json *json, const char *key, const char *text);

#endif
