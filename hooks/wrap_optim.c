/* wrap_optim.c - optimizers of the C++ frontend.
 *
 * In Python torch.optim opens a scope for the profiler around step and zero_grad (phase.c).
 * torch::optim does not. Its step is virtual, and the table of virtual functions holds it
 * by its name: interposing the function replaces it there, too. An optimizer that a program
 * derives itself has a step of its own, and says TIDEMARK_STEP().
 * Called from: the program's thread; a closure may throw through it. */
#include "prepare.h"
#include "phase.h"
#include "real.h"

static void step_ends(char *unused)
{
	(void)unused;
	tmk_phase_step(false);
}

/* at::Tensor step(std::function<at::Tensor()>): returned through the hidden first argument,
 * and the closure is passed by its address. */
typedef void *(*_Atomic step_fn)(void *, void *, void *);

static void *step(step_fn *real, void *result, void *self, void *closure)
{
	char scope __attribute__((cleanup(step_ends))) = 0;
	tmk_phase_step(true);
	return (*real)(result, self, closure);
}

void *_ZN5torch5optim3SGD4stepESt8functionIFN2at6TensorEvEE(void *result, void *self,
                                                            void *closure)
{
	return step(&tmk_real.sgd_step, result, self, closure);
}

void *_ZN5torch5optim4Adam4stepESt8functionIFN2at6TensorEvEE(void *result, void *self,
                                                             void *closure)
{
	return step(&tmk_real.adam_step, result, self, closure);
}

void *_ZN5torch5optim5AdamW4stepESt8functionIFN2at6TensorEvEE(void *result, void *self,
                                                              void *closure)
{
	return step(&tmk_real.adamw_step, result, self, closure);
}

void *_ZN5torch5optim7Adagrad4stepESt8functionIFN2at6TensorEvEE(void *result,
                                                                void *self,
                                                                void *closure)
{
	return step(&tmk_real.adagrad_step, result, self, closure);
}

void *_ZN5torch5optim7RMSprop4stepESt8functionIFN2at6TensorEvEE(void *result,
                                                                void *self,
                                                                void *closure)
{
	return step(&tmk_real.rmsprop_step, result, self, closure);
}

void *_ZN5torch5optim5LBFGS4stepESt8functionIFN2at6TensorEvEE(void *result, void *self,
                                                              void *closure)
{
	return step(&tmk_real.lbfgs_step, result, self, closure);
}

static void zero_grad_ends(char *unused)
{
	(void)unused;
	tmk_phase_zero_grad(false);
}

void _ZN5torch5optim9Optimizer9zero_gradEb(void *self, bool set_to_none)
{
	char scope __attribute__((cleanup(zero_grad_ends))) = 0;
	tmk_phase_zero_grad(true);
	tmk_real.zero_grad(self, set_to_none);
}
