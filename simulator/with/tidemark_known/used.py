"""used.py - what is done with a value that the program reads: whether a size, a branch or an
index comes from it. Reads the program's source: follows the value through the expression, the
names that it gets, the functions that it is given to, and back to who called.

Frames are not asked for their variables, which would keep these alive."""
import ast, linecache

from . import instructions

DEEP, MANY = 4, 400  # functions one after the other, and expressions, that are looked through
#: What the others stand behind.
RANKS = ("size", "branch", "index", "number")

#: Functions whose result is as unknown as what they are given.
CARRYING = frozenset("""
int float abs round max min sum list tuple set sorted zip enumerate reversed map iter next array
asarray ceil floor sqrt log log2 exp prod mean median clip tensor as_tensor cumsum cat stack deepcopy
""".split())
#: Those of PyTorch (and range) that make as much as they are told.
SIZING = frozenset("""
zeros ones empty full rand randn randint arange linspace eye new_zeros new_ones new_empty new_full
view reshape expand repeat tile split split_with_sizes narrow unfold unflatten chunk tensor_split
repeat_interleave one_hot bincount topk pad interpolate broadcast_to resize_ set_num_threads
pad_packed_sequence randperm tril_indices triu_indices randrange
""".split())
#: Parameters of any function by which it makes as much as it is told.
SIZES = frozenset("""
size sizes dim_size num_nodes num_classes num_segments minlength output_size total_length max_length
max_len length lengths seq_len max_seqlen num_groups batch_size repeats split_size expert_size k
""".split())
INTO = frozenset("append extend add insert appendleft".split())
THROUGH = (ast.BinOp, ast.UnaryOp, ast.Tuple, ast.List, ast.Set, ast.Starred, ast.IfExp, ast.Await,
           ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.Yield)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)


class Source:
    """A file: its expressions by their place, and what each is a part of."""

    def __init__(self, file):
        self.parents, self.calls, self.functions = {}, {}, {}
        self.tree = ast.parse("".join(linecache.getlines(file)))
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
            if isinstance(node, ast.Call):
                place = node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
                self.calls[place] = node
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions.setdefault(node.name, []).append(node)

    def scope(self, node):
        while not isinstance(node, SCOPES):
            node = self.parents[node]
        return node


SOURCES = {}


def source_of(file):
    if file not in SOURCES:
        try:
            SOURCES[file] = Source(file) if linecache.getlines(file) else None
        except (SyntaxError, ValueError, RecursionError):
            SOURCES[file] = None
    return SOURCES[file]


def call_of(frame, source):
    """The calls that the frame may be in: the one, or all of its line before Python 3.11."""
    if hasattr(frame.f_code, "co_positions"):
        place = list(frame.f_code.co_positions())[frame.f_lasti // 2]
        line, end, first, last = place
        found = source.calls.get((line, end, first, last))
        return [found] if found else []
    line = frame.f_lineno
    return [node for place, node in source.calls.items() if place[0] <= line <= place[1]]


KNOWN = {}


def after(frame):
    """"size", "branch", "index" or "number" """
    caller = frame.f_back
    key = frame.f_code, frame.f_lasti, caller and caller.f_code, caller and caller.f_lasti
    if key not in KNOWN:
        try:
            KNOWN[key] = Look().at(frame) or instructions.after(frame)
        except Exception:
            KNOWN[key] = "number"
    return KNOWN[key]


def name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def looked_into(source, node):
    parent = source.parents[node]
    if isinstance(parent, ast.Call):
        return name_of(parent.func) in CARRYING
    return isinstance(parent, (ast.Subscript, ast.For, ast.comprehension))


class Look:
    """One value's way."""

    def __init__(self):
        self.found, self.seen = set(), set()

    def at(self, frame):
        """None: there is no source."""
        source = source_of(frame.f_code.co_filename)
        if source is None:
            return None
        for call in call_of(frame, source):
            self.follow(source, call, frame, 0)
        return next((rank for rank in RANKS if rank in self.found), "number")

    def follow(self, source, node, frame, depth):
        """Where an expression's value goes."""
        if node in self.seen or len(self.seen) > MANY or depth > DEEP:
            return
        self.seen.add(node)
        parent = source.parents.get(node)
        onward = source, parent, frame, depth
        if isinstance(parent, (ast.Compare, ast.BoolOp, ast.Assert)) or \
                isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not) or \
                isinstance(parent, (ast.If, ast.While, ast.IfExp)) and node is parent.test:
            self.found.add("branch")
        elif isinstance(parent, ast.Slice):
            self.found.add("size")
        elif isinstance(parent, ast.Subscript):
            if node is parent.slice:
                self.found.add("index")
            else:
                self.follow(*onward)
        elif isinstance(parent, ast.Attribute):  # a method of it
            call = source.parents.get(parent)
            if isinstance(call, ast.Call) and node is not call:
                self.follow(source, call, frame, depth)
        elif isinstance(parent, ast.Call):
            self.given(source, parent, node, "", frame, depth)
        elif isinstance(parent, ast.keyword):
            self.given(source, source.parents[parent], node, parent.arg, frame, depth)
        elif isinstance(parent, THROUGH):
            self.follow(*onward)
        elif isinstance(parent, ast.NamedExpr):
            self.named(source, parent.target, frame, depth)
            self.follow(*onward)
        elif isinstance(parent, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in getattr(parent, "targets", None) or [parent.target]:
                self.named(source, target, frame, depth)
        elif isinstance(parent, (ast.For, ast.AsyncFor, ast.comprehension)) and node is parent.iter:
            self.named(source, parent.target, frame, depth)
        elif isinstance(parent, ast.Return) and frame is not None:
            self.returned(frame, depth)

    def given(self, source, call, node, keyword, frame, depth):
        """To a function."""
        name, function = name_of(call.func), call.func
        if name == "range":
            self.found.add("branch")
        elif name in CARRYING:
            self.follow(source, call, frame, depth)
        elif name in SIZING or keyword in SIZES or getattr(node, "id", "") in SIZES:
            self.found.add("size")
        elif name in INTO and isinstance(function, ast.Attribute):
            if isinstance(function.value, ast.Name):
                scope = source.scope(function)
                self.loads(source, scope, function.value.id, frame, depth, is_list=True)
        else:
            self.inside(source, call, node, keyword, frame, depth)

    def inside(self, source, call, node, keyword, frame, depth):
        """To one of the program's own: by its name in this file, or among what the file knows."""
        name = name_of(call.func)
        made, is_method = source.functions.get(name, ()), isinstance(call.func, ast.Attribute)
        if not made and not is_method and frame is not None:
            function = frame.f_globals.get(name)
            source = source_of(function.__code__.co_filename) if hasattr(function, "__code__") else None
            made = source.functions.get(function.__name__, ()) if source else ()
        for definition in made if len(made) == 1 else ():
            names = [one.arg for one in (*definition.args.posonlyargs, *definition.args.args)]
            if is_method and names[:1] in (["self"], ["cls"]):
                names = names[1:]
            at = call.args.index(node) if node in call.args else len(names)
            wanted = keyword or (names[at] if at < len(names) else "")
            if wanted:
                self.loads(source, definition, wanted, None, depth + 1)

    def named(self, source, target, frame, depth):
        """Names that the value gets. What it is put into by an index is not looked through."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for one in target.elts:
                self.named(source, one, frame, depth)
        elif isinstance(target, ast.Starred):
            self.named(source, target.value, frame, depth)
        elif isinstance(target, ast.Name):
            self.loads(source, source.scope(target), target.id, frame, depth)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            self.attributes(source, target, depth)

    def loads(self, source, scope, name, frame, depth, is_list=False):
        """Where a function has the name. Of a list that the value is in only what looks into it."""
        for one in ast.walk(scope):
            if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load) and \
                    source.scope(one) is scope and not (is_list and not looked_into(source, one)):
                self.follow(source, one, frame, depth)

    def attributes(self, source, target, depth):
        """Where the file has `self.name`."""
        for one in ast.walk(source.tree):
            if isinstance(one, ast.Attribute) and one.attr == target.attr and \
                    isinstance(one.ctx, ast.Load) and isinstance(one.value, ast.Name) and \
                    one.value.id == target.value.id:
                self.follow(source, one, None, depth + 1)

    def returned(self, frame, depth):
        """To who called, past PyTorch's own calling of modules."""
        frame = frame.f_back
        while frame is not None and frame.f_code.co_filename.endswith("/torch/nn/modules/module.py"):
            frame = frame.f_back
        source = source_of(frame.f_code.co_filename) if frame is not None else None
        for call in call_of(frame, source) if source else ():
            self.follow(source, call, frame, depth + 1)
