/* python.c - a Python and its torch, without importing torch: an import needs what the
 * question is about.
 * Called from: commands/doctor.c, commands/simulate.c, doctor_simulate.c. */
#include "python.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "launch.h"

/* Prints six lines: executable, version, free-threaded or not, torch's folder, torch's
 * version file, what torch.compile lacks. A program's own folder is on sys.path, the current one is not. */
static const char question[] =
        "import sys, sysconfig, importlib.util, os\n"
        "sys.path = [p for p in sys.path if p]\n"
        "print(os.path.realpath(sys.executable)); print('%d.%d.%d' % "
        "sys.version_info[:3])\n"
        "print(1 if sysconfig.get_config_var('Py_GIL_DISABLED') else 0)\n"
        "s = importlib.util.find_spec('torch')\n"
        "d = s.submodule_search_locations[0] if s and s.submodule_search_locations "
        "else ''\n"
        "print(d); print(os.path.join(d, 'version.py') if d else '')\n"
        "import re, shutil\n"
        "def lacks():\n"
        "  if not importlib.util.find_spec('triton'):\n"
        "    try:\n"
        "      from importlib.metadata import requires\n"
        "      n = [re.match(r'triton==[\\w.]+', r) for r in requires('torch') or []]\n"
        "    except Exception: n = []\n"
        "    n = [m[0] for m in n if m] or ['triton']\n"
        "    return \"no Triton; 'pip install %s'\" % n[0]\n"
        "  if not any(map(shutil.which, [os.environ.get('CC') or 'cc', 'gcc', "
        "'clang'])):\n"
        "    return 'no C compiler for its launchers; install gcc, or set CC'\n"
        "  if not os.path.exists(sysconfig.get_path('include') + '/Python.h'):\n"
        "    return 'no Python.h for its launchers; install python%d.%d-dev' % "
        "sys.version_info[:2]\n"
        "  return ''\n"
        "print(lacks() if d else '')\n";

static FILE *ask(const char *python, pid_t *child)
{
	int ends[2];

	if (pipe(ends))
		return NULL;
	*child = fork();
	if (!*child) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		unsetenv("LD_PRELOAD");
		execl(python, python, "-c", question, (char *)NULL);
		_exit(NOT_FOUND);
	}
	close(ends[1]);
	return fdopen(ends[0], "r");
}

static char *line(FILE *from)
{
	char *text = NULL;
	size_t size = 0;

	if (getline(&text, &size, from) < 0) {
		free(text);
		return copy_text("");
	}
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* The value of `name = 'value'` or `name: str = 'value'` in torch/version.py. */
static char *version_value(const char *file, const char *name)
{
	FILE *from = fopen(file, "r");
	char *found = NULL, text[256];

	while (from && !found && fgets(text, sizeof(text), from)) {
		char *equals = strchr(text, '='), *quote, *end;
		size_t length = strlen(name);
		if (strncmp(text, name, length) || !equals ||
		    !strchr(" :=", text[length]))
			continue;
		quote = strpbrk(equals, "'\"");
		end = quote ? strchr(quote + 1, *quote) : NULL;
		if (end) {
			*end = 0;
			found = copy_text(quote + 1);
		}
	}
	if (from)
		fclose(from);
	return found;
}

bool python_ask(const char *program, struct python *python)
{
	int status = -1;
	char *free_threaded, *file;
	pid_t child;
	FILE *from = ask(program, &child);

	*python = (struct python){0};
	if (!from)
		return false;
	python->path = line(from);
	python->version = line(from);
	free_threaded = line(from);
	python->torch = line(from);
	file = line(from);
	python->compile_lacks = line(from);
	fclose(from);
	waitpid(child, &status, 0);
	sscanf(python->version, "%d.%d", &python->major, &python->minor);
	python->free_threaded = *free_threaded == '1';
	if (status)
		python->major = 0;
	if (*file) {
		python->torch_version = version_value(file, "__version__");
		python->cuda = version_value(file, "cuda");
	}
	free(free_threaded);
	free(file);
	return true;
}

static bool is_python(const char *word)
{
	const char *slash = strrchr(word, '/');
	return !strncmp(slash ? slash + 1 : word, "python", 6);
}

/* The Python that a script's first line names, through env(1) too; NULL. */
static char *of_script(const char *path)
{
	char first[512] = "", *word, *rest = NULL;
	FILE *file = fopen(path, "re");
	int status;

	if (!file)
		return NULL;
	if (!fgets(first, sizeof(first), file) || strncmp(first, "#!", 2) != 0)
		*first = 0;
	fclose(file);
	for (word = strtok_r(first + (*first ? 2 : 0), " \t\r\n", &rest); word;
	     word = strtok_r(NULL, " \t\r\n", &rest))
		if (is_python(word))
			return launch_lookup(word, &status);
	return NULL;
}

char *python_of(const char *program, char **words)
{
	char *found;
	int status;

	if (is_python(words[0]))
		return copy_text(program);
	found = of_script(program);
	/* `env X=1 python train.py`, `timeout 60 python train.py` */
	for (int i = 1; words[i] && !found; i++)
		if (is_python(words[i]))
			found = launch_lookup(words[i], &status);
	return found ? found : launch_lookup("python3", &status);
}

int python_cuda_major(const struct python *python)
{
	return python->cuda ? atoi(python->cuda) : 0;
}

void python_free(struct python *python)
{
	free(python->path);
	free(python->version);
	free(python->torch);
	free(python->torch_version);
	free(python->cuda);
	free(python->compile_lacks);
}

void python_json(const struct python *python, struct json *json)
{
	json_object(json, "tidemark");
	json_text(json, "version", TIDEMARK_VERSION);
	json_null(json, "schema");
	json_end(json);
	json_text(json, "python", python->path);
	json_text(json, "python_version", python->version);
	json_text(json, "torch", python->torch);
	json_text(json, "torch_version", python->torch_version);
	json_text(json, "cuda_version", python->cuda);
}
