/* simulation.c - around a simulated run: its settings, its machine, how it failed.
 * Called from: commands/simulate.c. */
#include "simulation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "quantity.h"
#include "ranks.h"
#include "scratch.h"

enum { DEVICES = 64 }; /* as many as the simulator has room for */

static void set_number(const char *name, int64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, number);
	setenv(name, text, 1);
}

/* Sizes go on as plain bytes: what "24GB" means is decided here. otherwise: the
 * environment's own. */
static int64_t set_size(const struct options *options, enum option_id id,
                        const char *name)
{
	const char *text = options->value[id];
	int64_t bytes = 0;
	bool given = text;

	if (!given)
		text = getenv(name);
	if (!text || !*text)
		return 0;
	if (quantity_size(text, &bytes) != QUANTITY_GOOD) {
		if (given)
			fail(STATUS_USAGE, "'--%s' takes a size like 24GiB, not '%s'",
			     option_table[id].name, text);
		fail(STATUS_USAGE, "%s is a size like 24GiB, not '%s'", name, text);
	}
	if (given && bytes > 0 && bytes < 1024)
		fail(STATUS_USAGE,
		     "'--%s %s' says %" PRId64 " bytes; did you mean '%s%s'?",
		     option_name(id), text, bytes, text,
		     id == OPT_SIM_MEMORY ? "GiB" : "MiB");
	set_number(name, bytes);
	return bytes;
}

static void set_memory(const struct options *options, size_t cards)
{
	static const char name[] = "TIDEMARK_SIM_MEMORY";
	const int64_t least = INT64_C(64) << 20, most = INT64_C(4) << 40;
	int64_t bytes = set_size(options, OPT_SIM_MEMORY, name);

	if (bytes && cards > 1)
		fail(STATUS_USAGE, "'--memory' is of one card, and '--gpu' names %zu",
		     cards);
	if ((bytes || options->value[OPT_SIM_MEMORY]) &&
	    (bytes < least || bytes > most))
		fail(STATUS_USAGE,
		     "'--memory' must be between 64 MiB and 4 TiB, not '%s'",
		     options->value[OPT_SIM_MEMORY] ? options->value[OPT_SIM_MEMORY]
		                                    : getenv(name));
	if (!bytes)
		unsetenv(name);
}

static void set_values(const struct options *options)
{
	static const char *const known[] = {"plausible", "computed", "memory", "zero",
	                                    "nan"};
	int choice = option_choice(options, OPT_SIM_VALUES, known, 5);

	if (choice >= 0)
		setenv("TIDEMARK_SIM_VALUES", known[choice], 1);
}

/* Ranks that are simulated one after the other are one job where program, words and world are the
 * same: where they "meet" is another port each time. */
static void name_job(const struct options *options, int64_t world)
{
	uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a */
	char name[40];

	for (int i = 0; i < options->count; i++)
		for (const char *at = options->words[i];; at++) {
			sum = (sum ^ (unsigned char)*at) * 0x100000001b3u;
			if (!*at)
				break;
		}
	snprintf(name, sizeof(name), "%08" PRIx32 " of %" PRId64 " ranks",
	         (uint32_t)(sum ^ sum >> 32), world);
	setenv("TIDEMARK_SIM_JOB", name, 1);
}

/* One process poses as a rank: its launcher's variables, as torchrun sets them. */
static void set_rank(const struct options *options, int64_t devices)
{
	int64_t rank = 0, world = 1;
	bool has_rank = option_number(options, OPT_SIM_RANK, &rank);
	bool has_world = option_number(options, OPT_SIM_WORLD, &world);

	if (!has_rank && !has_world)
		return;
	if (!has_world)
		fail(STATUS_USAGE, "'--rank' needs '--world N': of how many?");
	if (world < 1 || rank >= world)
		fail(STATUS_USAGE,
		     "'--rank' counts from 0: there is no rank %" PRId64 " of %" PRId64,
		     rank, world);
	name_job(options, world);
	set_number("RANK", rank);
	set_number("WORLD_SIZE", world);
	set_number("LOCAL_RANK", rank % devices);
	set_number("LOCAL_WORLD_SIZE", devices < world ? devices : world);
	/* As under torchrun: the store is another process's, and the ranks its clients. */
	setenv("MASTER_ADDR", "127.0.0.1", 1);
	set_number("MASTER_PORT", ranks_serve(world));
	setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
	setenv("TORCHELASTIC_RESTART_COUNT", "0", 1);
}

int64_t simulation_settings(const struct options *options, size_t cards)
{
	const char *already = getenv("TIDEMARK_SIM_COUNT");
	int64_t devices = already && atoll(already) > 0 ? atoll(already) : 1, number;

	if (option_number(options, OPT_SIM_COUNT, &devices)) {
		if (devices < 1 || devices > DEVICES)
			fail(STATUS_USAGE, "'--count' must be between 1 and %d",
			     DEVICES);
		set_number("TIDEMARK_SIM_COUNT", devices);
	}
	if (option_number(options, OPT_SIM_LAG, &number))
		set_number("TIDEMARK_SIM_LAG", number);
	if (option_number(options, OPT_SIM_DENSITY, &number)) {
		if (number > 100)
			fail(STATUS_USAGE, "'--density' is a percentage, not %" PRId64,
			     number);
		set_number("TIDEMARK_SIM_DENSITY", number);
	}
	set_size(options, OPT_SIM_KNOWN, "TIDEMARK_SIM_KNOWN");
	set_memory(options, cards);
	set_values(options);
	set_rank(options, devices);
	return set_size(options, OPT_SIM_OUTSIDE, "TIDEMARK_SIM_OUTSIDE");
}

void simulation_machine(void)
{
	FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
	int mode = 0;

	if (!access("/dev/nvidiactl", F_OK))
		note("this machine has an NVIDIA GPU; the simulated one is used, not "
		     "that");
	if (file && fscanf(file, "%d", &mode) == 1 && mode == 2)
		warn("vm.overcommit_memory is 2: device memory is address space here, "
		     "and the "
		     "kernel may refuse it; 'sysctl vm.overcommit_memory=0' allows it");
	if (file)
		fclose(file);
}

char *simulation_log(void)
{
	static char *path;
	const char *own = getenv("TIDEMARK_SIM_LOG");

	if (!path && (!own || !*own)) {
		path = scratch_path();
		if (path)
			setenv("TIDEMARK_SIM_LOG", path, 1);
	}
	return copy_text(getenv("TIDEMARK_SIM_LOG"));
}

FILE *simulation_json(const char *path)
{
	FILE *file;

	if (!path)
		return NULL;
	file = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (!file)
		fail(STATUS_USAGE, "cannot write '%s': %s", path, strerror(errno));
	return file;
}

int simulation_failed(const struct outcome *outcome, const char *compile_lacks)
{
	const char *card = outcome->card->gpu;
	int status = outcome->status;

	if (status == 128 + 9)
		warn("no verdict for %s: the program was killed (signal 9); was the "
		     "machine's "
		     "own memory too small for its CPU tensors?",
		     card);
	else if (status > 128)
		warn("no verdict for %s: the program was ended by signal %d, and had "
		     "not run "
		     "out of device memory",
		     card, status - 128);
	else if (status)
		warn("no verdict for %s: the program ended with status %d, and had not "
		     "run "
		     "out of device memory",
		     card, status);
	else
		warn("no verdict for %s: the program never allocated device memory "
		     "through "
		     "PyTorch",
		     card);
	/* Which of its own errors ended the program is on its stderr; what would make
	 * torch.compile fail on this machine is known here. */
	if (status && status < 128 && *compile_lacks)
		note("if that was torch.compile: this machine has %s", compile_lacks);
	if (getenv("CUDA_VISIBLE_DEVICES"))
		note("CUDA_VISIBLE_DEVICES is '%s': simulated devices are hidden by it "
		     "as real ones are",
		     getenv("CUDA_VISIBLE_DEVICES"));
	if (status && outcome->assumptions.refused)
		note("not simulated, and it was told so: %s",
		     outcome->assumptions.refused);
	if (!status)
		return STATUS_UNREADABLE;
	/* 1 to 3 are answers of ours, and Python's own failure is 1 */
	return status > STATUS_UNREADABLE ? status : STATUS_PROGRAM;
}
