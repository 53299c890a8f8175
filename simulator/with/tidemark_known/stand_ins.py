"""stand_ins.py - what the host has in place of operators that a card alone has: attention's kernels,
cuDNN's norms and recurrent networks, sums in another width. For computed.py.

Each takes the operator's own arguments, with tensors on the host, and gives what it gives; None
where nobody reads it, as of sums that the backward makes anew. A dropout inside of attention or
between recurrent layers is left out.
"""
import _thread

#: Not called on the host: they make no values, or choose by the device they run on.
LEFT = frozenset("""
_cudnn_rnn_flatten_weight _fused_sdp_choice _local_scalar_dense _pin_memory
empty.memory_format empty_like empty_strided is_pinned new_empty new_empty_strided record_stream resize_ set_.source_Storage
set_.source_Storage_storage_offset _cudnn_init_dropout_state
""".split())


def apart(function, *args):
    """In a thread of its own, where autograd records: here it is below autograd."""
    done, given = _thread.allocate_lock(), {}
    done.acquire()

    def run():
        try:
            given["result"] = function(*args)
        except BaseException as error:
            given["error"] = error
        finally:
            done.release()
    _thread.start_new_thread(run, ())
    done.acquire()
    if "error" in given:
        raise given["error"]
    return given["result"]


def gradients(torch, forward, inputs, outputs):
    """Of the inputs, by autograd; outputs: the gradients of what forward gives."""
    def run():
        leaves = [None if x is None else x.detach().float().requires_grad_() for x in inputs]
        with torch.enable_grad():
            made = forward(*leaves)
        made = made if isinstance(made, (tuple, list)) else (made,)
        pairs = [(y, g.float()) for y, g in zip(made, outputs) if g is not None]
        wanted = [x for x in leaves if x is not None]
        found = iter(torch.autograd.grad([y for y, _ in pairs], wanted, [g for _, g in pairs],
                                         allow_unused=True))
        return [None if x is None else next(found) for x in leaves]
    return apart(run)


# attention

def repeated(q, x):
    times = q.shape[1] // x.shape[1]
    return x.repeat_interleave(times, 1) if times > 1 else x


def scores(torch, q, k, bias, causal, scale):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    made = q.float() @ repeated(q, k).float().transpose(-1, -2) * scale
    if causal:
        seen = torch.ones(made.shape[-2:], dtype=torch.bool).tril()
        made = made.masked_fill(~seen, float("-inf"))
    return made if bias is None else made + bias.float()


def attended(torch, q, k, v, bias, causal, scale):
    return scores(torch, q, k, bias, causal, scale).softmax(-1) @ repeated(q, v).float()


def flash(torch, q, k, v, dropout=0.0, causal=False, mask=False, *, scale=None):
    return attended(torch, q, k, v, None, causal, scale), *(None,) * 8


def flash_backward(torch, grad, q, k, v, out, sums, cq, ck, mq, mk, dropout, causal, *rest,
                   scale=None):
    return gradients(torch, lambda q, k, v: attended(torch, q, k, v, None, causal, scale),
                     (q, k, v), (grad,))


def efficient(torch, q, k, v, bias, wants_sums, dropout=0.0, causal=False, *, scale=None):
    return attended(torch, q, k, v, bias, causal, scale), None, None, None


def efficient_backward(torch, grad, q, k, v, bias, out, sums, seed, offset, dropout, wanted,
                       causal=False, *, scale=None):
    found = gradients(torch, lambda q, k, v, b: attended(torch, q, k, v, b, causal, scale),
                      (q, k, v, bias), (grad,))
    return [x if is_wanted else None for x, is_wanted in zip(found, wanted)]


def cudnn(torch, q, k, v, bias, wants_sums, dropout=0.0, causal=False, mask=False, *, scale=None):
    return attended(torch, q, k, v, bias, causal, scale), *(None,) * 8


def cudnn_backward(torch, grad, q, k, v, out, sums, seed, offset, bias, cq, ck, mq, mk, dropout,
                   causal, *, scale=None):
    return gradients(torch, lambda q, k, v: attended(torch, q, k, v, bias, causal, scale),
                     (q, k, v), (grad,))


# norms

def batch_norm(torch, x, weight, bias, mean, variance, training, momentum, eps):
    made = torch.ops.aten.native_batch_norm(x, weight, bias, mean, variance, training, momentum, eps)
    return *made, None


def batch_norm_backward(torch, x, grad, weight, mean, variance, saved, inverse, eps, reserve):
    return torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, mean, variance, saved, inverse, True, eps, [True, True, True])


def rms_norm(torch, x, shape, weight, eps):
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    dims = tuple(range(-len(shape), 0))
    root = (x.float().pow(2).mean(dims, keepdim=True) + eps).rsqrt()
    made = x.float() * root
    return made if weight is None else made * weight.float(), root


def rms_norm_backward(torch, grad, x, shape, root, weight, wanted):
    dims = tuple(range(-len(shape), 0))

    def forward(x, weight):
        ratio = (x.pow(2).mean(dims, keepdim=True) + root.pow(-2) -
                 x.detach().pow(2).mean(dims, keepdim=True)).rsqrt()
        return x * ratio if weight is None else x * ratio * weight
    found = gradients(torch, forward, (x, weight), (grad,))
    return [g if is_wanted else None for g, is_wanted in zip(found, wanted)]


# a softmax from 16 bits to fp32

def softmax(torch, x, dim, to_float):
    return torch.softmax(x.float(), dim)


def log_softmax(torch, x, dim, to_float):
    return torch.log_softmax(x.float(), dim)


def softmax_backward(torch, grad, out, dim, dtype):
    return out * (grad - (grad * out).sum(dim, keepdim=True))


def log_softmax_backward(torch, grad, out, dim, dtype):
    return grad - out.exp() * grad.sum(dim, keepdim=True)


def histogram(torch, x, bins=100, least=0, most=0):
    return torch.histc(x.double(), bins, least, most)


# recurrent networks

MODES = ("rnn_relu", "rnn_tanh", "lstm", "gru")


def recurrent(torch, mode, x, hidden, cell, weights, has_biases, layers, batch_first, both,
              batches):
    function = getattr(torch._VF, MODES[mode])
    state = (hidden, cell) if MODES[mode] == "lstm" else hidden
    if batches:
        made = function(x, torch.tensor(batches), state, weights, has_biases, layers, 0.0, False,
                        both)
    else:
        made = function(x, state, weights, has_biases, layers, 0.0, False, both, batch_first)
    return made if len(made) == 3 else (*made, None)


def rnn(torch, x, weights, stride, buffer, hidden, cell, mode, size, projected, layers,
        batch_first, dropout, train, both, batches, state):
    biases = stride == 4 or projected and stride == 5
    made = recurrent(torch, mode, x, hidden, cell, list(weights), biases, layers, batch_first,
                     both, batches)
    return *made, None, None


def rnn_backward(torch, x, weights, stride, buffer, hidden, cell, out, grad, grad_hidden,
                 grad_cell, mode, size, projected, layers, batch_first, dropout, train, both,
                 batches, state, reserve, wanted):
    def forward(x, hidden, cell, *weights):
        made = recurrent(torch, mode, x, hidden, cell, list(weights),
                         stride == 4 or projected and stride == 5, layers, batch_first, both,
                         batches)
        return made if cell is not None else made[:2]
    found = gradients(torch, forward, (x, hidden, cell, *weights), (grad, grad_hidden, grad_cell))
    return found[0], found[1], found[2], found[3:]


BY_NAME = {
    "_scaled_dot_product_flash_attention": flash,
    "_scaled_dot_product_flash_attention_backward": flash_backward,
    "_scaled_dot_product_efficient_attention": efficient,
    "_scaled_dot_product_efficient_attention_backward": efficient_backward,
    "_scaled_dot_product_cudnn_attention": cudnn,
    "_scaled_dot_product_cudnn_attention_backward": cudnn_backward,
    "cudnn_batch_norm": batch_norm, "cudnn_batch_norm_backward": batch_norm_backward,
    "_fused_rms_norm": rms_norm, "_fused_rms_norm_backward": rms_norm_backward,
    "histc": histogram, "_softmax": softmax, "_log_softmax": log_softmax,
    "_softmax_backward_data": softmax_backward,
    "_log_softmax_backward_data": log_softmax_backward,
    "_cudnn_rnn": rnn, "_cudnn_rnn_backward": rnn_backward,
}
