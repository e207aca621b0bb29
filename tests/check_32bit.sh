#!/bin/sh
# Compiles every file for 32-bit x86 as far as diagnosing goes: sizes that do not fit, shifts that are too wide.  Skipped
# (77) where the compiler has no 32-bit C library.
# usage: check_32bit.sh SOURCE_ROOT
set -eu
cd "$1"
if ! printf '#include <stdlib.h>\n' | gcc -m32 -fsyntax-only -x c - 2>/dev/null; then
    echo "no 32-bit C library (libc6-dev-i386): skipped"
    exit 77
fi
flags=$(pkg-config --cflags openblas libpng libjpeg libdeflate jansson)
# Headers of other libraries are the same for both, where they are found at all.
others=$(gcc -print-multiarch)
for file in $(find lib tools -name '*.c' ! -path 'tools/pretrain/*'); do
    # shellcheck disable=SC2086
    gcc -m32 -msse2 -mfpmath=sse -fsyntax-only -std=c11 -Wall -Wshadow -Werror -D_FILE_OFFSET_BITS=64 \
        -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DDN_OPENBLAS=1 -DDN_PRODUCTS=0 -Iinclude -Ilib -Itools $flags -idirafter "/usr/include/$others" "$file"
done
