/* about.c - what is known about the run when it begins: command, host, versions, device.
 * Called from: session.c on the thread of the first device event, under the guard. Reads
 * files; starts nothing. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "about.h"
#include "capabilities.h"
#include "emit.h"
#include "event.h"
#include "nvtx.h"
#include "prepare.h"
#include "provider.h"
#include "real.h"
#include "settings.h"
#include "stacks.h"

static ssize_t read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = 0;
	return n;
}

/* Longest form of a byte in JSON: \\u001f */
enum { QUOTED = 6 };

static char *quote(char *out, const char *s)
{
	*out++ = '"';
	for (; *s; s++)
		if (*s == '"' || *s == '\\') {
			*out++ = '\\';
			*out++ = *s;
		} else if ((unsigned char)*s < 0x20) {
			out += sprintf(out, "\\u%04x", *s);
		} else {
			*out++ = *s;
		}
	*out++ = '"';
	*out = 0;
	return out;
}

/* All of /proc/self/cmdline, in memory of its own: this may be under the allocator's lock,
 * where malloc is not called. A kernel's limit is some megabytes. */
static char *map_command_line(size_t *length, size_t *size)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char *raw = MAP_FAILED;
	ssize_t n = 0;
	*length = 0;
	for (*size = 1 << 16; fd >= 0; *size *= 4, *length = 0) {
		raw = mmap(NULL, *size, PROT_READ | PROT_WRITE,
		           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (raw == MAP_FAILED || lseek(fd, 0, SEEK_SET))
			break;
		while (*length + 1 < *size &&
		       (n = read(fd, raw + *length, *size - 1 - *length)) > 0)
			*length += (size_t)n;
		if (*length + 1 < *size)
			break;
		munmap(raw, *size);
	}
	if (fd >= 0)
		close(fd);
	return raw == MAP_FAILED ? NULL : raw;
}

static void command_line(void)
{
	size_t length, size;
	char *raw = map_command_line(&length, &size);
	if (!raw)
		return;
	/* An argument has its two quotes and ", " in the list; its end was a byte already. */
	const size_t room = (length + 1) * QUOTED + 16;
	char *json = mmap(NULL, room, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (json != MAP_FAILED) {
		char *p = json;
		*p++ = '[';
		for (size_t at = 0; at < length; at += strlen(raw + at) + 1) {
			if (at)
				p += sprintf(p, ", ");
			p = quote(p, raw + at);
		}
		strcpy(p, "]");
		tmk_emit_run("argv", json);
		munmap(json, room);
	}
	for (size_t i = 0; i + 1 < length; i++)
		if (!raw[i])
			raw[i] = ' ';
	tmk_emit_run("command", raw);
	munmap(raw, size);
}

static void place(void)
{
	char text[4096];
	if (!gethostname(text, sizeof(text)))
		tmk_emit_run("host", text);
	if (getcwd(text, sizeof(text)))
		tmk_emit_run("cwd", text);
	command_line();
}

/* Who this process is in its job, as the innermost launcher says it: torchrun and what sets
 * what it sets (accelerate, deepspeed), Open MPI, the launchers of PMI (MPICH, Intel MPI), srun.
 * A batch script of Slurm has SLURM_PROCID too and is no task: only srun tells of a step. */
static void ranks(void)
{
	static const char *const launchers[][4] = {
	        {"RANK", "LOCAL_RANK", "WORLD_SIZE", "RANK"},
	        {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
	         "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
	        {"PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE", "PMI_RANK"},
	        {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS",
	         "SLURM_STEP_NUM_TASKS"},
	};
	static const char *const columns[] = {"rank", "local_rank", "world_size"};

	for (size_t l = 0; l < sizeof(launchers) / sizeof(*launchers); l++) {
		const char *proof = getenv(launchers[l][3]);
		if (!proof || !*proof)
			continue;
		for (int i = 0; i < 3; i++) {
			const char *v = getenv(launchers[l][i]);
			if (v && *v)
				tmk_emit_run_number(columns[i], atoll(v));
		}
		return;
	}
}

/* What the ranks of one job have in common and others have not, each by the name of who gave
 * it; a reader chooses. Where the ranks meet names a host. */
static void job(void)
{
	static const char *const names[][2] = {
	        {"job.simulate",
	         "TIDEMARK_SIM_JOB"}, /* `simulate --rank`: no launcher */
	        {"job.torchrun", "TORCHELASTIC_RUN_ID"},
	        {"job.restart", "TORCHELASTIC_RESTART_COUNT"},
	        {"job.slurm", "SLURM_JOB_ID"},
	        {"job.slurm_step", "SLURM_STEP_ID"},
	        {"job.mpi", "PMIX_NAMESPACE"},
	        {"job.openmpi", "OMPI_MCA_ess_base_jobid"},
	        {"job.pmi", "PMI_JOBID"},
	        {"job.pbs", "PBS_JOBID"},
	        {"job.lsf", "LSB_JOBID"},
	        {"job.ray", "RAY_JOB_ID"},
	};
	const char *address = getenv("MASTER_ADDR"), *port = getenv("MASTER_PORT");
	char text[512];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *v = getenv(names[i][1]);
		if (!v || !*v)
			continue;
		snprintf(text, sizeof(text), "%s", v);
		tmk_emit_meta(names[i][0], text);
	}
	if (tmk_settings.redact || !address || !*address || !port || !*port)
		return;
	snprintf(text, sizeof(text), "%.400s:%.40s", address, port);
	tmk_emit_meta("job.master", text);
}

/* "__version__ = '2.11.0+cu130'" and "cuda: Optional[str] = '13.0'" of torch/version.py,
 * two folders above libc10.so. */
static void quoted_after(const char *text, const char *name, const char *column)
{
	const char *p = text;
	while ((p = strstr(p, name)) && p != text && p[-1] != '\n')
		p++;
	const char *end = p ? strchr(p, '\n') : NULL;
	const char *open = p ? strchr(p, '\'') : NULL;
	if (!open || (end && open > end))
		return;
	char value[256];
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(open + 1, "'"), open + 1);
	tmk_emit_run(column, value);
}

static void cuda_version(const char *name, tmk_cuda_error (*ask)(int *))
{
	int n = 0;
	if (!ask || !tmk_event_may_ask())
		return;
	if (ask(&n))
		tmk_event_forget_error();
	else
		tmk_emit_run_number(name, n);
}

static void versions(void)
{
	char path[4096], text[4096];
	if (tmk_library_path(TMK_LIB_C10, path, sizeof(path) - 32)) {
		for (int up = 0; up < 2; up++) {
			char *slash = strrchr(path, '/');
			if (slash)
				*slash = 0;
		}
		strcat(path, "/version.py");
		if (read_file(path, text, sizeof(text)) > 0) {
			quoted_after(text, "__version__", "torch_version");
			quoted_after(text, "cuda", "cuda_version");
		}
	}
	const char *(*python)(void) =
	        (const char *(*)(void))dlsym(RTLD_DEFAULT, "Py_GetVersion");
	if (python) {
		snprintf(text, sizeof(text), "%s", python());
		text[strcspn(text, " ")] = 0;
		tmk_emit_run("python_version", text);
	}
	cuda_version("cuda_runtime", tmk_real.cudaRuntimeGetVersion);
	cuda_version("cuda_driver", tmk_real.cudaDriverGetVersion);
	if (getenv("TIDEMARK_SIM_PROFILE") || dlsym(RTLD_DEFAULT, "tmksim_version"))
		tmk_emit_run_number("simulated", 1);
}

void tmk_about_device(int index)
{
	char properties[8192] =
	        ""; /* cudaDeviceProp begins with char name[256]; its size
				       differs by major, 1032 bytes at most so far */
	if (!tmk_real.cudaGetDeviceProperties || !tmk_event_may_ask())
		return;
	if (tmk_real.cudaGetDeviceProperties(properties, index)) {
		tmk_event_forget_error();
		return;
	}
	properties[255] = 0;
	tmk_emit_text(TMK_REC_DEVICE, 1, (uint32_t)index, 0, 1,
	              (const char *[]){properties});
}

/* How the caching allocator was told to behave: a replay needs it. The newer name comes first,
 * as in torch. */
static void allocator_settings(void)
{
	const char *text = getenv("PYTORCH_ALLOC_CONF");

	if (!text || !*text)
		text = getenv("PYTORCH_CUDA_ALLOC_CONF");
	if (text && *text)
		tmk_emit_meta("alloc_conf", text);
}

void tmk_about_run(void)
{
	if (tmk_settings.verbose)
		tmk_say("tracing %s, stacks %s, into '%s'",
		        tmk_traces_cpu() ? "CPU and CUDA tensors" : "CUDA tensors",
		        tmk_settings.stacks, tmk_rings.header->trace);
	tmk_emit_run("stacks", tmk_settings.stacks);
	tmk_emit_run_number("cpu", tmk_traces_cpu());
	tmk_emit_run_number("pid", getpid());
	ranks();
	job();
	if (!tmk_settings.redact)
		place();
	versions();
	if (*tmk_settings.run_id)
		tmk_emit_meta("run_id", tmk_settings.run_id);
	allocator_settings();
	tmk_stacks_init();
	tmk_report_capabilities();
	tmk_nvtx_report();
	if (tmk_real.cudaGetDevice && !tmk_traces_cpu())
		tmk_about_device(tmk_event_device().index);
}
