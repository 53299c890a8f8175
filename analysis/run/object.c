/* object.c - what an executable or a shared object says about itself.
 * Files are mapped and every offset is checked: what is looked at may be anything.
 * Called from: commands/doctor.c, coverage.c, tracing.c. */
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

struct names {
	const char **list; /* they point into the image */
	size_t count, room;
};

struct symbols {
	struct image image;
	struct names defined, libraries, versions; /* defined is sorted */
	struct want *wants;
	size_t want_count;
	const char *soname;
};

/* One section and the texts it points into. */
struct section {
	const Elf64_Shdr *head;
	const unsigned char *data;
	const char *text;
	uint64_t text_size;
};

static int by_name(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void add(struct names *names, const char *name)
{
	names->list =
	        grow(names->list, names->count, &names->room, sizeof(*names->list));
	names->list[names->count++] = name;
}

static const char *text_at(const struct section *section, uint64_t offset)
{
	return offset < section->text_size ? section->text + offset : "";
}

/* The section of a type, or false where there is none or it is damaged. */
static bool find_section(const struct image *image, uint32_t type,
                         struct section *section)
{
	const Elf64_Ehdr *head = (const void *)image->data;
	const Elf64_Shdr *all =
	        piece(image, head->e_shoff, head->e_shnum, sizeof(*all));

	for (int i = 0; all && i < head->e_shnum; i++) {
		const Elf64_Shdr *strings;
		if (all[i].sh_type != type || all[i].sh_link >= head->e_shnum)
			continue;
		strings = &all[all[i].sh_link];
		section->head = &all[i];
		section->data = piece(image, all[i].sh_offset, all[i].sh_size, 1);
		section->text = piece(image, strings->sh_offset, strings->sh_size, 1);
		section->text_size = strings->sh_size;
		/* Without a last zero a name could run off the end of the file. */
		return section->data && section->text && strings->sh_size &&
		       !section->text[strings->sh_size - 1];
	}
	return false;
}

/* Whose version node an index of the symbol table stands for. */
static void find_version(const struct image *image, unsigned index, struct want *want)
{
	struct section needs;
	uint64_t at = 0;

	if (!find_section(image, SHT_GNU_verneed, &needs))
		return;
	for (uint32_t n = 0; n < needs.head->sh_info; n++) {
		const Elf64_Verneed *need = (const void *)(needs.data + at);
		uint64_t item = at + (at + sizeof(*need) <= needs.head->sh_size
		                              ? need->vn_aux
		                              : needs.head->sh_size);
		if (at + sizeof(*need) > needs.head->sh_size)
			return;
		for (int i = 0; i < need->vn_cnt; i++) {
			const Elf64_Vernaux *aux = (const void *)(needs.data + item);
			if (item + sizeof(*aux) > needs.head->sh_size)
				return;
			if ((aux->vna_other & 0x7fff) == index) {
				want->library = text_at(&needs, need->vn_file);
				want->version = text_at(&needs, aux->vna_name);
				return;
			}
			item += aux->vna_next;
		}
		at += need->vn_next;
	}
}

/* Weak symbols may be missing: who wants them asks first. */
static void collect_symbols(struct symbols *symbols)
{
	struct section table, versions;
	const Elf64_Half *version = NULL;
	const Elf64_Sym *list;
	uint64_t count;

	if (!find_section(&symbols->image, SHT_DYNSYM, &table))
		return;
	list = (const void *)table.data;
	count = table.head->sh_size / sizeof(*list);
	if (find_section(&symbols->image, SHT_GNU_versym, &versions) &&
	    versions.head->sh_size / sizeof(*version) >= count)
		version = (const void *)versions.data;
	symbols->wants = allocate((count + 1) * sizeof(*symbols->wants));
	for (uint64_t i = 0; i < count; i++) {
		struct want want = {text_at(&table, list[i].st_name), NULL, NULL};
		if (list[i].st_shndx != SHN_UNDEF) {
			add(&symbols->defined, want.name);
		} else if (*want.name && ELF64_ST_BIND(list[i].st_info) != STB_WEAK) {
			if (version && version[i] > 1)
				find_version(&symbols->image, version[i] & 0x7fff,
				             &want);
			symbols->wants[symbols->want_count++] = want;
		}
	}
	if (symbols->defined.count)
		qsort(symbols->defined.list, symbols->defined.count, sizeof(char *),
		      by_name);
}

static void collect_dynamic(struct symbols *symbols)
{
	struct section section;
	const Elf64_Dyn *list;

	if (!find_section(&symbols->image, SHT_DYNAMIC, &section))
		return;
	list = (const void *)section.data;
	for (uint64_t i = 0; i < section.head->sh_size / sizeof(*list); i++) {
		if (list[i].d_tag == DT_NEEDED)
			add(&symbols->libraries, text_at(&section, list[i].d_un.d_val));
		if (list[i].d_tag == DT_SONAME)
			symbols->soname = text_at(&section, list[i].d_un.d_val);
	}
}

static void collect_versions(struct symbols *symbols)
{
	struct section section;
	uint64_t at = 0;

	if (!find_section(&symbols->image, SHT_GNU_verdef, &section))
		return;
	for (uint32_t n = 0; n < section.head->sh_info; n++) {
		const Elf64_Verdef *node = (const void *)(section.data + at);
		const Elf64_Verdaux *aux;
		if (at + sizeof(*node) > section.head->sh_size ||
		    at + node->vd_aux + sizeof(*aux) > section.head->sh_size)
			return;
		aux = (const void *)(section.data + at + node->vd_aux);
		add(&symbols->versions, text_at(&section, aux->vda_name));
		at += node->vd_next;
	}
}

struct symbols *symbols_open(const char *path)
{
	struct symbols *symbols = allocate(sizeof(*symbols));
	const Elf64_Ehdr *head;

	if (map_image(path, &symbols->image)) {
		free(symbols);
		return NULL;
	}
	head = (const void *)symbols->image.data;
	if (!is_elf(&symbols->image) || head->e_ident[EI_CLASS] != ELFCLASS64) {
		symbols_close(symbols);
		return NULL;
	}
	collect_symbols(symbols);
	collect_dynamic(symbols);
	collect_versions(symbols);
	return symbols;
}

size_t symbols_wants(const struct symbols *symbols, const struct want **wants)
{
	*wants = symbols->wants;
	return symbols->want_count;
}

const char *symbols_soname(const struct symbols *symbols)
{
	return symbols->soname;
}

size_t symbols_libraries(const struct symbols *symbols, const char *const **libraries)
{
	*libraries = symbols->libraries.list;
	return symbols->libraries.count;
}

bool symbols_have_version(const struct symbols *symbols, const char *version)
{
	for (size_t i = 0; i < symbols->versions.count; i++)
		if (!strcmp(symbols->versions.list[i], version))
			return true;
	return false;
}

bool symbols_define(const struct symbols *symbols, const char *name)
{
	return symbols->defined.count &&
	       bsearch(&name, symbols->defined.list, symbols->defined.count,
	               sizeof(char *), by_name);
}

void symbols_close(struct symbols *symbols)
{
	unmap_image(&symbols->image);
	free(symbols->defined.list);
	free(symbols->libraries.list);
	free(symbols->versions.list);
	free(symbols->wants);
	free(symbols);
}
