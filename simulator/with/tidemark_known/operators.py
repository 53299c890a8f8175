"""operators.py - what PyTorch's functions are to known values, by their names.

VIEW     the result lies in the argument's memory, mostly: known where the argument is
COMPUTE  a new tensor from values: computed on the host where all arguments are known
CHANGE   the same, written into the first argument
GIVEN    a new tensor of the host's values
FACTORY  a new tensor from nothing of the device
EMPTY    a new tensor with nothing in it
LIKE     a new tensor with another's shape alone
RANDOM   drawn: with a generator of our own, so that the program's draws stay what they are
MOVE     between host and device, or to another type
READ     the host gets a value
A function that is not here is left alone: what it returns is not known. That is most of a
network, on purpose: known values are those that steer a program.
"""
VIEW = """
alias as_strided chunk contiguous detach detach_ diagonal expand expand_as flatten
movedim moveaxis mH mT H T narrow permute requires_grad_ reshape reshape_as select split
split_with_sizes squeeze swapaxes swapdims t tensor_split transpose unbind unflatten unfold
unsqueeze view view_as data broadcast_to hsplit vsplit dsplit real ravel squeeze_ unsqueeze_
transpose_ t_ atleast_1d atleast_2d atleast_3d
""".split()

COMPUTE = """
__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __rdiv__
__floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __neg__ __pos__ __abs__ __and__
__rand__ __or__ __ror__ __xor__ __rxor__ __invert__ __lshift__ __rlshift__ __rshift__
__rrshift__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__
abs absolute add addcdiv addcmul all allclose amax amin aminmax any arange argmax argmin argsort
argwhere bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
bitwise_xor block_diag bucketize cartesian_prod cat ceil clamp clamp_max clamp_min clip clone
column_stack combinations concat concatenate constant_pad_nd cos count_nonzero cummax cummin
cumprod cumsum diag diag_embed diff div divide dot dstack eq equal exp expm1 fix flip fliplr
flipud floor floor_divide fmod frac ge gather greater greater_equal greater_or_equal gt heaviside
histc hstack index_add index_copy index_fill index_put index_select isclose isfinite isin isinf
isnan isneginf isposinf is_nonzero kron kthvalue le lerp less less_equal log log10 log1p log2
logaddexp logical_and logical_not logical_or logical_xor logsumexp lt masked_fill masked_scatter
masked_select max maximum mean median meshgrid min minimum mode msort mul multiply nan_to_num
nanmean nansum ne neg negative nonzero norm not_equal numel_ one_hot outer pad pow prod
reciprocal remainder repeat repeat_interleave roll rot90 round rsqrt rsub scatter scatter_add
scatter_reduce searchsorted sgn sigmoid sign signbit sin softmax sort sqrt square stack std sub
subtract sum take take_along_dim tanh tile topk trace tril triu true_divide trunc unique
unique_consecutive var vstack where xlogy vector_norm resolve_conj resolve_neg
""".split()

CHANGE = """
__iadd__ __isub__ __imul__ __itruediv__ __idiv__ __ifloordiv__ __imod__ __ipow__ __iand__ __ior__
__ixor__ __ilshift__ __irshift__ __setitem__
abs_ add_ addcdiv_ addcmul_ bitwise_and_ bitwise_not_ bitwise_or_ bitwise_xor_ ceil_ clamp_
clamp_max_ clamp_min_ clip_ copy_ cumsum_ div_ divide_ eq_ exp_ fill_ fill_diagonal_ floor_
floor_divide_ fmod_ ge_ gt_ index_add_ index_copy_ index_fill_ index_put_ le_ lerp_ log_
logical_and_ logical_not_ logical_or_ logical_xor_ lt_ masked_fill_ masked_scatter_ mul_
multiply_ nan_to_num_ ne_ neg_ pow_ put_ reciprocal_ remainder_ round_ rsqrt_ scatter_
scatter_add_ scatter_reduce_ sign_ sqrt_ square_ sub_ subtract_ tril_ triu_ true_divide_ trunc_
zero_ _amp_update_scale_
""".split()

GIVEN = """
as_tensor asarray tensor
""".split()

FACTORY = """
arange eye full linspace logspace ones scalar_tensor tril_indices triu_indices zeros range
""".split()

LIKE = """
zeros_like ones_like full_like new_zeros new_ones new_full new_tensor
""".split()

RANDOM = """
rand randn randint randperm rand_like randn_like randint_like normal normal_ uniform_ random_
bernoulli bernoulli_ multinomial
""".split()

MOVE = """
to cuda cpu type type_as bool int long short char byte float double half bfloat16
""".split()

EMPTY = """
empty empty_like empty_strided new_empty
""".split()

READ = """
item __bool__ __int__ __long__ __float__ __index__ __complex__ tolist numpy __array__
""".split()

KINDS = {name: kind for kind, names in (
    ("view", VIEW), ("compute", COMPUTE), ("change", CHANGE), ("given", GIVEN), ("factory", FACTORY),
    ("like", LIKE), ("random", RANDOM), ("move", MOVE), ("empty", EMPTY), ("read", READ))
    for name in names}
KINDS.update({name: name for name in (
    "__getitem__", "__iter__", "__contains__", "__repr__", "__format__", "data_ptr", "data_set",
    "requires_grad_set", "_amp_foreach_non_finite_check_and_unscale_")})
#: They make a mask of numbers or of masks.
COMPARING = frozenset("""
__eq__ __ne__ __lt__ __le__ __gt__ __ge__ eq ne lt le gt ge greater less greater_equal less_equal
not_equal isclose isin signbit logical_and logical_or logical_not logical_xor __invert__ __and__
__or__ __xor__ __rand__ __ror__ __rxor__ bitwise_and bitwise_or bitwise_xor bitwise_not
""".split())
#: Those, and others whose result is worth a guess where a value is unknown, since a program branches
#: on it.
TELLING = COMPARING | frozenset("""
isfinite isinf isnan isneginf isposinf any all is_nonzero maximum minimum count_nonzero where gather
masked_fill amax amin max min
""".split())

#: They ask whether numbers are finite, which they are taken to be.
FINITE = frozenset(("isfinite", "isinf", "isnan", "isneginf", "isposinf"))


def name_of(function):
    """"add" of torch.add and Tensor.add, "T" and "data_set" of a property's getter and setter."""
    name = getattr(function, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(getattr(function, "__self__", None), "__name__", "")
        return owner if name == "__get__" else f"{owner}_set"
    return name
