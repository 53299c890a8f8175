/* image.c - registration of fat binaries, as nvcc's start-up code calls it when a library
 * is loaded. Registering happens under the loader's lock; look-ups on any thread.
 * Called from: launch.c. */
#include "image.h"
#include "card.h"
#include "cudart.h"
#include "values.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { SLOTS = 1 << 18 }; /* PyTorch 2.15 registers 24,133 kernels */

static struct {
	const void *_Atomic function;
	const struct image *image;
	const char *name;
	_Atomic unsigned char trait; /* enum tmksim_trait, found at the first launch */
} kernels[SLOTS];
static int kernel_count;

static unsigned slot_of(const void *function)
{
	unsigned i = (unsigned)(((uintptr_t)function >> 4) * 2654435761u) % SLOTS;
	while (kernels[i].function && kernels[i].function != function)
		i = (i + 1) % SLOTS;
	return i;
}

const struct image *cudart_image(const void *function)
{
	return kernels[slot_of(function)].image;
}

const char *cudart_kernel_name(const void *function)
{
	return kernels[slot_of(function)].name;
}

enum tmksim_trait cudart_note_launch(const void *function, void **arguments)
{
	unsigned slot = slot_of(function);
	if (!kernels[slot].trait)
		kernels[slot].trait =
		        (unsigned char)tmksim_classify(kernels[slot].name);
	tmksim_launched(kernels[slot].trait, kernels[slot].name, arguments);
	return kernels[slot].trait;
}

int cudart_check_image(const void *function)
{
	const struct image *image = cudart_image(function);
	return image && !image->ptx ? cudart_error(ERROR_NO_IMAGE) : 0;
}

/* The layout of a fat binary, as far as it tells which architectures it is for. */
struct fat_wrapper {
	int magic, version;
	const char *data;
};
struct fat_header {
	uint32_t magic;
	uint16_t version, header_bytes;
	uint64_t bytes;
};
struct fat_entry {
	uint16_t kind, version;
	uint32_t header_bytes;
	uint64_t bytes;
	uint32_t unknown[3];
	uint32_t architecture;
};
_Static_assert(offsetof(struct fat_entry, architecture) == 28, "fat binary entry");
enum { FAT_MAGIC = 0xBA55ED50, KIND_PTX = 1, KIND_BINARY = 2 };

/* Machine code runs on its own major version from its minor on; PTX is compiled for any
 * newer card. */
static void choose_image(const char *data, struct image *image)
{
	int card = tmksim_card()->major * 10 + tmksim_card()->minor;
	const struct fat_header *header = (const void *)data;
	if (!data || header->magic != FAT_MAGIC) {
		image->ptx = image->binary = card;
		return;
	}
	const char *at = data + header->header_bytes, *end = at + header->bytes;
	while (at < end) {
		const struct fat_entry *entry = (const void *)at;
		int architecture = (int)entry->architecture;
		if (entry->kind == KIND_BINARY && architecture / 10 == card / 10 &&
		    architecture <= card && architecture >= image->binary)
			image->ptx = image->binary = architecture;
		else if (entry->kind == KIND_PTX && architecture <= card &&
		         !image->binary && architecture > image->ptx)
			image->ptx = architecture;
		at += entry->header_bytes + entry->bytes;
	}
	if (image->ptx && !image->binary)
		image->binary = card;
}

void **__cudaRegisterFatBinary(void *wrapper)
{
	struct image *image = calloc(1, sizeof(*image));
	if (image)
		choose_image(((struct fat_wrapper *)wrapper)->data, image);
	return (void **)image;
}

void __cudaRegisterFatBinaryEnd(void **image)
{
	(void)image;
}

void __cudaUnregisterFatBinary(void **image)
{
	(void)image; /* kernels keep pointing at it */
}

void __cudaRegisterFunction(void **image, const char *function, char *device_function,
                            const char *name)
{
	/* six more arguments limit its launches */
	(void)device_function;
	if (kernel_count >= SLOTS / 2)
		return; /* an unknown kernel is taken to fit */
	unsigned slot = slot_of(function);
	kernels[slot].image = (const struct image *)image;
	kernels[slot].name = name;
	kernels[slot].function = function;
	kernel_count++;
}

void __cudaRegisterVar(void)
{
	/* a device variable's address is its host shadow */
}

void __cudaRegisterManagedVar(void)
{
}

char __cudaInitModule(void **image)
{
	(void)image;
	return 1;
}
