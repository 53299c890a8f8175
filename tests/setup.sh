#!/bin/bash
# setup.sh - puts in place what the tests need; run again, it does only what is missing.
#
# usage: tests/setup.sh [--example]
#	--example    only what examples/quickstart.sh needs: no CUDA 12 wheel, no Debian torch
# Debian's build packages are installed when this is root; otherwise the one apt-get line
# to ask for is printed and the exit status is 1. Everything else goes into
# ${XDG_CACHE_HOME:-~/.cache}/tidemark (TIDEMARK_TEST_CACHE names another folder):
#	venv         PyTorch 2.13 on the CPU, pytest, numpy
#	torch-2.11.0 unpacked CUDA 13 wheel, for the simulated device
#	torch-2.6.0  unpacked CUDA 12 wheel
#	headers-12, headers-13 the CUDA toolkits' headers, for checks at build time
#	python3.14   Debian unstable's interpreter with its own C library
#	debian11     programs of Debian 11 with its C library, for tests/package
#	mallocs      jemalloc and tcmalloc
#	debian       Debian 12's python3-torch 1.13 with what it needs, unpacked
#	prometheus   prometheus_client, for tests/live
#	telemetry    OpenTelemetry's SDK and its exporter over HTTP, for tests/live
#	guests       memray and greenlet, for tests/faults
#	package      what builds and checks the wheel (ziglang: 100 MB), SQLite's amalgamation
#	page         playwright, which drives Debian's chromium; no browser of its own
#	libraries    transformers, peft, accelerate, lightning, bitsandbytes, torchvision, triton,
#	             liger-kernel; in its torch-2.11.0 what goes with that alone: DeepSpeed, torchao
#	readers      what opens exports: duckdb, jsonschema, protobuf, perfetto, pyarrow;
#	             speedscope's schema and pprof-format, by npm
# All but the first are optional: where one cannot be had, NAME.why says so in one line and
# its tests skip with that reason.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
cache=${TIDEMARK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
python=${PYTHON:-python3}

say() {
	printf 'setup: %s\n' "$*"
}

packages() {
	local wanted missing=() p
	wanted=$(sed -n '/^[a-z]/s/ .*//p' "$home/tests/packages.txt")
	command -v npm >/dev/null || wanted="$wanted npm"
	if [ "${1:-}" = --example ]; then # a browser and a fuzzer are for the tests alone
		wanted=$(printf '%s\n' $wanted | grep -v -x -e chromium -e 'afl++' -e libclang-rt-dev)
	fi
	for p in $wanted; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$p")
	done
	if [ ${#missing[@]} -eq 0 ]; then
		say "all build packages are installed"
	elif [ "$(id -u)" -ne 0 ]; then
		say "this machine lacks ${#missing[@]} package(s); as root, run:" >&2
		echo "apt-get install -y --no-install-recommends ${missing[*]}" >&2
		exit 1
	else
		say "installing ${missing[*]}"
		if ! apt-get install -y -qq --no-install-recommends "${missing[@]}" \
			>/dev/null 2>&1; then
			apt-get update -qq
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
				--no-install-recommends "${missing[@]}" >/dev/null
		fi
	fi
}

# attempt NAME WHAT FUNCTION: runs FUNCTION unless NAME is there already. Its output goes
# into NAME.log; a failure leaves NAME.why.
attempt() {
	local name=$1 what=$2
	if [ -e "$cache/$name/.ready" ]; then
		say "$what: there already"
		return 0
	fi
	say "$what: installing into $cache/$name (log: $name.log)"
	rm -rf "${cache:?}/$name" "$cache/$name.why"
	if ("$3" "$cache/$name") >"$cache/$name.log" 2>&1; then
		touch "$cache/$name/.ready"
		return 0
	fi
	rm -rf "${cache:?}/$name"
	echo "$what could not be installed: $(grep -v '^ *$' "$cache/$name.log" |
		grep -iv -e '^warning' -e notice | tail -n 1 | cut -c 1-160)" \
		>"$cache/$name.why"
	say "$(cat "$cache/$name.why")"
	return 1
}

venv() {
	"$python" -m venv "$1" &&
		"$1/bin/pip" install --disable-pip-version-check -q torch==2.13.0 pytest \
			pytest-xdist numpy &&
		"$1/bin/python" -c 'import torch, pytest, xdist'
}

telemetry() { # what sends metrics, and what reads what was sent
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
		opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 &&
		test -d "$1/opentelemetry/sdk"
}

prometheus() { # what serves and what reads metrics, pure Python
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
		prometheus-client==0.26.0 && test -e "$1/prometheus_client/parser.py"
}

wheel() { # FOLDER VERSION: the wheel alone, without NVIDIA's libraries
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --no-deps \
		--target "$1" "torch==$2" && test -e "$1/torch/lib/libtorch_cuda.so"
}
wheel_cuda13() { wheel "$1" 2.11.0; }
wheel_cuda12() { wheel "$1" 2.6.0; }

# headers FOLDER WHEEL...: the folder include of NVIDIA's wheels
headers() {
	local folder=$1
	shift
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --no-deps \
		--target "$folder/wheels" "$@" || return 1
	local found
	found=$(find "$folder/wheels" -name cuda_runtime_api.h | head -n 1)
	[ -n "$found" ] || return 1
	mkdir "$folder/include"
	find "$folder/wheels" -name include -type d -exec cp -a {}/. "$folder/include" \;
	rm -rf "$folder/wheels"
	test -e "$folder/include/crt/host_defines.h"
}
headers_12() { headers "$1" nvidia-cuda-runtime-cu12==12.8.90 nvidia-cuda-nvcc-cu12==12.8.93; }
headers_13() { headers "$1" nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88; }

# Nothing goes into the system: the packages that are not installed are fetched and
# unpacked side by side.
debian_torch() {
	mkdir -p "$1/debs/partial" "$1/root"
	if ! apt-cache policy python3-torch | grep -q 'Candidate: 1\.13'; then
		echo "apt knows no python3-torch 1.13"
		return 1
	fi
	local uris
	uris=$(apt-get install -s -y --no-install-recommends python3-torch |
		sed -n 's/^Inst \([^ ]*\).*/\1/p')
	[ -n "$uris" ] || uris=python3-torch
	(cd "$1/debs" && echo "$uris" | xargs apt-get download -q) || return 1
	local deb
	for deb in "$1"/debs/*.deb; do
		dpkg -x "$deb" "$1/root" || return 1
	done
	rm -rf "$1/debs"
	"$home/tests/debian-python.sh" "$1" -c 'import torch; print(torch.__version__)'
}

mallocs() {
	mkdir -p "$1/partial"
	(cd "$1" && apt-get download -q libjemalloc2 libgoogle-perftools4) || return 1
	local deb
	for deb in "$1"/*.deb; do
		dpkg -x "$deb" "$1" || return 1
	done
}

# guests FOLDER: what else people have in a process that is traced
guests() {
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
		greenlet==3.5.6 memray==1.20.0 &&
		PYTHONPATH="$1" "$cache/venv/bin/python" -c 'import greenlet, memray'
}

# unpacked FOLDER SUITE PACKAGE...: packages of another Debian, in FOLDER/root
unpacked() {
	local apt=$1/apt suite=$2 root=$1/root uri
	shift 2
	mkdir -p "$apt/state/lists/partial" "$apt/archives/partial" "$root"
	uri=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" 2>/dev/null |
		grep '/debian/*$' | head -n 1)
	[ -n "$uri" ] || { echo "no Debian mirror is set up"; return 1; }
	echo "deb $uri $suite main" >"$apt/list"
	local options=(-o "Dir::State=$apt/state" -o "Dir::State::Status=/dev/null"
		-o "Dir::Etc::SourceList=$apt/list" -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::Cache=$apt" -o APT::Sandbox::User= -o Acquire::Languages=none
		-o Acquire::Check-Valid-Until=false)
	apt-get "${options[@]}" -q update &&
		(cd "$apt/archives" && apt-get "${options[@]}" -q download "$@") || return 1
	local deb
	for deb in "$apt"/archives/*.deb; do
		dpkg -x "$deb" "$root" || return 1
	done
	rm -rf "$apt"
}

# python3.14 FOLDER: beside the C library that it needs, from Debian unstable
python314() {
	unpacked "$1" unstable libc6 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.14 \
		libpython3.14-minimal libpython3.14-stdlib libssl3t64 libunwind8 \
		python3.14-minimal zlib1g || return 1
	cat >"$1/python" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)/root/usr
export PYTHONHOME="$root"
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/lib/x86_64-linux-gnu" \
	"$root/bin/python3.14" "$@"
END
	chmod +x "$1/python"
	"$1/python" -c 'import ctypes, sys; assert sys.version_info[:2] == (3, 14)'
}

# debian11 FOLDER: programs of an older Debian with their C library, which is 2.31. No libgcc_s.
debian11() {
	unpacked "$1" bullseye libc6 coreutils libacl1 libattr1 libgmp10 libpcre2-8-0 \
		libselinux1 bash libtinfo6 python3.9-minimal libpython3.9-minimal \
		libpython3.9-stdlib libexpat1 libffi7 liblzma5 libsqlite3-0 libssl1.1 zlib1g ||
		return 1
	cat >"$1/run" <<'END'
#!/bin/sh
# run PROGRAM...: a program under this C library; it has no other one.
root=$(cd "$(dirname "$0")" && pwd)/root
export PYTHONHOME="$root/usr"
exec "$root/lib/x86_64-linux-gnu/ld-2.31.so" --inhibit-cache \
	--library-path "$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu" "$@"
END
	chmod +x "$1/run"
	"$1/run" "$1/root/usr/bin/python3.9" -c 'import ctypes, sqlite3, sys
assert sys.version_info[:2] == (3, 9)'
}

# libraries FOLDER: without the torch that they ask for; what it needs itself is pure Python
libraries() {
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --no-deps --target "$1" \
		accelerate==1.15.0 bitsandbytes==0.50.2 lightning==2.6.6 \
		lightning-utilities==0.15.3 liger-kernel==0.8.5 peft==0.21.2 pillow==13.0.0 \
		pytorch-lightning==2.6.6 torchmetrics==1.9.0 torchvision==0.26.0 \
		transformers==5.23.0 triton==3.6.0 &&
		"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
			huggingface-hub==2.4.0 packaging psutil pyyaml regex rich \
			safetensors==0.8.0 tokenizers==0.23.3 tqdm
}

# What would change how the others behave where it is found: for tests/sim/test_libraries.py alone.
trainers() {
	DS_BUILD_OPS=0 "$cache/venv/bin/pip" install --disable-pip-version-check -q --no-deps \
		--target "$1" deepspeed==0.19.8 torchao==0.18.0 &&
		"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
			einops hjson msgpack ninja packaging psutil py-cpuinfo pydantic tqdm
}

# page FOLDER: what opens the page of `tidemark html` in the chromium that is installed
page() {
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" playwright==1.65.2 &&
		PYTHONPATH="$1" "$cache/venv/bin/python" -c 'import playwright.sync_api'
}

# package FOLDER: the tools that pyproject.toml names, and what tests/package needs beside them
package() {
	local requires
	requires=$("$cache/venv/bin/python" - "$home/pyproject.toml" <<'END'
import ast, re, sys
print(*ast.literal_eval(re.search(r"requires = (\[.*\])", open(sys.argv[1]).read())[1]))
END
	) || return 1
	"$python" -m venv "$1" &&
		"$1/bin/pip" install --disable-pip-version-check -q $requires auditwheel build ninja \
			ipython pandas &&
		"$1/bin/python" "$home/cmake/fetch_sqlite.py" "$1/sqlite"
}

# readers FOLDER: what other tools read exports with, and what writes and reads Parquet
readers() {
	"$cache/venv/bin/pip" install --disable-pip-version-check -q --target "$1" \
		duckdb==2.0.1 jsonschema==4.26.0 perfetto==0.59.1 protobuf==7.36.2 pyarrow==26.0.1 || return 1
	(cd "$1" && npm pack --silent speedscope@1.25.0 >/dev/null &&
		tar xzOf speedscope-1.25.0.tgz package/dist/release/file-format-schema.json \
			>speedscope.json &&
		npm pack --silent pprof-format@2.3.2 >/dev/null && mkdir pprof-format &&
		tar xzf pprof-format-2.3.2.tgz -C pprof-format --strip-components=1 &&
		rm speedscope-1.25.0.tgz pprof-format-2.3.2.tgz)
}

packages "$@"
mkdir -p "$cache"
attempt venv "PyTorch 2.13 for the CPU, pytest" venv || exit 1
attempt torch-2.11.0 "PyTorch 2.11 for CUDA 13 (1.2 GB)" wheel_cuda13 || true
[ "${1:-}" != --example ] || exit 0
attempt prometheus "prometheus_client" prometheus || true
attempt telemetry "OpenTelemetry's SDK" telemetry || true
attempt torch-2.6.0 "PyTorch 2.6 for CUDA 12 (1.6 GB)" wheel_cuda12 || true
attempt headers-12 "CUDA 12 headers" headers_12 || true
attempt headers-13 "CUDA 13 headers" headers_13 || true
attempt python3.14 "Python 3.14" python314 || true
attempt mallocs "jemalloc and tcmalloc" mallocs || true
attempt guests "memray and greenlet" guests || true
attempt debian "Debian's PyTorch 1.13" debian_torch || true
attempt debian11 "programs of Debian 11" debian11 || true
attempt page "playwright, for the page" page || true
attempt package "what builds the wheel" package || true
attempt readers "what opens exports" readers || true
attempt libraries "Hugging Face's libraries, Lightning, bitsandbytes, torchvision" libraries ||
	true
attempt libraries/torch-2.11.0 "DeepSpeed and torchao" trainers || true
