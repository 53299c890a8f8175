/* image.h - kernels by the address of their host stub, and whether the card could run
 * them: each fat binary holds machine code for some architectures. */
#ifndef TIDEMARK_SIMULATOR_IMAGE_H
#define TIDEMARK_SIMULATOR_IMAGE_H

#include "values.h"

/* The image of a fat binary that the card would load. */
struct image {
	int ptx,
	        binary; /* architectures as cudaFuncGetAttributes reports; 0: none fits */
};

/* The image that holds a kernel; NULL for one that nobody registered. */
const struct image *cudart_image(const void *function);
/* Its name on the device; NULL likewise. */
const char *cudart_kernel_name(const void *function);
/* The thread launches it: see values.h. What the kernel computes. */
enum tmksim_trait cudart_note_launch(const void *function, void **arguments);
/* 0, or "no kernel image is available" as the thread's last error. */
int cudart_check_image(const void *function);

#endif
