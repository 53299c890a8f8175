/* fuzz_card.c - a card's profile, as anybody may write it, before both that read it: the
 * command and the simulated device. What the device takes, both must have read alike: a
 * verdict is the command's, and the memory is the device's. AFL++ runs it once per input.
 *
 * usage: fuzz_card INPUT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "card.h"
#include "profile.h"

const char tmksim_default_profile[] = ""; /* none is asked for */

static void expect(const char *key, int64_t command, size_t device)
{
	if ((uint64_t)command == device)
		return;
	fprintf(stderr, "%s: %lld for the command, %zu for the device\n", key,
	        (long long)command, device);
	abort();
}

int main(int argc, char **argv)
{
	char uuid[64], path[4096];
	if (argc != 2)
		return 2;
	/* with a slash it is a file */
	snprintf(path, sizeof(path), "%s%s", strchr(argv[1], '/') ? "" : "./", argv[1]);
	struct profile profile = profile_find(path);
	setenv("TIDEMARK_SIM_PROFILE", path, 1);
	const struct tmksim_card *card = tmksim_card();
	expect("memory_bytes", profile.memory_bytes, card->memory_bytes);
	expect("context_bytes", profile.context_bytes, card->context_bytes);
	if (!profile.product || strcmp(profile.product, card->name) != 0) {
		fprintf(stderr, "name: '%s' and '%s'\n",
		        profile.product ? profile.product : "", card->name);
		abort();
	}
	if (card->major < 5 || card->major > 12) {
		fprintf(stderr, "compute capability: %d\n", card->major);
		abort();
	}
	tmksim_uuid_text(tmksim_machine_count() - 1, uuid, sizeof(uuid));
	profile_free(&profile);
	return 0;
}
