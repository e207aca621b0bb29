#!/bin/sh
# Compiles every file of the library for other processors and C libraries, as far as diagnosing goes: sizes that do not
# fit, shifts that are too wide, functions that only glibc has; and the public header for a compiler that is not GNU's.
# Skipped (77) where a compiler is missing.  arm64 and armhf: scripts/cross.
# usage: check_platforms.sh SOURCE_ROOT
set -eu
cd "$1"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
skipped=0

# Headers of other libraries say the same for all processors, where they are found at all.
others="$(pkg-config --cflags openblas libpng libjpeg libdeflate libtiff-4 jansson | sed 's/-I/-idirafter /g') \
    -idirafter /usr/include/$(cc -print-multiarch) -idirafter /usr/include"

# check NAME FOLDERS COMPILER...: compiles all of FOLDERS.
check() {
    name=$1 folders=$2
    shift 2
    if ! command -v "$1" >/dev/null || ! printf '#include <stdlib.h>\n' | "$@" -fsyntax-only -x c - 2>/dev/null; then
        echo "$name: skipped, no compiler ($*)"
        skipped=77
        return
    fi
    # shellcheck disable=SC2046,SC2086
    "$@" -fsyntax-only -std=c11 -Wall -Wextra -Wshadow -Werror -D_FILE_OFFSET_BITS=64 -D_POSIX_C_SOURCE=200809L \
        -D_DEFAULT_SOURCE -DDN_OPENBLAS=1 -DDN_PRODUCTS=0 -DDN_WITH_TIFF -Iinclude -Ilib -Itools $others \
        $(find $folders -name '*.c' ! -path 'tools/pretrain/*')
    echo "$name: ok"
}

if [ "$(uname -m)" = x86_64 ]; then check "32-bit x86" "lib tools" gcc -Wno-type-limits -m32 -msse2 -mfpmath=sse; fi
check musl lib musl-gcc

# What a compiler that is not GNU's reads of the public header, on Windows.
windows="-D_WIN32 -U__GNUC__ -Iinclude -include stdint.h"
# shellcheck disable=SC2086
printf '#include "differnet.h"\n' | cc $windows -D'__declspec(x)=' -fsyntax-only -std=c99 -Wall -Wextra -pedantic -Werror -x c -
printf '#include "differnet.h"\n' | cc $windows -E -x c - >"$stage/imported"
printf '#include "differnet.h"\n' | cc $windows -DDN_STATIC -E -x c - >"$stage/static"
grep -q '^__declspec(dllimport) *dn_status dn_model_open_path' "$stage/imported"
if grep __attribute__ "$stage/imported" | grep dn_ || grep __declspec "$stage/static"; then
    echo "these are not for every compiler" >&2
    exit 1
fi
echo "header for Windows: ok"
exit $skipped
