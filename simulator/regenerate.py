#!/usr/bin/env python3
"""Write names/cudaMAJOR/*.txt: what each NVIDIA library exports, as facts.

Sources, merged with what the lists hold already (a name is never dropped):
  --torch DIR    a folder that holds torch/: undefined symbols of all its ELF files
  --vendor DIR   a folder with unpacked nvidia-* packages: names they export, and the
                 out-parameters that their headers declare (index and kind only)
  --header FILE  a header that declares functions of libraries no package ships
                 (cuda.h for libcuda.so.1, nvml.h for libnvidia-ml.so.1)
  --fetch        pip-downloads the packages in PACKAGES into a temporary folder, one
                 at a time, and treats each as --vendor

A list has the lines `soname S`, `node N` (its version node, or -), then one symbol a
line, with its out-parameters: `INDEX:int`, `INDEX:size`, `INDEX:handle`, and
`INDEX:ints:COUNT`, an array as long as argument COUNT says (solvers' status). Arguments
that travel in vector registers are not counted.
"""
import argparse, collections, glob, mmap, os, re, subprocess, sys, tempfile, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
# list name -> (SONAME by CUDA major, None where it has none; what its symbols look like)
LIBRARIES = {
    "cudart": (("libcudart.so.12", "libcudart.so.13"), r"(__)?cuda[A-Z]"),
    "cublasLt": (("libcublasLt.so.12", "libcublasLt.so.13"), r"cublasLt[A-Z]"),
    "cublas": (("libcublas.so.12", "libcublas.so.13"), r"cublas(?!Lt)[A-Z]"),
    "cudnn": (("libcudnn.so.9", "libcudnn.so.9"), r"cudnn[A-Z]"),
    "old_cudnn": (("libcudnn.so.8", None), r"cudnn[A-Z]"),  # PyTorch 2.1 to 2.3
    "cufft": (("libcufft.so.11", "libcufft.so.12"), r"cufft[A-Z]"),
    "curand": (("libcurand.so.10", "libcurand.so.10"), r"curand[A-Z]"),
    "cusparseLt": (("libcusparseLt.so.0", "libcusparseLt.so.0"), r"cusparseLt[A-Z]"),
    "cusparse": (("libcusparse.so.12", "libcusparse.so.12"), r"cusparse(?!Lt)[A-Z]"),
    "cusolver": (("libcusolver.so.11", "libcusolver.so.12"), r"cusolver[A-Z]"),
    "nccl": (("libnccl.so.2", "libnccl.so.2"), r"p?nccl[A-Z]"),
    "nvrtc": (("libnvrtc.so.12", "libnvrtc.so.13"), r"nvrtc[A-Z]"),
    "nvtoolsext": (("libnvToolsExt.so.1", "libnvToolsExt.so.1"), r"nvtx[A-Z]"),
    "cupti": (("libcupti.so.12", "libcupti.so.13"), r"cupti[A-Z]"),
    "cufile": (("libcufile.so.0", "libcufile.so.0"), r"cuFile[A-Z]"),
    "nvshmem": (("libnvshmem_host.so.3", "libnvshmem_host.so.3"), r"nvshmem"),
    "nvjitlink": (("libnvJitLink.so.12", "libnvJitLink.so.13"), r"_*nvJitLink[A-Z]"),
    "nvml": (("libnvidia-ml.so.1", "libnvidia-ml.so.1"), r"nvml[A-Z]"),
    "cuda": (("libcuda.so.1", "libcuda.so.1"), r"cu(?!File)[A-Z]"),
}
# loaded by name at run time: their functions show as strings only
BY_STRING = {"cuda": rb"\0(cu[A-Z][A-Za-z0-9]+(?:_v\d)?)(?=\0)",
             "nvml": rb"\0(nvml[A-Z][A-Za-z0-9]+(?:_v\d)?)(?=\0)"}
PACKAGES = {
    12: "cuda-runtime cublas cudnn cudnn==8.9.7.29 cufft curand cusparse cusparselt cusolver nccl "
        "cuda-nvrtc nvtx==12.1.105 cuda-cupti cufile nvshmem nvjitlink nvml-dev",
    13: "cuda-runtime cublas cudnn-cu13 cufft curand cusparse cusparselt-cu13 cusolver "
        "nccl-cu13 cuda-nvrtc cuda-cupti cufile nvshmem-cu13 nvjitlink nvml-dev",
}


def package(major, name):
    """Of NVTX the last version that had a library; since then it is headers alone."""
    name, equals, version = name.partition("==")
    return (f"nvidia-{name}-cu12" if major == 12 else f"nvidia-{name}") + equals + version


def run(*cmd):
    return subprocess.run(cmd, capture_output=True, text=True).stdout


def home_of(symbol):
    """The library that a symbol without a version node belongs to."""
    return next((k for k, (_, look) in LIBRARIES.items() if re.match(look, symbol)), None)


def out_of(name, index, args):
    """`INDEX:KIND` of one argument, or None if nobody relies on what it holds."""
    kind, star, word = args[index].rpartition("*")
    kind = kind.strip()
    if not star or "*" in kind or "const" in kind:
        return None
    if kind == "int" and re.fullmatch(r"(dev_?|d_?)?info(Array)?", word.strip(), re.I):
        batch = [i for i, a in enumerate(args) if re.search(r"\bbatch(Size|Count)$", a)]
        return f"{index}:ints:{batch[0]}" if batch else f"{index}:int"
    if "Create" in name and kind == "cufftHandle":
        return f"{index}:int"
    if "Create" in name and kind.endswith("_t") and kind not in ("size_t", "int64_t"):
        return f"{index}:handle"
    if re.search(r"[sS]ize|Workspace|MakePlan|nnz|Nnz", name) and \
            kind in ("int", "size_t", "int64_t"):
        return f"{index}:{'int' if kind == 'int' else 'size'}"
    return None


class Names:
    def __init__(self, major):
        self.major = major
        self.folder = f"{HERE}/names/cuda{major}"
        self.soname = {k: s[major - 12] for k, (s, _) in LIBRARIES.items() if s[major - 12]}
        self.by_soname = {s: k for k, s in self.soname.items()}
        self.node = dict.fromkeys(LIBRARIES, "-")
        self.symbols = collections.defaultdict(dict)  # library -> symbol -> outs
        for path in glob.glob(self.folder + "/*.txt"):
            self.load(path)

    def load(self, path):
        library = os.path.basename(path)[:-4]
        for line in open(path):
            word = line.split()
            if not word or word[0] in ("#", "soname"):
                continue
            if word[0] == "node":
                self.node[library] = word[1]
            else:
                self.symbols[library][word[0]] = word[1:]

    def add(self, library, symbol, node=None, certain=False):
        """`certain`: the version node says whose it is, whatever it is called."""
        if certain or re.fullmatch(LIBRARIES[library][1] + r"\w*", symbol):
            self.symbols[library].setdefault(symbol, [])
            if node:
                self.node[library] = node

    def scan_torch(self, folder):
        """One wheel: what its ELF files leave undefined and do not define themselves."""
        files = [f for g in ("torch/lib/*.so*", "torch/*.so") for f in glob.glob(f"{folder}/{g}")]
        defined, loose = set(), set()
        for f in files:
            version = run("readelf", "-VW", f)
            home = {}  # version node -> library; node and SONAME differ for NVSHMEM
            for so, body in re.findall(r"File: (\S+)  Cnt.*\n((?:.*  Name: .*\n)+)", version):
                if so in self.by_soname:
                    home |= {n: self.by_soname[so] for n in re.findall(r"Name: (\S+)", body)}
            for line in run("nm", "-D", f).splitlines():
                symbol, _, node = line.split()[-1].partition("@")
                node = node.lstrip("@")
                if line.split()[-2] not in "Uw":
                    defined.add(symbol)
                elif node in home:
                    self.add(home[node], symbol, node, certain=True)
                elif not node:
                    loose.add(symbol)
            if re.search(r"c10_cuda|nvrtc|torch_cuda|nvshmem|torch_python", f):
                self.scan_strings(f)
        for symbol in loose - defined:
            if home_of(symbol):
                self.add(home_of(symbol), symbol)

    def scan_strings(self, path):
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            for library, look in BY_STRING.items():
                for hit in re.finditer(look, m):
                    self.add(library, hit.group(1).decode())

    def scan_vendor(self, folder):
        headers = glob.glob(f"{folder}/**/*.h", recursive=True)
        found = []
        for f in glob.glob(f"{folder}/**/*.so*", recursive=True):
            soname = re.search(r"SONAME.*\[(.*?)\]", run("readelf", "-dW", f))
            library = self.by_soname.get(soname and soname.group(1))
            if not library:
                continue
            found.append(library)
            for line in run("nm", "-D", "--defined-only", f).splitlines():
                kind, name = line.split()[-2:]
                symbol, _, node = name.partition("@")
                if kind in "TWi":
                    self.add(library, symbol, node.lstrip("@") or None)
        for h in headers:
            self.scan_outs(h, found)

    def scan_header(self, path):
        text = open(path, errors="replace").read()
        renamed = r"#\s*define\s+\w+\s+(?:__CUDA_API_\w+\()?((?:cu|nvml)[A-Z]\w+)"
        for pattern in (r"\b((?:cu|nvml)[A-Z]\w+)\s*\(", renamed,
                        r"#\s*define\s+(nvml[A-Z]\w+)\s+nvml[A-Z]"):
            for symbol in re.findall(pattern, text):
                library = home_of(symbol)
                if library in BY_STRING:
                    self.add(library, symbol)

    def scan_outs(self, path, found):
        """Sizes, handles and statuses that a caller reads after the call. The header declares
        functions of the libraries that were found beside it."""
        text = re.sub(r"/\*.*?\*/|//[^\n]*|^\s*#.*?$", " ", open(path, errors="replace").read(),
                      flags=re.S | re.M)
        for name, args in re.findall(r"\b(cu[a-zA-Z]\w+)\s*\(([^(){};]*)\)\s*;", text):
            library = next((k for k in found if re.match(LIBRARIES[k][1], name)), home_of(name))
            if library in (None, "cuda", "cudart") or name not in self.symbols[library]:
                continue
            # an array of floats is a pointer; a float itself takes no integer register
            args = [" ".join(a.replace("*", " * ").replace("[]", " * ").split())
                    for a in args.split(",")]
            args = [a for a in args if "*" in a or not re.match(r"(const )?(float|double)\b", a)]
            outs = [o for o in (out_of(name, i, args) for i in range(len(args))) if o]
            if outs:
                self.symbols[library][name] = outs

    def save(self):
        os.makedirs(self.folder, exist_ok=True)
        for library in self.soname:
            symbols = self.symbols[library]
            with open(f"{self.folder}/{library}.txt", "w") as f:
                f.write(f"soname {self.soname[library]}\nnode {self.node[library]}\n")
                f.writelines(" ".join([s, *symbols[s]]) + "\n" for s in sorted(symbols))
            print(f"{self.soname[library]:24} {len(symbols):5} {self.node[library]}")


def fetch(names):
    for name in PACKAGES[names.major].split():
        with tempfile.TemporaryDirectory() as tmp:
            run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir",
                "-d", tmp, package(names.major, name))
            for wheel in glob.glob(tmp + "/*.whl"):
                with zipfile.ZipFile(wheel) as z:
                    for member in z.namelist():
                        if re.search(r"\.so[.\d]*$|\.h$", member):
                            z.extract(member, tmp + "/unpacked")
                print("read", os.path.basename(wheel), file=sys.stderr)
            names.scan_vendor(tmp + "/unpacked")
            for header in glob.glob(tmp + "/unpacked/**/nvml.h", recursive=True):
                names.scan_header(header)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--major", type=int, choices=(12, 13), required=True)
    for option in ("torch", "vendor", "header"):
        p.add_argument("--" + option, action="append", default=[])
    p.add_argument("--fetch", action="store_true")
    o = p.parse_args()
    names = Names(o.major)
    for folder in o.torch:
        names.scan_torch(folder)
    for folder in o.vendor:
        names.scan_vendor(folder)
    for path in o.header:
        names.scan_header(path)
    if o.fetch:
        fetch(names)
    names.save()


if __name__ == "__main__":
    main()
