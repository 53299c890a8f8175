"""making.py - functions that make tensors of nothing that is on the device, and those that write
into tensors that the program gives as `out`; a part of mode.py."""
from . import guesses, operators
from .arguments import Arguments, Unknown
from .memory import GUESSED, version_of

COPIED = 4096  # bytes of a copy from the host that arrive whatever TIDEMARK_SIM_COPY_MAX says


class Making:
    def on_given(self, call, args, kwargs):
        """A new tensor of the host's values: the copy has put them there, if they are few."""
        result = call(args, kwargs)
        if type(result) not in self.kinds or not result.is_cuda or not self.is_small(result):
            return result
        if result.numel() * result.element_size() > COPIED or \
                args and type(args[0]) in self.kinds:
            return self.on_factory(call, args, kwargs)
        self.memory.write(result, 0)
        return result

    def on_factory(self, call, args, kwargs):
        result = call.result if call.done else call(args, kwargs)
        if type(result) in self.kinds and result.is_cuda and self.is_small(result):
            found = Arguments()
            try:
                found.args = [self.host(value, found) for value in args]
                found.kwargs = {name: self.host(value, found) for name, value in kwargs.items()}
            except Exception:
                return result
            found.kwargs["device"] = "cpu"
            values = self.calculate(call.function, found.args, found.kwargs)
            self.place(result, values, found.assumed)
        return result

    def on_empty(self, call, args, kwargs):
        """What lies there is as good as anything."""
        result = call(args, kwargs)
        if type(result) in self.kinds and result.is_cuda and self.is_small(result):
            self.memory.learn(result)
        return result

    def on_like(self, call, args, kwargs):
        result = call(args, kwargs)
        if type(result) not in self.kinds or not result.is_cuda or not self.is_small(result):
            return result
        name, found = call.name, Arguments()
        try:
            like = self.torch.empty((), dtype=result.dtype, device="cpu")
            rest = [self.host(value, found) for value in args[1:]]
            if name.startswith("zeros") or name == "new_zeros":
                values = like.new_zeros(()).expand(result.shape)
            elif name.startswith("ones") or name == "new_ones":
                values = like.new_ones(()).expand(result.shape)
            else:
                given = kwargs.get("fill_value", kwargs.get("data", rest[-1] if rest else None))
                values = like.new_tensor(self.host(given, found)).expand(result.shape)
        except Exception:
            return result
        return self.place(result, values, found.assumed)

    def drawing(self):
        """A generator of our own: the program's draws stay what they are."""
        if self.generator is None:
            self.generator = self.torch.Generator().manual_seed(
                self.torch.initial_seed() % (1 << 63))
        return self.generator

    def on_random(self, call, args, kwargs):
        result = call(args, kwargs)
        if type(result) not in self.kinds or not result.is_cuda or not self.is_small(result) or \
                result.is_floating_point() and result.numel() > guesses.DRAWN:
            return result
        name = call.name
        try:
            generator = self.drawing()
            found = Arguments()
            if name.endswith("_like") or name.endswith("_"):
                changed = name.endswith("_") and name != "bernoulli_"
                values = self.memory.on_host(result)
                drawn = {"rand_like": "uniform_", "randn_like": "normal_",
                         "randint_like": "random_"}.get(name, name)
                numbers = [self.host(value, found) for value in args[1:]]
                if name == "randint_like" and len(numbers) == 1:
                    numbers.insert(0, 0)
                more = {key: value for key, value in kwargs.items()
                        if key in ("mean", "std", "from", "to", "low", "high", "p") and changed}
                getattr(values, drawn)(*numbers, **more, generator=generator)
                if result is (args[0] if args else None):
                    self.memory.lose(result)
                self.memory.learn(result, found.assumed)
                return result
            found.args = [self.host(value, found) for value in args]
            found.kwargs = {key: self.host(value, found) for key, value in kwargs.items()}
            if found.assumed & GUESSED and name in guesses.CHOOSING:
                raise Unknown
            if name not in ("normal", "bernoulli", "multinomial"):
                found.kwargs["device"] = "cpu"
            found.kwargs["generator"] = generator
            values = self.calculate(call.function, found.args, found.kwargs)
            return self.place(result, values, found.assumed)
        except Unknown:
            if self.plausible and name in guesses.BY_NAME:
                self.guess(name, result, args, kwargs)
        except Exception:
            pass
        return result

    def on_out(self, call, args, kwargs):
        """What it makes goes into `out`, which may be one of its arguments: so it is computed
        before the call, and written after it, when each tensor has its size."""
        out = kwargs["out"]
        targets = [part for part in (out if isinstance(out, (tuple, list)) else (out,))
                   if type(part) in self.kinds and part.is_cuda]
        holders = [(self.memory.of(target), target.data_ptr()) for target in targets]
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        values, assumed = self.of_out(call, args, rest, targets) if targets else ((), 0)
        result = call(args, kwargs)
        if len(values) != len(targets) or not all(map(self.is_small, targets)):
            for target in targets:
                self.memory.lose(target)
            if self.plausible and call.name in guesses.BY_NAME:
                self.guess(call.name, result, args, rest)
            return result
        for target, (holder, address), value in zip(targets, holders, values):
            if not self.copy(self.memory.on_host(target), value):
                self.memory.lose(target)
            elif holder is None or address != target.data_ptr():
                self.memory.learn(target, assumed)
            else:  # its views, and what it is a view of, stay known
                holder.assumed |= assumed
                holder.version = version_of(target)
        return result

    def of_out(self, call, args, rest, targets):
        """Values for `out`, none where they are not known; and what they rest on."""
        kind, found = operators.KINDS.get(call.name), Arguments()
        try:
            found.args = [self.host(value, found) for value in args]
            found.kwargs = {name: self.host(value, found) for name, value in rest.items()}
        except Unknown:
            return (), 0
        if kind in ("factory", "empty", "random") and \
                call.name not in ("normal", "bernoulli", "multinomial"):
            found.kwargs.update(device="cpu", dtype=targets[0].dtype)
        if kind == "random":
            if targets[0].is_floating_point() and targets[0].numel() > guesses.DRAWN:
                return (), 0
            found.kwargs["generator"] = self.drawing()
        values = self.calculate(call.function, found.args, found.kwargs)
        if values is None:
            return (), 0
        return values if isinstance(values, (tuple, list)) else (values,), found.assumed
