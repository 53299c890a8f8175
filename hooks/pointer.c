/* pointer.c - asking libtorch for a tensor's address without a sound.
 *
 * aoti_torch_get_data_ptr catches what is thrown for a tensor without memory, and prints it on
 * stderr with its stack: at every sparse gradient, at every fake tensor that torch.compile
 * traces with. It also gives memory that is shared until written to (torch._lazy_clone) a copy
 * of its own. So what it calls for either is ours: while we are asking, a refusal comes back to
 * the asker instead. The frame it leaves behind has built nothing yet that would need undoing.
 * Called from: wrap_autograd.c; the wrappers by torch, on any thread. */
#include "pointer.h"

#include <setjmp.h>
#include <stddef.h>

#include "hot.h"
#include "real.h"

static __thread jmp_buf *asking __attribute__((tls_model("initial-exec")));
static __thread bool quiet __attribute__((tls_model("initial-exec")));

void tmk_pointer_quiet(bool on)
{
	quiet = on;
}

TMK_HOT void *tmk_pointer_of(void *tensor)
{
	void *volatile found = NULL;
	jmp_buf refused;
	int (*const data_ptr)(void *, void **) = tmk_real.data_ptr;
	if (!data_ptr)
		return NULL;
	if (!_setjmp(refused)) {
		void *p = NULL;
		asking = &refused;
		if (!data_ptr(tensor, &p))
			found = p;
	}
	asking = NULL;
	return found;
}

static void refuse(void)
{
	if (asking)
		_longjmp(*asking, 1);
}

/* Each of the first three ends in an exception, so each has a real function to reach. */

void _ZNK3c1010TensorImpl27throw_data_ptr_access_errorEv(const void *self)
{
	refuse();
	tmk_real.tensor_refuses(self);
	tmk_ends_unresolved(__func__);
}

void _ZNK3c1011StorageImpl27throw_data_ptr_access_errorEv(const void *self)
{
	refuse();
	tmk_real.storage_refuses(self);
	tmk_ends_unresolved(__func__);
}

void _ZN3c1021throwNullDataPtrErrorEv(void)
{
	refuse();
	tmk_real.fake_refuses();
	tmk_ends_unresolved(__func__);
}

void _ZN3c1021warnDeprecatedDataPtrEv(void)
{
	refuse();
	if (quiet)
		return;
	tmk_real.fake_warns();
}

/* materialize_cow in 2.13; whatever it returns is passed on. What reads only does not need
 * it. */
void *_ZN3c104impl3cow23materialize_cow_storageERNS_11StorageImplE(void *storage)
{
	refuse();
	if (quiet)
		return NULL;
	return tmk_real.unshare(storage);
}

void *_ZN3c104impl3cow15materialize_cowEPNS_11StorageImplE(void *storage)
{
	return _ZN3c104impl3cow23materialize_cow_storageERNS_11StorageImplE(storage);
}
