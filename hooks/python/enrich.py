# enrich.py - what only Python knows: the names of parameters, buffers and modules, the
# state of optimizers, the model's class and config. Embedded in the library; run by a
# pending call on the main thread, in a dictionary of its own: no module, no name in
# anybody's namespace, no hook in torch. It reads, and lets go of everything it has read.
# Given: emit_tensor(kind, name, address, nbytes, device, index, trainable, shape, dtype),
#        emit_module(address, name), emit_run(column, value);
#        each_step: a look after every step is wanted; wanted: a search now;
#        instances(class) -> list, gradient(parameter) -> its .grad, if that can be touched
# Other threads may train meanwhile, the engine without the GIL: no Python object is made
# here of a tensor or a storage that has none yet.
PARAMETER, BUFFER, GRADIENT, OPTIMIZER = range(4)


def look(known):
    import json
    import sys
    import time
    import weakref

    torch = sys.modules.get("torch")
    nn = getattr(torch, "nn", None)
    if nn is None or not hasattr(nn, "Module"):
        return
    optim = sys.modules.get("torch.optim.optimizer")
    optimizer_class = getattr(optim, "Optimizer", None)
    devices = {"cpu": 0, "cuda": 1}
    seen = known.setdefault("seen", set())
    known["looks"] = known.get("looks", 0) + 1

    def alive(kind):
        return [o for o in (r() for r in known.get(kind, ())) if o is not None]

    def find():
        # Of all objects: there is no list of modules.
        modules = instances(nn.Module)
        optimizers = instances(optimizer_class) if optimizer_class is not None else []
        children = {
            id(c) for m in modules for c in m.__dict__.get("_modules", {}).values()
        }
        roots = [m for m in modules if id(m) not in children]
        roots.sort(key=lambda r: -sum(1 for _ in r.modules()))
        known["roots"] = [weakref.ref(r) for r in roots]
        known["optimizers"] = [weakref.ref(o) for o in optimizers]

    def plain(config):
        # a dictionary, dataclass or namespace: its numbers, texts and truths
        values = config if isinstance(config, dict) else getattr(config, "__dict__", {})
        return {k: v for k, v in values.items()
                if isinstance(k, str) and isinstance(v, (bool, int, float, str))}

    def unwrapped(model):
        # what was given to a wrapper that shards, replicates or compiles it
        while True:
            children = model.__dict__.get("_modules", {})
            inside = [children.get(n) for n in ("module", "_orig_mod", "_fsdp_wrapped_module")]
            inside = [m for m in inside if m is not None]
            if len(children) != 1 or not inside:
                return model
            model = inside[0]

    def config_of(model):
        # Its own, or that of what holds all its parameters: a loop's class around a model.
        # Of an inner module only what lies in its dictionary: a property is the program's.
        config = getattr(model, "config", None)
        if config is not None:
            return config
        every = {id(p) for p in model.parameters()}
        for m in model.modules():
            config = m.__dict__.get("config")
            if config is not None and every == {id(p) for p in m.parameters()}:
                return config
        return None

    def whole(m):
        # One that is being made, by a wrapper that shards say, has no answer yet.
        try:
            next(m.parameters(), None)
            return True
        except Exception:
            return False

    def name_roots():
        # "teacher", "ema": what the script calls each model, or its class, where more than
        # one has parameters. A name once given stays.
        models = [r for r in roots if next(r.parameters(), None) is not None]
        given = known.setdefault("root_names", {})
        for gone in set(given) - {id(r) for r in models}:
            del given[gone]  # its number may be another's next
        if len(models) < 2 and not given:
            return given
        main = getattr(sys.modules.get("__main__"), "__dict__", {})
        called = {}
        for key, value in list(main.items()):
            if isinstance(value, nn.Module) and not key.startswith("_"):
                called.setdefault(id(value), key)
        for r in models:
            name = called.get(id(r), type(r).__name__)
            taken = set(given.values())
            if id(r) not in given:
                number, first = 2, name
                while name in taken:
                    name = "%s_%d" % (first, number)
                    number += 1
                given[id(r)] = name
        return given

    def tell_unowned():
        # What would be trained, of each model, and no optimizer has: its gradients stay.
        owned = {id(p) for o in alive("optimizers") for g in o.param_groups for p in g["params"]}
        if not owned:
            return

        def tell_text(key, text):
            if text and known.get(key) != text:
                known[key] = text
                emit_run(key, text)

        def tell_bytes(key, count):
            tell_text(key, str(count or ""))

        def bare(m):
            return sum(p.numel() * p.element_size() for p in m.parameters()
                       if p.requires_grad and id(p) not in owned)

        numbers = known.setdefault("numbers", {})
        for r in roots:
            root = known["root_names"].get(id(r), "")
            trained = any(id(p) in owned for p in r.parameters())
            if root:
                mine = {id(p) for p in r.parameters()}
                owners = [numbers.setdefault(id(o), len(numbers)) for o in alive("optimizers")
                          if any(id(p) in mine for g in o.param_groups for p in g["params"])]
                tell_text("owner." + root, ",".join(map(str, sorted(owners))))
            parts = [(root, r)] if root or not trained else []
            if trained:
                # of a model that is trained in part: the parts that are not
                parts = [((root + "." if root else "") + name, m)
                         for name, m in r.named_children()
                         if not any(id(p) in owned for p in m.parameters())]
            for name, part in parts:
                tell_bytes("unowned." + name, bare(part))
            # a copy: of a model that nobody trains (reference, average, teacher)
            if root and not trained:
                tell_bytes("aside." + root,
                           sum(p.numel() * p.element_size() for p in r.parameters()))

    def shorter(ranks):
        # "0-1023", "3-1023:8" for what goes by even steps, else "0,3,4"
        step = ranks[1] - ranks[0] if len(ranks) > 1 else 0
        even = len(ranks) > 2 and step > 0 and all(
            b - a == step for a, b in zip(ranks, ranks[1:]))
        if not even:
            return ",".join(map(str, ranks))
        return "%d-%d%s" % (ranks[0], ranks[-1], ":%d" % step if step > 1 else "")

    def tell_groups():
        # The process groups that this rank is in, by torch's number for each, with what the
        # program calls it (2.3 and later) and the ranks.
        c10d = sys.modules.get("torch.distributed.distributed_c10d")
        world = getattr(c10d, "_world", None)
        ranks_of = getattr(world, "pg_group_ranks", None) or {}
        called = getattr(world, "pg_names", None) or {}
        # where no launcher's variable says it (torch.multiprocessing.spawn)
        default = getattr(world, "default_pg", None)
        if default is not None and "rank" not in seen:
            seen.add("rank")
            emit_run("rank", str(default.rank()))
            emit_run("world_size", str(default.size()))
        for group, ranks in list(ranks_of.items()):
            key = "group.%s" % called.get(group)
            # one that this rank is not in has no name
            if called.get(group) is None or key in seen:
                continue
            seen.add(key)
            what = getattr(group, "group_desc", None)
            emit_run(key, json.dumps({"what": what if isinstance(what, str) else None,
                                      "ranks": shorter(sorted(ranks))}))

    def inner(t):
        # The tensors behind a wrapper (quantised weights, jagged ones): it has no memory.
        flatten = getattr(t, "__tensor_flatten__", None)
        return [getattr(t, n) for n in flatten()[0]] if flatten else []

    def kept_by(thing, depth=3):
        # What a parameter carries along in its attributes: scales and codes of a quantised
        # weight. Sharding keeps its gradients there too.
        for key, value in list(getattr(thing, "__dict__", {}).items()):
            if "grad" in key:
                continue
            if torch.is_tensor(value):
                yield key, value
            elif depth and type(value).__module__.split(".")[0] != "torch":
                yield from kept_by(value, depth - 1)

    def slices(name, p):
        # FSDP1's flat parameter: (name, first element, elements) of what lies in its shard
        infos = getattr(p, "_shard_param_infos", None) or ()
        around = name.rpartition(".")[0]
        return [((around + "." if around else "") + inside, i.offset_in_shard, i.numel_in_shard)
                for inside, i in zip(getattr(p, "_fqns", ()), infos) if i.in_shard]

    def tell_of(kind, p, what, t, trainable):
        # A parameter's own memory, gradient or state. What has the size of a flat
        # parameter's shard has its slices.
        name, shard = names[id(p)], getattr(p, "_local_shard", None)
        parts = slices(name, p) if shard is not None and t.numel() == shard.numel() else ()
        for part, first, count in parts:
            tell(kind, part + what, t, trainable, first, count)
        if not parts:
            tell(kind, name + what, t, trainable)

    def tell(kind, name, t, trainable, first=0, count=None):
        try:
            # a distributed tensor's memory is its local part's
            local = getattr(t, "_local_tensor", t)
            for part in inner(local):
                tell(kind, name, part, trainable)
            if local.device.type not in devices or local.layout is not torch.strided:
                return
            # where the tensor lies: a view into a bigger block is an interior address
            address = local.data_ptr()
            address += address and first * local.element_size()
            key = (kind, name, address)
            # of a gradient the address says little: its memory goes and comes back
            if not address or (key in seen and kind != GRADIENT):
                return
            seen.add(key)
            emit_tensor(
                kind, name, address,
                (local.numel() if count is None else count) * local.element_size(),
                devices[local.device.type], local.device.index or 0, int(trainable),
                str(list(local.shape) if count is None else [count]), str(local.dtype)[6:],
            )
        except Exception:
            pass  # a tensor that has no memory of its own, or not yet

    def tell_gradient(p):
        # asking a non-leaf for its .grad would warn the program's user
        grad = gradient(p) if p.is_leaf else None
        if grad is not None:
            tell_of(GRADIENT, p, "", grad, True)

    # The search goes over every object there is, the rest over what it found. At the first
    # look, at one after a step of an optimizer that is not known, and where searching has
    # taken less than a hundredth of the run: a copy of the model may have been made since.
    # And where the writer wants it: more lives without a name than ever before.
    now = time.monotonic
    stepped, began = known["looks"] > 1, known.setdefault("began", now())
    spent = known.get("spent", 0)
    if (
        not known.get("roots")
        or (stepped and not any(len(o.state) for o in alive("optimizers")))
        or wanted
        or spent * 100 < now() - began
    ):
        at = now()
        find()
        known["spent"] = spent + now() - at
    names = {}
    # where they lie changes; their rule does not
    gradients = known["looks"] <= 3 or each_step
    roots = [r for r in alive("roots") if whole(r)]
    root_names = name_roots()
    for r in roots:
        root = root_names.get(id(r), "")
        around = root + "." if root else ""
        for path, m in r.named_modules():
            if ("m", id(m)) not in seen:
                seen.add(("m", id(m)))
                emit_module(id(m), around + path if path else root or type(m).__name__)
        for path, p in r.named_parameters():
            path = around + path
            if id(p) not in names:
                # the program's own name: a wrapper's infix says nothing
                names[id(p)] = path.replace("_fsdp_wrapped_module.", "")
                if hasattr(p, "_local_shard"):  # what else it keeps are gathered copies
                    tell_of(PARAMETER, p, "", p._local_shard, p.requires_grad)
                else:
                    tell_of(PARAMETER, p, "", p, p.requires_grad)
                    for key, value in kept_by(p):
                        tell_of(PARAMETER, p, " " + key, value, False)
                if gradients:
                    tell_gradient(p)
        for path, b in r.named_buffers():
            tell(BUFFER, (around + path).replace("_fsdp_wrapped_module.", ""), b, False)
    for r in roots[: "model" not in seen]:
        seen.add("model")
        model = unwrapped(r)
        emit_run("model_class", type(model).__name__)
        try:
            config = config_of(model)
            if hasattr(config, "to_json_string"):
                emit_run("model_config", config.to_json_string())
            elif plain(config):
                emit_run("model_config", json.dumps(plain(config)))
        except Exception:
            pass
    for opt in alive("optimizers"):
        if "optimizer" not in seen:
            seen.add("optimizer")
            emit_run("optimizer_class", type(opt).__name__)
        for group in opt.param_groups:
            for p in group["params"]:
                if id(p) not in names:
                    names[id(p)] = "?"
                    tell_of(PARAMETER, p, "", p, True)
                    if gradients:
                        tell_gradient(p)
                state = opt.state.get(p)
                for key, value in state.items() if hasattr(state, "items") else ():
                    if torch.is_tensor(value):
                        tell_of(OPTIMIZER, p, " " + str(key), value, False)
    tell_unowned()
    tell_groups()
    # Asked of an allocator that is there: a question must not create a context.
    cuda = getattr(torch, "cuda", None)
    fraction = getattr(cuda, "get_per_process_memory_fraction", None)
    if fraction is not None and cuda.is_initialized():
        for i in range(cuda.device_count()):
            value = fraction(i)
            if known.get(("fraction", i)) != value:
                known[("fraction", i)] = value
                emit_run("memory_fraction.cuda:%d" % i, repr(value))
    # Where libtorch does not lie beside version.py (Debian), nobody else knows.
    if known["looks"] == 1:
        emit_run("torch_version", str(torch.__version__))
    if "script" not in seen and getattr(sys, "argv", None):
        seen.add("script")
        emit_run("script", str(sys.argv[0]))


try:
    import sys

    # the program's tensors with a __torch_function__ of their own are not asked by it
    with sys.modules["torch"]._C.DisableTorchFunction():
        look(known)
except Exception:
    pass
