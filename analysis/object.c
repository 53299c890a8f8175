/* object.c - what an executable or a shared object says about itself.
 * Files are mapped and every offset is checked: what is looked at may be anything. */
#include "object.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "heap.h"

struct image {
	const unsigned char *data;
	size_t size;
	mode_t mode;
	uid_t owner;
};

static int map_image(const char *path, struct image *image)
{
	struct stat st;
	void *data = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
		data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return -1;
	*image = (struct image){data, (size_t)st.st_size, st.st_mode, st.st_uid};
	return 0;
}

static void unmap_image(struct image *image)
{
	munmap((void *)(uintptr_t)image->data, image->size);
}

/* count things of a size at an offset, or NULL where they don't fit into the file. */
static const void *piece(const struct image *image, uint64_t offset, uint64_t count,
                         uint64_t size)
{
	if (offset > image->size || count > (image->size - offset) / size)
		return NULL;
	return image->data + offset;
}

static bool is_elf(const struct image *image)
{
	return image->size >= sizeof(Elf64_Ehdr) &&
	       !memcmp(image->data, ELFMAG, SELFMAG);
}

static enum program_kind elf_kind(const struct image *image, const char *path)
{
	const Elf64_Ehdr *head = (const void *)image->data;
	const Elf64_Phdr *segments;

	if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_machine != EM_X86_64)
		return PROGRAM_FOREIGN;
	segments = piece(image, head->e_phoff, head->e_phnum, sizeof(*segments));
	if (!segments)
		return PROGRAM_UNKNOWN;
	if (((image->mode & S_ISUID) && image->owner != geteuid()) ||
	    (image->mode & S_ISGID) ||
	    (geteuid() && getxattr(path, "security.capability", NULL, 0) > 0))
		return PROGRAM_PRIVILEGED;
	for (int i = 0; i < head->e_phnum; i++)
		if (segments[i].p_type == PT_INTERP)
			return PROGRAM_DYNAMIC;
	return PROGRAM_STATIC;
}

/* "#!/usr/bin/python3 -u": the path after the marks. */
static bool interpreter(const struct image *image, char *path, size_t size)
{
	size_t at = 2, used = 0;

	if (image->size < 3 || memcmp(image->data, "#!", 2) != 0)
		return false;
	while (at < image->size && (image->data[at] == ' ' || image->data[at] == '\t'))
		at++;
	while (at < image->size && used + 1 < size && image->data[at] > ' ')
		path[used++] = (char)image->data[at++];
	path[used] = 0;
	return used > 0;
}

enum program_kind program_kind(const char *path)
{
	enum program_kind kind = PROGRAM_UNKNOWN;
	struct image image, target;
	char next[PATH_MAX];

	if (map_image(path, &image))
		return PROGRAM_UNKNOWN;
	if (is_elf(&image)) {
		kind = elf_kind(&image, path);
	} else if (interpreter(&image, next, sizeof(next)) &&
	           !map_image(next, &target)) {
		if (is_elf(&target))
			kind = elf_kind(&target, next);
		unmap_image(&target);
	}
	unmap_image(&image);
	return kind;
}

struct symbols {
	struct image image;
	const char **names; /* sorted; they point into the image */
	size_t count;
};

static int by_name(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The names of a table of symbols, and room for them. */
static void collect(struct symbols *symbols, const Elf64_Shdr *table,
                    const Elf64_Shdr *strings)
{
	const struct image *image = &symbols->image;
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);
	const Elf64_Sym *list = piece(image, table->sh_offset, count, sizeof(*list));
	const char *text = piece(image, strings->sh_offset, strings->sh_size, 1);

	/* Without a last zero a name could run off the end of the file. */
	if (!list || !text || !strings->sh_size || text[strings->sh_size - 1])
		return;
	symbols->names = allocate(count * sizeof(*symbols->names));
	for (uint64_t i = 0; i < count; i++)
		if (list[i].st_shndx != SHN_UNDEF && list[i].st_name < strings->sh_size)
			symbols->names[symbols->count++] = text + list[i].st_name;
	qsort(symbols->names, symbols->count, sizeof(*symbols->names), by_name);
}

struct symbols *symbols_open(const char *path)
{
	struct symbols *symbols = allocate(sizeof(*symbols));
	const Elf64_Ehdr *head;
	const Elf64_Shdr *sections;

	if (map_image(path, &symbols->image)) {
		free(symbols);
		return NULL;
	}
	head = (const void *)symbols->image.data;
	if (!is_elf(&symbols->image) || head->e_ident[EI_CLASS] != ELFCLASS64) {
		symbols_close(symbols);
		return NULL;
	}
	sections =
	        piece(&symbols->image, head->e_shoff, head->e_shnum, sizeof(*sections));
	for (int i = 0; sections && i < head->e_shnum; i++)
		if (sections[i].sh_type == SHT_DYNSYM &&
		    sections[i].sh_link < head->e_shnum)
			collect(symbols, &sections[i], &sections[sections[i].sh_link]);
	return symbols;
}

bool symbols_define(const struct symbols *symbols, const char *name)
{
	return bsearch(&name, symbols->names, symbols->count, sizeof(*symbols->names),
	               by_name);
}

void symbols_close(struct symbols *symbols)
{
	unmap_image(&symbols->image);
	free(symbols->names);
	free(symbols);
}
