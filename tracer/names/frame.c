/* frame.c - what the name and file of a frame tell of the allocations under it. The files
 * and functions named here are PyTorch's own. Called from: names.c, once a frame. */
#include "frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && !strcmp(s + n - k, end);
}

/* What gathers, reduces and holds what is gathered. Most of torch/distributed/ is on the
 * stack of every allocation of a sharded model and says nothing about one of them. */
static bool communicates(const char *function, const char *file)
{
	static const char *const files[] = {
	        "/distributed_c10d.py", "/_functional_collectives.py",
	        "/_collective_utils.py", "/_redistribute.py"};
	const char *inside = strstr(file, "torch/distributed/");
	if (!inside)
		return false;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (ends_with(inside, files[i]))
			return true;
	if (strstr(inside, "/fsdp/"))
		return strstr(function, "all_gather") != NULL;
	return strstr(inside, "/ddp_comm_hooks/") ||
	       (ends_with(inside, "torch/distributed/utils.py") &&
	        strstr(function, "_alloc_storage"));
}

uint32_t tmk_frame_python(const char *function, const char *file)
{
	if (ends_with(file, "torch/utils/checkpoint.py"))
		return TMK_IN_CHECKPOINT;
	if (ends_with(file, "torch/autograd/__init__.py") &&
	    strstr(function, "_make_grads"))
		return TMK_IN_SEED;
	if (ends_with(file, "torch/nn/utils/clip_grad.py"))
		return TMK_IN_CLIP;
	/* torch/amp/, up to 2.2 torch/cuda/amp/: gradients are divided by the scale, and
	 * where one is infinite no optimizer's step follows to tell what this was */
	if (ends_with(file, "amp/grad_scaler.py") && strstr(function, "unscale"))
		return TMK_IN_CLIP;
	if (ends_with(function, "zero_grad") && strstr(file, "torch/"))
		return TMK_IN_ZERO_GRAD;
	/* also what wraps PyTorch's loader and moves its batches to the device */
	if (strstr(file, "torch/utils/data/") || ends_with(file, "/data_loader.py"))
		return TMK_IN_DATA;
	return communicates(function, file) ? TMK_IN_COMMUNICATION : 0;
}

uint32_t tmk_frame_native(const char *symbol)
{
	static const struct {
		const char *part;
		uint32_t flag;
	} table[] = {
	        {"getCurrentCUDABlasHandle", TMK_IN_WORKSPACE},
	        {"getNewWorkspace", TMK_IN_WORKSPACE},
	        {"getCUDABlasLtWorkspace", TMK_IN_WORKSPACE},
	        {"CublasLtWorkspace", TMK_IN_WORKSPACE},
	        {"parseChosenWorkspaceSize", TMK_IN_WORKSPACE},
	        {"c10d::Reducer", TMK_IN_COMMUNICATION},
	        {"c10d::ProcessGroup", TMK_IN_COMMUNICATION},
	        {"at::_ops::zeros", TMK_IN_ZEROS},
	        {"at::_ops::new_zeros", TMK_IN_ZEROS},
	        {"at::_ops::full_like", TMK_IN_ZEROS},
	        {"at::_ops::clone", TMK_IN_ZEROS},
	        {"at::_ops::rand", TMK_IN_BATCH},
	        {"at::_ops::_to_copy", TMK_IN_BATCH},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strstr(symbol, table[i].part))
			return table[i].flag;
	return 0;
}
