/* stubs.c - the simulated device's libraries: where they are, and what of the environment
 * puts them in the place of NVIDIA's. docs/simulator.md says how they work.
 * Called from: commands/, run/. */
#include "stubs.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

static char *existing(const char *path)
{
	char real[PATH_MAX];
	return realpath(path, real) && !access(real, R_OK) ? copy_text(real) : NULL;
}

char *stubs_beside(const char *const *places, const char *last_resort)
{
	char self[PATH_MAX], *found = NULL;
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = 0;
	if (length > 0)
		*strrchr(self, '/') = 0;
	for (; *places && !found; places++) {
		char *path = format_text("%s/%s", self, *places);
		found = existing(path);
		free(path);
	}
	return found ? found : existing(last_resort);
}

char *stubs_folder(int major)
{
	char *places[5] = {
	        format_text("../simulator/sim%d", major),
	        format_text("../lib/x86_64-linux-gnu/tidemark/sim%d", major),
	        format_text("../lib/tidemark/sim%d", major),
	        format_text("../lib64/tidemark/sim%d", major),
	};
	char *last_resort = format_text(TIDEMARK_LIBDIR "/tidemark/sim%d", major);
	char *found = stubs_beside((const char *const *)places, last_resort);

	for (int i = 0; places[i]; i++)
		free(places[i]);
	free(last_resort);
	return found;
}

char **stubs_list(const char *folder, size_t *count)
{
	char *pattern = format_text("%s/libtmksim_*.so", folder);
	glob_t found = {0};
	char **list;

	glob(pattern, 0, NULL, &found);
	list = allocate((found.gl_pathc + 1) * sizeof(*list));
	for (*count = 0; *count < found.gl_pathc; ++*count)
		list[*count] = copy_text(found.gl_pathv[*count]);
	globfree(&found);
	free(pattern);
	return list;
}

void stubs_list_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static void add_to_pythonpath(const char *stubs, const char *name)
{
	const char *already = getenv("PYTHONPATH");
	char *path = already && *already
	                     ? format_text("%s/../%s:%s", stubs, name, already)
	                     : format_text("%s/../%s", stubs, name);

	setenv("PYTHONPATH", path, 1);
	free(path);
}

void stubs_prepare(const char *folder)
{
	const char *already = getenv("LD_PRELOAD");
	char *preload = copy_text(already ? already : "");
	char *driver = format_text("%s/driver", folder);
	size_t count;
	char **list = stubs_list(folder, &count);

	if (folder[strcspn(folder, ": ")])
		fail(STATUS_USAGE,
		     "'%s' has a blank or a colon in its path, which LD_PRELOAD cannot "
		     "hold",
		     folder);
	for (size_t i = 0; i < count; i++) {
		char *longer =
		        format_text("%s%s%s", preload, *preload ? ":" : "", list[i]);
		free(preload);
		preload = longer;
	}
	setenv("LD_PRELOAD", preload, 1);
	setenv("TRITON_LIBCUDA_PATH", driver, 1);
	add_to_pythonpath(folder, "with");
	stubs_list_free(list, count);
	free(driver);
	free(preload);
}

void stubs_pose(const char *folder)
{
	add_to_pythonpath(folder, "posing");
}

int stubs_accept(const char *folder)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (!child) {
		/* The core lies beside the folders of both majors. */
		char *path = format_text("%s/../libtmksim_core.so", folder);
		void *core = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		const void *(*card)(void) = NULL;
		if (core)
			*(void **)&card = dlsym(core, "tmksim_card");
		if (!card)
			warn("cannot load the simulated device: %s", dlerror());
		else
			card(); /* ends this child where a value is impossible */
		_exit(card ? STATUS_DONE : STATUS_USAGE);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return status ? -1 : 0;
}
