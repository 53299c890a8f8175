/* countmalloc.c - counts the calling thread's calls of malloc and its kin. Preloaded,
 * or linked first, by the tests of "nothing allocates". */
#include <stddef.h>

#define API __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

API void *malloc(size_t n);
API void *calloc(size_t n, size_t size);
API void *realloc(void *p, size_t n);
API long countmalloc(void);

static __thread long count;

long countmalloc(void)
{
	return count;
}

void *malloc(size_t n)
{
	count++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	count++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	count++;
	return __libc_realloc(p, n);
}
