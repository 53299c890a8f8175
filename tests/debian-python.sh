#!/bin/sh
# debian-python.sh FOLDER ARGS...: Debian's own Python with the packages that setup.sh
# unpacked below FOLDER/root (python3-torch 1.13 and what it needs).
root=$1/root
shift
lib=/usr/lib/x86_64-linux-gnu
# libblas and liblapack are alternatives: installed packages get links, unpacked ones none
lib="$lib $lib/blas $lib/lapack $lib/openblas-pthread /usr/lib /lib/x86_64-linux-gnu"
path=$(printf "$root%s:" $lib)
export LD_LIBRARY_PATH="${path%:}"
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$root/usr/lib/python3/dist-packages"
exec /usr/bin/python3 "$@"
