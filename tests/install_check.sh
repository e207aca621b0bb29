#!/bin/sh
# Installs into an empty folder and builds every example against the result, by pkg-config alone.
# usage: install_check.sh SOURCE_ROOT BUILD_ROOT
set -eu
source=$1 build=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

meson install -C "$build" --no-rebuild --quiet --destdir "$stage"
pc=$(find "$stage" -name differnet.pc)
library=$(dirname "$(dirname "$pc")")
version=$("$source/scripts/version")

PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$stage
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
test "$(pkg-config --modversion differnet)" = "$version"
pkg-config --libs differnet | grep -q -- '-ldifferent'
if pkg-config --libs differnet | grep -q -- '-lpng'; then
    echo "differnet.pc makes programs link the library's private dependencies" >&2
    exit 1
fi
test -f "$library/libdifferent.so.$version"
readelf -d "$library/libdifferent.so" | grep -q "SONAME.*libdifferent.so.${version%%.*}"
test -f "$(find "$stage" -path '*/include/differnet.h')"
test -f "$(find "$stage" -path '*/include/differnet.hpp')"

# Nothing can be written over that the loader has filled in; and on x86-64 functions begin with what a processor that
# guards branches wants to see there.
for file in "$library/libdifferent.so" $(find "$stage" -path '*/bin/differnet'); do
    readelf -d "$file" | grep -q BIND_NOW
    readelf -lW "$file" | grep -q GNU_RELRO
    readelf -lW "$file" | grep GNU_STACK | grep -q ' RW '
    if [ "$(uname -m)" = x86_64 ]; then test "$(objdump -d "$file" | grep -c endbr64)" -gt 100; fi
done

# Outside the system's folders the command finds the library beside itself, and after a move too.
program=$(find "$stage" -path '*/bin/differnet' ! -path "$stage/usr/bin/*")
if [ -n "$program" ]; then
    env -u LD_LIBRARY_PATH "$program" --version
    top=$(dirname "$(dirname "$program")")
    mv "$top" "$stage/moved"
    env -u LD_LIBRARY_PATH "$stage/moved/bin/differnet" --version
    mv "$stage/moved" "$top"
fi

LD_LIBRARY_PATH=$library
export LD_LIBRARY_PATH
flags=$(pkg-config --cflags --libs differnet)
for example in "$source"/examples/*.c; do
    # shellcheck disable=SC2086
    cc -std=c11 -Wall -Wextra -Werror "$example" -o "$stage/program" $flags -pthread
    status=0
    "$stage/program" 2>"$stage/usage" || status=$?
    test "$status" -eq 2 && grep -q usage "$stage/usage"
    case $example in # without OpenBLAS (-Dblas=disabled), too, it gets as far as the files
    */camera_threads.c) set -- absent ;;
    */train_and_score.c) set -- absent -- absent ;;
    *) set -- absent absent absent ;;
    esac
    status=0
    "$stage/program" "$@" 2>"$stage/error" || status=$?
    test "$status" -eq 2 && grep -q -e absent -e backbone "$stage/error"
done
if command -v c++ >/dev/null; then
    for example in "$source"/examples/*.cpp; do
        case $example in
        */opencv.cpp)
            more="-isystem /usr/include/opencv4 -lopencv_core"
            if ! test -f /usr/include/opencv4/opencv2/core.hpp; then echo "no OpenCV: opencv.cpp is not built"; continue; fi
            ;;
        *) more= ;;
        esac
        # shellcheck disable=SC2086
        c++ -std=c++17 -Wall -Wextra -Werror "$example" -o "$stage/program" $flags $more
        status=0
        "$stage/program" 2>"$stage/usage" || status=$?
        test "$status" -eq 2 && grep -q usage "$stage/usage"
    done
fi
for file in "$source"/examples/*.c "$source"/examples/*.cpp; do
    test "$(wc -l <"$file")" -lt 100
done
