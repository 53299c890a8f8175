/* elfsym.c - the functions of an ELF file, sorted by address.
 *
 * Called from: objects.c, on the writer thread or in recovery. Owns: one table per
 * file.
 *
 * Read with pread, never mapped: a file that shrinks while it is mapped (a library
 * upgraded in place) kills the process with SIGBUS, and the process is not ours. Names
 * stay in the file (libtorch's are tens of megabytes) and are read when asked for. No
 * descriptor stays open. Every number in the file is a stranger's: checked before use.
 */
#include "elfsym.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct function {
	uint64_t address;
	uint32_t size; /* of one without a size: to the end of its section */
	uint32_t name; /* offset among the strings */
	uint8_t rank;  /* of aliases the lowest is named */
	uint8_t sized; /* 0: hand-written code; ends where the next one begins */
};

struct tmk_elfsym {
	struct function *f;
	size_t count;
	uint64_t strings, strings_size; /* where in the file */
	dev_t device;
	ino_t inode;
	off_t size;
	char path[];
};

enum { MAX_SECTIONS = 1 << 16, MAX_SYMBOLS = 1 << 26, CHUNK = 1024 };

static int read_at(int fd, void *to, size_t n, uint64_t at)
{
	char *p = to;
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -ENOEXEC;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static int inside_file(uint64_t at, uint64_t n, off_t size)
{
	return at <= (uint64_t)size && n <= (uint64_t)size - at;
}

/* The section headers, malloc'ed. */
static int read_sections(int fd, off_t size, Elf64_Shdr **out, size_t *count)
{
	Elf64_Ehdr h;
	if (read_at(fd, &h, sizeof(h), 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_machine != EM_X86_64)
		return -ENOEXEC;
	size_t n = h.e_shnum;
	if (n == 0)
		return -ENODATA;
	if (h.e_shentsize != sizeof(Elf64_Shdr) || n > MAX_SECTIONS ||
	    !inside_file(h.e_shoff, n * sizeof(Elf64_Shdr), size))
		return -ENOEXEC;
	Elf64_Shdr *s = malloc(n * sizeof(*s));
	if (!s)
		return -ENOMEM;
	int rc = read_at(fd, s, n * sizeof(*s), h.e_shoff);
	if (rc) {
		free(s);
		return rc;
	}
	*out = s;
	*count = n;
	return 0;
}

static int by_address(const void *left, const void *right)
{
	const struct function *a = left, *b = right;
	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

/* Of aliases: global before weak before local. */
static uint8_t rank_of(const Elf64_Sym *s)
{
	int bind = ELF64_ST_BIND(s->st_info);
	return bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;
}

static int is_function(const Elf64_Sym *s, uint64_t strings_size)
{
	int type = ELF64_ST_TYPE(s->st_info);
	return (type == STT_FUNC || type == STT_GNU_IFUNC) &&
	       s->st_shndx != SHN_UNDEF && s->st_value != 0 && s->st_name != 0 &&
	       s->st_name < strings_size;
}

static struct function function_of(const Elf64_Sym *y, const Elf64_Shdr *s,
                                   size_t count)
{
	uint64_t size = y->st_size;
	if (size == 0 && y->st_shndx < count && y->st_value >= s[y->st_shndx].sh_addr &&
	    y->st_value - s[y->st_shndx].sh_addr < s[y->st_shndx].sh_size)
		size = s[y->st_shndx].sh_size - (y->st_value - s[y->st_shndx].sh_addr);
	return (struct function){.address = y->st_value,
	                         .size = size > UINT32_MAX ? UINT32_MAX
	                                                   : (uint32_t)size,
	                         .name = y->st_name,
	                         .rank = rank_of(y),
	                         .sized = y->st_size != 0};
}

/* The functions of section `table`, one of `count` sections s. */
static int read_functions(int fd, const Elf64_Shdr *s, size_t count,
                          const Elf64_Shdr *table, struct tmk_elfsym *e)
{
	const Elf64_Shdr *strings = &s[table->sh_link];
	Elf64_Sym chunk[CHUNK];
	size_t n = table->sh_size / sizeof(*chunk), kept = 0;
	if (n > MAX_SYMBOLS)
		return -ENOEXEC;
	struct function *f = malloc((n ? n : 1) * sizeof(*f));
	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += CHUNK) {
		size_t some = n - i < CHUNK ? n - i : CHUNK;
		int rc = read_at(fd, chunk, some * sizeof(*chunk),
		                 table->sh_offset + i * sizeof(*chunk));
		if (rc) {
			free(f);
			return rc;
		}
		for (size_t k = 0; k < some; k++)
			if (is_function(&chunk[k], strings->sh_size))
				f[kept++] = function_of(&chunk[k], s, count);
	}
	if (kept == 0) {
		free(f);
		return -ENODATA;
	}
	qsort(f, kept, sizeof(*f), by_address);
	size_t unique = 1;
	for (size_t i = 1; i < kept; i++)
		if (f[i].address != f[unique - 1].address)
			f[unique++] = f[i];
	struct function *less = realloc(f, unique * sizeof(*f));
	e->f = less ? less : f;
	e->count = unique;
	e->strings = strings->sh_offset;
	e->strings_size = strings->sh_size;
	return 0;
}

/* The first usable table of the type. */
static int read_table(int fd, const Elf64_Shdr *s, size_t count, uint32_t type,
                      struct tmk_elfsym *e)
{
	for (size_t i = 0; i < count; i++) {
		if (s[i].sh_type != type || s[i].sh_entsize != sizeof(Elf64_Sym) ||
		    s[i].sh_link >= count)
			continue;
		const Elf64_Shdr *strings = &s[s[i].sh_link];
		if (strings->sh_type != SHT_STRTAB ||
		    !inside_file(s[i].sh_offset, s[i].sh_size, e->size) ||
		    !inside_file(strings->sh_offset, strings->sh_size, e->size))
			return -ENOEXEC;
		return read_functions(fd, s, count, &s[i], e);
	}
	return -ENODATA;
}

/* Only regular files: a path in a saved list may name anything, a pipe included. */
static int open_file(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
		close(fd);
		return -ENOEXEC;
	}
	return fd;
}

int tmk_elfsym_open(const char *path, struct tmk_elfsym **out)
{
	struct stat st;
	Elf64_Shdr *sections = NULL;
	size_t count = 0, length = strlen(path) + 1;
	int fd = open_file(path, &st);
	if (fd < 0)
		return fd;
	int rc = -ENOMEM;
	struct tmk_elfsym *e = calloc(1, sizeof(*e) + length);
	if (!e)
		goto close_file;
	memcpy(e->path, path, length);
	e->device = st.st_dev;
	e->inode = st.st_ino;
	e->size = st.st_size;
	rc = read_sections(fd, e->size, &sections, &count);
	if (!rc)
		rc = read_table(fd, sections, count, SHT_SYMTAB, e);
	if (rc && rc != -ENOMEM && sections)
		rc = read_table(fd, sections, count, SHT_DYNSYM, e);
	free(sections);
	if (rc)
		free(e);
	else
		*out = e;
close_file:
	close(fd);
	return rc;
}

void tmk_elfsym_close(struct tmk_elfsym *e)
{
	if (e)
		free(e->f);
	free(e);
}

/* The innermost function over the address: the nearest start at or below it; a few more
 * back where that one has ended (a cold part inside another's range). */
static const struct function *function_at(const struct tmk_elfsym *e, uint64_t address)
{
	size_t low = 0, high = e->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (e->f[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t back = 0; back < 8 && back < low; back++) {
		const struct function *f = &e->f[low - 1 - back];
		if (address - f->address < f->size && (back == 0 || f->sized))
			return f;
	}
	return NULL;
}

int tmk_elfsym_name(const struct tmk_elfsym *e, uint64_t address, char *name, size_t n,
                    uint64_t *inside)
{
	const struct function *f = function_at(e, address);
	struct stat st;
	if (!f || n == 0)
		return -ENOENT;
	int fd = open_file(e->path, &st);
	if (fd < 0)
		return -ENOENT;
	int rc = -ENOENT;
	if (st.st_dev == e->device && st.st_ino == e->inode && st.st_size == e->size) {
		uint64_t left = e->strings_size - f->name;
		size_t want = left < n - 1 ? (size_t)left : n - 1;
		rc = read_at(fd, name, want, e->strings + f->name) ? -ENOENT : 0;
		name[rc ? 0 : want] = 0;
	}
	close(fd);
	*inside = address - f->address;
	return rc;
}
