/* wrap_c10.c - the caching allocator's reports, and the tensors about to be made.
 * Called from: torch; the reports under the allocator's lock, on any thread. There: no
 * GIL, no I/O, no dlopen (prepare.c has resolved everything before). */
#include <string.h>

#include "emit.h"
#include "event.h"
#include "hot.h"
#include "prepare.h"
#include "phase.h"
#include "real.h"

/* A shared-memory CPU tensor (a worker's batch) reports outside the CPU reporter's totals:
 * it is mapped, not allocated, and told by its "reserved" bytes. */
static bool is_mapping(struct tmk_device_id device, size_t reserved)
{
	return device.type == 0 && reserved;
}

TMK_HOT void
_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *ptr, int64_t bytes,
                                                      size_t allocated, size_t reserved,
                                                      struct tmk_device_id device)
{
	tmk_real.report(ptr, bytes, allocated, reserved, device);
	if (device.type == 0 && (!tmk_traces_cpu() || is_mapping(device, reserved)))
		return;
	if (!tmk_enter())
		return;
	tmk_event(ptr, bytes, allocated, reserved, device, 0);
	tmk_leave();
}

void _ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE(void *ptr, int64_t bytes,
                                                           size_t allocated,
                                                           size_t reserved,
                                                           struct tmk_device_id device)
{
	_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(ptr, bytes, allocated,
	                                                      reserved, device);
}

void _ZN3c1027reportOutOfMemoryToProfilerElmmNS_6DeviceE(int64_t bytes,
                                                         size_t allocated,
                                                         size_t reserved,
                                                         struct tmk_device_id device)
{
	tmk_real.out_of_memory(bytes, allocated, reserved, device);
	if (device.type == 0 && !tmk_traces_cpu())
		return;
	if (!tmk_enter())
		return;
	tmk_event_oom(bytes, allocated, reserved, device, "allocator");
	tmk_leave();
}

void _ZN3c1027reportOutOfMemoryToProfilerElllNS_6DeviceE(int64_t bytes,
                                                         size_t allocated,
                                                         size_t reserved,
                                                         struct tmk_device_id device)
{
	_ZN3c1027reportOutOfMemoryToProfilerElmmNS_6DeviceE(bytes, allocated, reserved,
	                                                    device);
}

/* ---- the exception that follows ------------------------------------------------------ */

/* c10::Error(SourceLocation, std::string): made before it is thrown, on the thread that ran
 * out of memory. A std::string, passed by its address, begins with the address of its text
 * in both of libstdc++'s layouts. Errors are rare, and this one is told by its first words. */
static bool says_out_of_memory(const char *text)
{
	static const char *const first[] = {
	        "CUDA out of memory", "Allocation on device", "HIP out of memory"};
	for (size_t i = 0; text && i < sizeof(first) / sizeof(*first); i++)
		if (!strncmp(text, first[i], strlen(first[i])))
			return true;
	return false;
}

void _ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE(
        void *self, struct tmk_source_location where, const char **text)
{
	if (says_out_of_memory(*text) && tmk_is_active() && tmk_enter()) {
		tmk_event_oom_message(*text);
		tmk_leave();
	}
	tmk_real.error(self, where, text);
}

void _ZN3c105ErrorC2ENS_14SourceLocationESs(void *self,
                                            struct tmk_source_location where,
                                            const char **text)
{
	_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE(
	        self, where, text);
}

/* Asked at every CPU tensor; answering yes makes them report. And the best moment to
 * prepare: torch is loaded, no lock is held. */
TMK_HOT bool _ZN3c1022memoryProfilingEnabledEv(void)
{
	tmk_prepare();
	bool theirs = tmk_real.profiling_enabled();
	return theirs || tmk_traces_cpu();
}

/* ---- shapes -------------------------------------------------------------------------- */

static void restore(struct tmk_doing *outer)
{
	tmk_doing.sizes = outer->sizes;
	tmk_doing.strides = outer->strides;
	tmk_doing.dims = outer->dims;
	tmk_doing.dtype = outer->dtype;
	tmk_doing.has_shape = outer->has_shape;
}

static void expect(struct tmk_sizes sizes, const int64_t *strides, int8_t dtype)
{
	tmk_doing.sizes = sizes.data;
	tmk_doing.strides = strides;
	tmk_doing.dims = (uint32_t)sizes.count;
	tmk_doing.dtype = dtype;
	tmk_doing.has_shape = true;
}

TMK_HOT void *
_ZN2at6detail13empty_genericEN3c108ArrayRefIlEEPNS1_9AllocatorENS1_14DispatchKeySetENS1_10ScalarTypeESt8optionalINS1_12MemoryFormatEE(
        void *result, struct tmk_sizes sizes, void *allocator, uint64_t keys,
        int8_t dtype, uint16_t format)
{
	struct tmk_doing outer __attribute__((cleanup(restore))) = tmk_doing;
	expect(sizes, NULL, dtype);
	return tmk_real.empty(result, sizes, allocator, keys, dtype, format);
}

TMK_HOT void *
_ZN2at6detail13empty_genericEN3c108ArrayRefIlEEPNS1_9AllocatorENS1_14DispatchKeySetENS1_10ScalarTypeENS1_8optionalINS1_12MemoryFormatEEE(
        void *result, struct tmk_sizes sizes, void *allocator, uint64_t keys,
        int8_t dtype, uint16_t format)
{
	return _ZN2at6detail13empty_genericEN3c108ArrayRefIlEEPNS1_9AllocatorENS1_14DispatchKeySetENS1_10ScalarTypeESt8optionalINS1_12MemoryFormatEE(
	        result, sizes, allocator, keys, dtype, format);
}

TMK_HOT void *
_ZN2at6detail21empty_strided_genericEN3c108ArrayRefIlEES3_PNS1_9AllocatorENS1_14DispatchKeySetENS1_10ScalarTypeE(
        void *result, struct tmk_sizes sizes, struct tmk_sizes strides, void *allocator,
        uint64_t keys, int8_t dtype)
{
	struct tmk_doing outer __attribute__((cleanup(restore))) = tmk_doing;
	expect(sizes, strides.data, dtype);
	return tmk_real.empty_strided(result, sizes, strides, allocator, keys, dtype);
}
