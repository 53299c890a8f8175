/* profile.c - cards that can be simulated: those of the list (formula/cards.h), each a file in
 * the device folder, and a user's own file. It holds `key = value` lines; # starts a comment.
 * Called from: commands/simulate.c, measure/measure.c, rerun.c. */
#include "profile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	/* Clocks and the bus decide times, and no byte; the others are the list's. */
	static const char *const no_byte[] = {"clock_khz",     "memory_clock_khz",
	                                      "bus_bits",      "aliases",
	                                      "memory_source", "memory_date"};
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

/* The file of a card of the list; false: it is not there, or no device can be made of it. */
static bool read_card(const char *folder, const struct card *card,
                      struct profile *profile)
{
	char *path = format_text("%s/%s.conf", folder, card->name);
	bool good = *card->capability && read_profile(path, card->name, profile);

	free(path);
	return good;
}

struct profile *profiles_load(size_t *count)
{
	struct profile *profiles = NULL;
	size_t room = 0;
	char *folder = profile_folder();

	*count = 0;
	for (int i = 0; folder && card_at(i); i++) {
		profiles = grow(profiles, *count, &room, sizeof(*profiles));
		*count += read_card(folder, card_at(i), &profiles[*count]);
	}
	free(folder);
	return profiles;
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

static struct profile take_card(const struct card *card)
{
	char *folder = profile_folder();
	struct profile profile;

	if (!*card->capability)
		fail(STATUS_USAGE,
		     "'%s' cannot be simulated: it is no CUDA device, and only its "
		     "memory is "
		     "known; 'tidemark plan --gpu %s' answers for it",
		     card->name, card->name);
	if (!folder || !read_card(folder, card, &profile))
		fail(STATUS_USAGE,
		     "cannot find the device profiles that came with tidemark; '--gpu' "
		     "takes a file too");
	free(folder);
	return profile;
}

struct profile profile_find(const char *name)
{
	const struct card *card;
	struct stat st;
	char *names;
	enum card_answer answer = card_find(name, &card, &names);

	if (answer == CARD_KNOWN)
		return take_card(card);
	if (strchr(name, '/') || !stat(name, &st)) {
		free(names);
		return take_file(name);
	}
	if (answer == CARD_SEVERAL)
		fail(STATUS_USAGE, CARD_OF_SEVERAL, name, names);
	fail(STATUS_USAGE,
	     "there is no card '%s'; did you mean %s? 'tidemark simulate --gpu list' "
	     "has all",
	     name, names);
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
