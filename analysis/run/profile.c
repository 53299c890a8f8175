/* profile.c - cards that can be simulated: the files in the device folder, and a user's
 * own. A file holds `key = value` lines; # starts a comment.
 * Called from: commands/simulate.c, measure/measure.c, rerun.c. */
#include "profile.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cards.h"
#include "fail.h"
#include "heap.h"
#include "quantity.h"
#include "stubs.h"

enum { LARGEST = 1 << 16 }; /* bytes of a profile; ours have a thousand */

char *profile_folder(void)
{
	static const char *const places[] = {"../simulator/devices",
	                                     "../share/tidemark/devices", NULL};
	return stubs_beside(places, TIDEMARK_DATADIR "/tidemark/devices");
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
		text[n - 1] = 0;
	return text;
}

static int64_t bytes_of(const char *text)
{
	int64_t bytes;
	return quantity_size(text, &bytes) == QUANTITY_GOOD ? bytes : 0;
}

static void keep(struct profile *profile, const char *key, const char *value)
{
	/* Clocks and the bus decide times, and no byte. */
	static const char *const no_byte[] = {"clock_khz", "memory_clock_khz",
	                                      "bus_bits"};
	char *longer;

	if (!strcmp(key, "name")) {
		free(profile->product);
		profile->product = copy_text(value);
		return;
	}
	if (!strcmp(key, "memory_bytes")) {
		profile->memory_bytes = bytes_of(value);
		return;
	}
	if (!strcmp(key, "context_bytes")) {
		profile->context_bytes = bytes_of(value);
		return;
	}
	if (!strcmp(key, "compute_capability")) {
		free(profile->capability);
		profile->capability = copy_text(value);
	}
	for (size_t i = 0; i < sizeof(no_byte) / sizeof(*no_byte); i++)
		if (!strcmp(key, no_byte[i]))
			return;
	longer = format_text("%s%s=%s ", profile->shape, key, value);
	free(profile->shape);
	profile->shape = longer;
}

/* false: it can't be read. */
static bool read_profile(const char *path, const char *gpu, struct profile *profile)
{
	char line[512], real[PATH_MAX];
	FILE *file = fopen(path, "re");

	if (!file || !realpath(path, real)) {
		if (file)
			fclose(file);
		return false;
	}
	*profile = (struct profile){
	        .gpu = copy_text(gpu), .path = copy_text(real), .shape = copy_text("")};
	while (fgets(line, sizeof(line), file)) {
		char *equals;
		line[strcspn(line, "#\n")] = 0;
		equals = strchr(line, '=');
		if (!equals)
			continue;
		*equals = 0;
		keep(profile, trim(line), trim(equals + 1));
	}
	fclose(file);
	return true;
}

static int by_memory(const void *a, const void *b)
{
	const struct profile *one = a, *other = b;
	if (one->memory_bytes != other->memory_bytes)
		return one->memory_bytes < other->memory_bytes ? -1 : 1;
	return strcmp(one->gpu, other->gpu);
}

struct profile *profiles_load(size_t *count)
{
	struct profile *profiles = NULL;
	size_t room = 0;
	glob_t found = {0};
	char *folder = profile_folder(), *pattern;

	*count = 0;
	if (!folder)
		return NULL;
	pattern = format_text("%s/*.conf", folder);
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *name = copy_text(strrchr(found.gl_pathv[i], '/') + 1);
		*strrchr(name, '.') = 0;
		profiles = grow(profiles, *count, &room, sizeof(*profiles));
		*count += read_profile(found.gl_pathv[i], name, &profiles[*count]);
		free(name);
	}
	if (*count)
		qsort(profiles, *count, sizeof(*profiles), by_memory);
	globfree(&found);
	free(pattern);
	free(folder);
	return profiles;
}

/* The three closest names, as a sentence goes on. */
static char *close_names(const char *name, const struct profile *profiles, size_t count)
{
	char *text = copy_text("");
	bool *taken = allocate(count + 1);

	for (int n = 0; n < 3; n++) {
		size_t best = count;
		char *longer;
		for (size_t i = 0; i < count; i++)
			if (!taken[i] &&
			    (best == count ||
			     card_distance(name, profiles[i].gpu) <
			             card_distance(name, profiles[best].gpu)))
				best = i;
		if (best == count)
			break;
		taken[best] = true;
		longer = format_text("%s%s'%s'", text, n ? ", " : "",
		                     profiles[best].gpu);
		free(text);
		text = longer;
	}
	free(taken);
	return text;
}

static struct profile take_file(const char *name)
{
	struct profile profile;
	struct stat st;
	const char *slash = strrchr(name, '/');

	if (!stat(name, &st) && !S_ISREG(st.st_mode))
		errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
	else if (!stat(name, &st) && st.st_size > LARGEST)
		errno = EFBIG;
	else if (read_profile(name, slash ? slash + 1 : name, &profile))
		return profile;
	fail(STATUS_USAGE, "cannot read the device profile '%s': %s", name,
	     strerror(errno));
}

/* "h100" is h100-80gb as long as no other card begins so. */
static bool the_one(const char *name, const struct profile *profiles, size_t count,
                    size_t *at)
{
	size_t length = strlen(name), begin = 0;

	for (size_t i = 0; i < count; i++) {
		const struct profile *card = &profiles[i];
		bool same = card_same(name, card->gpu) ||
		            (card->product && card_same(name, card->product));
		bool begins = length >= 2 && !strncasecmp(name, card->gpu, length) &&
		              card->gpu[length] == '-';
		if (same || begins)
			*at = i;
		if (same)
			return true;
		begin += begins;
	}
	return begin == 1;
}

struct profile profile_find(const char *name)
{
	size_t count;
	struct profile *profiles = profiles_load(&count), found;
	size_t at;
	struct stat st;

	if (the_one(name, profiles, count, &at)) {
		found = profiles[at];
		profiles[at] = profiles[count - 1];
		profiles_free(profiles, count - 1);
		return found;
	}
	if (strchr(name, '/') || !stat(name, &st)) {
		profiles_free(profiles, count);
		return take_file(name);
	}
	if (!count)
		fail(STATUS_USAGE,
		     "cannot find the device profiles that came with tidemark; '--gpu' "
		     "takes a file too");
	fail(STATUS_USAGE,
	     "there is no card '%s'; close ones are %s; 'tidemark simulate --gpu list' "
	     "has all",
	     name, close_names(name, profiles, count));
}

void profile_free(struct profile *profile)
{
	free(profile->gpu);
	free(profile->path);
	free(profile->product);
	free(profile->capability);
	free(profile->shape);
}

void profiles_free(struct profile *profiles, size_t count)
{
	for (size_t i = 0; i < count; i++)
		profile_free(&profiles[i]);
	free(profiles);
}
