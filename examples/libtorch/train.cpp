// train.cpp - a training program with no Python in the process: a small language model,
// AdamW, an evaluation every few steps. Nothing in it needs tidemark; the names that it gives
// to two of its parts are shown by `tidemark buckets --by scope` where it is traced.
//
// usage: train [cpu|cuda] [steps] [batch]
// Prints what it knows of its own memory, in bytes, as one line of JSON.
#include <torch/torch.h>

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tidemark.h"

struct BlockImpl : torch::nn::Module {
	torch::nn::LayerNorm norm{nullptr};
	torch::nn::Linear up{nullptr}, down{nullptr};

	explicit BlockImpl(int64_t width)
	{
		norm = register_module("norm", torch::nn::LayerNorm(
			torch::nn::LayerNormOptions({width})));
		up = register_module("up", torch::nn::Linear(width, 4 * width));
		down = register_module("down", torch::nn::Linear(4 * width, width));
	}

	torch::Tensor forward(const torch::Tensor &x)
	{
		return x + down(torch::gelu(up(norm(x))));
	}
};
TORCH_MODULE(Block);

struct NetImpl : torch::nn::Module {
	torch::nn::Embedding embedding{nullptr};
	torch::nn::Sequential blocks;
	torch::nn::Linear head{nullptr};

	NetImpl(int64_t vocabulary, int64_t width, int layers)
	{
		embedding = register_module("embedding",
					    torch::nn::Embedding(vocabulary, width));
		for (int i = 0; i < layers; i++)
			blocks->push_back(Block(width));
		register_module("blocks", blocks);
		head = register_module("head", torch::nn::Linear(width, vocabulary));
	}

	torch::Tensor forward(const torch::Tensor &tokens)
	{
		return head(blocks->forward(embedding(tokens)));
	}
};
TORCH_MODULE(Net);

static torch::Tensor loss_of(Net &net, const torch::Tensor &tokens, int64_t vocabulary)
{
	return torch::nn::functional::cross_entropy(
		net->forward(tokens).view({-1, vocabulary}), tokens.view({-1}));
}

static int64_t bytes_of(const torch::Tensor &t)
{
	return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0;
}

// AdamW keeps two moments of each parameter; its step counter is a number, not a tensor.
static int64_t state_of(const torch::optim::AdamW &optimizer)
{
	int64_t bytes = 0;
	for (const auto &entry : optimizer.state()) {
		auto &state = static_cast<torch::optim::AdamWParamState &>(*entry.second);
		bytes += bytes_of(state.exp_avg()) + bytes_of(state.exp_avg_sq());
	}
	return bytes;
}

static int64_t peak_of(torch::Device device)
{
	if (!device.is_cuda())
		return 0; // the CPU's allocator keeps no peak
	auto *allocator = dynamic_cast<c10::DeviceAllocator *>(
		c10::GetAllocator(c10::DeviceType::CUDA));
	return allocator ? allocator->getDeviceStats(0).allocated_bytes[0].peak : 0;
}

int main(int argc, char **argv)
{
	const torch::Device device(argc > 1 ? argv[1] : "cpu");
	const int steps = argc > 2 ? std::atoi(argv[2]) : 8;
	const int64_t batch = argc > 3 ? std::atoi(argv[3]) : 4;
	const int64_t vocabulary = 1003, width = 96, length = 33;

	torch::manual_seed(0);
	Net net(vocabulary, width, 3);
	net->to(device);
	torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-3));
	int64_t gradients = 0;
	for (int step = 0; step < steps; step++) {
		auto tokens = torch::randint(vocabulary, {batch, length},
					     torch::dtype(torch::kInt64).device(device));
		auto loss = loss_of(net, tokens, vocabulary);
		loss.backward();
		gradients = 0;
		for (const auto &p : net->parameters())
			gradients += bytes_of(p.grad());
		optimizer.step();
		optimizer.zero_grad();
		if (step % 4 == 3) {
			torch::NoGradGuard no_grad;
			TIDEMARK_PUSH_PHASE("eval");
			TIDEMARK_PUSH_BUCKET("held out");
			loss_of(net, tokens, vocabulary);
			TIDEMARK_POP_BUCKET();
			TIDEMARK_POP_PHASE();
		}
	}
	int64_t parameters = 0, count = 0;
	for (const auto &p : net->parameters()) {
		parameters += bytes_of(p);
		count++;
	}
	std::printf("{\"parameters\": %lld, \"tensors\": %lld, \"gradients\": %lld, "
		    "\"state\": %lld, \"peak\": %lld}\n",
		    static_cast<long long>(parameters), static_cast<long long>(count),
		    static_cast<long long>(gradients),
		    static_cast<long long>(state_of(optimizer)),
		    static_cast<long long>(peak_of(device)));
	return 0;
}
