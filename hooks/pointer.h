/* pointer.h - where a tensor's memory lies. */
#ifndef TMK_POINTER_H
#define TMK_POINTER_H

/* The address of the first element of an at::Tensor; NULL where it has no memory of its own
 * (sparse, fake, undefined). Changes nothing and prints nothing. Under the guard; a few
 * nanoseconds. */
void *tmk_pointer_of(void *tensor);

#endif
