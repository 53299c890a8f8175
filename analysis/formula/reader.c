/* reader.c - values of a config.json, which may be of any type.
 * Called from: formula/. */
#include "reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wrong(struct reader *reader, const char *format, ...)
{
	va_list arguments;
	if (reader->failed)
		return;
	reader->failed = true;
	va_start(arguments, format);
	vsnprintf(reader->why, reader->size, format, arguments);
	va_end(arguments);
}

/* One row: the type of a key's value ('integer', 'text', 'null', ...) and the value. */
struct rows *look(struct reader *reader, const char *key)
{
	struct rows *rows = db_rows(reader->db,
	                            "SELECT json_type(?1, '$.' || ?2), "
	                            "json_extract(?1, '$.' || ?2)",
	                            "tt", reader->text, key);
	return rows_next(rows) ? rows : NULL;
}

/* Of 'first|second' the first that the config has. */
static const char *present(struct reader *reader, const char *keys, char *key,
                           size_t size)
{
	const char *at = keys, *end;

	while ((end = strchr(at, '|'))) {
		snprintf(key, size, "%.*s", (int)(end - at), at);
		if (has_type(reader, key, "integer"))
			return key;
		at = end + 1;
	}
	return at;
}

void strange(struct reader *reader, const char *key, const char *what)
{
	struct rows *rows = reader->failed ? NULL : look(reader, key);
	const char *type = rows ? rows_text(rows, 0) : NULL;
	const char *value = rows ? rows_text(rows, 1) : NULL;
	bool word = type && (!strcmp(type, "true") || !strcmp(type, "false") ||
	                     !strcmp(type, "null"));

	if (reader->failed)
		return;
	wrong(reader, "'%s' in '%s' is %.60s: %s, which 'plan' does not know", key,
	      reader->name,
	      word            ? type
	      : type && value ? value
	                      : "not given",
	      what);
	reader->foreign = true;
	if (rows)
		rows_free(rows);
}

/* A positive whole number; otherwise where the key is missing or null, and -1 for
 * otherwise means that the key must be there. */
int64_t whole(struct reader *reader, const char *keys, int64_t otherwise)
{
	char chosen[64];
	const char *key = present(reader, keys, chosen, sizeof(chosen));
	struct rows *rows;
	const char *type;
	int64_t value = otherwise;

	if (reader->failed || !(rows = look(reader, key)))
		return otherwise;
	type = rows_text(rows, 0);
	if (!type || !strcmp(type, "null")) {
		if (otherwise < 0)
			wrong(reader, "'%s' has no '%s'", reader->name, key);
	} else if (strcmp(type, "integer") != 0) {
		wrong(reader, "'%s' in '%s' is not a whole number but of type %s", key,
		      reader->name, type);
	} else {
		value = rows_number(rows, 1);
		if (value < 1 || value >= INT64_C(1) << 40)
			wrong(reader, "'%s' in '%s' can't be %lld", key, reader->name,
			      (long long)value);
	}
	rows_free(rows);
	return value;
}

bool truth(struct reader *reader, const char *key, bool otherwise)
{
	struct rows *rows;
	const char *type;
	bool value = otherwise;

	if (reader->failed || !(rows = look(reader, key)))
		return otherwise;
	type = rows_text(rows, 0);
	if (type && (!strcmp(type, "true") || !strcmp(type, "false")))
		value = type[0] == 't';
	else if (type && strcmp(type, "null") != 0)
		wrong(reader, "'%s' in '%s' is neither true nor false", key,
		      reader->name);
	rows_free(rows);
	return value;
}

double real_of(struct reader *reader, const char *key, double otherwise)
{
	struct rows *rows;
	const char *type, *text;
	double value = otherwise;

	if (reader->failed || !(rows = look(reader, key)))
		return otherwise;
	type = rows_text(rows, 0);
	text = rows_text(rows, 1);
	if (type && text && (!strcmp(type, "real") || !strcmp(type, "integer")))
		value = strtod(text, NULL);
	else if (type && strcmp(type, "null") != 0)
		wrong(reader, "'%s' in '%s' is not a number", key, reader->name);
	rows_free(rows);
	return value;
}

double fraction(struct reader *reader, const char *key, double otherwise)
{
	double value = real_of(reader, key, otherwise);

	if (!(value >= 0 && value <= 1))
		wrong(reader, "'%s' in '%s' is not between 0 and 1", key, reader->name);
	return value;
}

/* Is it there, and of this type of JSON: "integer", "null"? */
bool has_type(struct reader *reader, const char *key, const char *wanted)
{
	struct rows *rows = look(reader, key);
	const char *type = rows ? rows_text(rows, 0) : NULL;
	bool has = type && !strcmp(type, wanted);

	if (rows)
		rows_free(rows);
	return has;
}

/* Any whole number. */
int64_t number_of(struct reader *reader, const char *key, int64_t otherwise)
{
	struct rows *rows = has_type(reader, key, "integer") ? look(reader, key) : NULL;
	int64_t value = rows ? rows_number(rows, 1) : otherwise;

	if (rows)
		rows_free(rows);
	return value;
}

bool is_other(struct reader *reader, const char *key, const char *known)
{
	struct rows *rows = has_type(reader, key, "text") ? look(reader, key) : NULL;
	const char *at = rows ? rows_text(rows, 1) : NULL;
	size_t length = at ? strlen(at) : 0;
	bool other = at != NULL;

	for (const char *one = known; other && one; one = strchr(one, '|')) {
		one += *one == '|';
		other = strncmp(one, at, length) != 0 ||
		        (one[length] && one[length] != '|');
	}
	if (rows)
		rows_free(rows);
	return other;
}
