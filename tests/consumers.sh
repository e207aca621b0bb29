#!/bin/sh
# Builds and runs a user's programs (tests/consumers), C and C++, against the installed library and with the library as a
# part of the project: by pkg-config, CMake and meson, shared and static.  77 (skipped) if a tool is missing.
# usage: consumers.sh SOURCE_ROOT BUILD_ROOT
set -eu
source=$1 build=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
version=$("$source/scripts/version")
warnings="-Wall -Wextra -Werror -pedantic"
skipped=0
skip() {
    echo "skipped: $1"
    skipped=1
}

# quiet COMMAND...: its output only if it fails.
quiet() {
    "$@" >"$stage/log" 2>&1 || { echo "$*"; cat "$stage/log"; exit 1; }
}

# runs shared|static PROGRAM...: what each prints is the same for all of a test, and how it has the library.
features=
runs() {
    kind=$1
    shift
    for program in "$@"; do
        line=$(LD_LIBRARY_PATH=${library:-} "$program")
        : "${features:=$line}"
        if [ "$line" != "$features" ] || [ "${line##* }" != "$version" ]; then
            echo "$program prints $line, not $features" >&2
            exit 1
        fi
        needed=static
        if readelf -d "$program" | grep -q 'NEEDED.*libdifferent'; then needed=shared; fi
        if [ "$needed" != "$kind" ]; then echo "$program has a $needed library, not a $kind one" >&2; exit 1; fi
    done
    echo "ok: $what"
}

# tree NAME FORBIDDEN: a copy of what is installed, moved to another place, without the files FORBIDDEN.
quiet meson install -C "$build" --no-rebuild --destdir "$stage/installed"
pc=$(find "$stage/installed" -name differnet.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
libdir=$(dirname "$(dirname "${pc#"$stage/installed$prefix/"}")")
tree() {
    cp -a "$stage/installed$prefix" "$stage/$1"
    # shellcheck disable=SC2086
    rm -f "$stage/$1/$libdir"/$2
}
tree both none
tree static 'libdifferent.so*'
static=yes
if ! [ -f "$stage/static/$libdir/libdifferent.a" ]; then
    skip "the static library: configure with -Ddefault_library=both"
    static=no
fi
cplusplus=yes
if ! command -v c++ >/dev/null; then skip "C++: no compiler"; cplusplus=no; fi

# ---- pkg-config ----

# by_pkgconfig shared|static TREE [OPTION]
by_pkgconfig() {
    kind=$1 library=$stage/$2/$libdir
    flags=$(PKG_CONFIG_PATH=$library/pkgconfig pkg-config --define-variable=prefix="$stage/$2" ${3:-} --cflags --libs differnet)
    # shellcheck disable=SC2086
    quiet cc -std=c99 $warnings "$source/tests/consumers/main.c" -o "$stage/pc_c" $flags
    if [ $cplusplus = yes ]; then
        # shellcheck disable=SC2086
        quiet c++ -std=c++17 $warnings "$source/tests/consumers/main.cpp" -o "$stage/pc_cpp" $flags
    else
        cp "$stage/pc_c" "$stage/pc_cpp"
    fi
    what="pkg-config, $kind"
    runs "$kind" "$stage/pc_c" "$stage/pc_cpp"
}
by_pkgconfig shared both
if [ $static = yes ]; then
    by_pkgconfig static static --static
    if nm -g --defined-only "$stage/static/$libdir/libdifferent.a" | awk 'NF == 3 {print $3}' | grep -v '^dn_'; then
        echo "these names of the static library can meet the program's" >&2
        exit 1
    fi
fi

# ---- CMake ----

# by_cmake NAME shared|static CMAKE_OPTION...
by_cmake() {
    name=$1 kind=$2 what="CMake, $1"
    shift 2
    quiet cmake -G Ninja -S "$source/tests/consumers" -B "$stage/$name" -DCMAKE_BUILD_TYPE=Debug "$@"
    quiet ninja -C "$stage/$name"
    runs "$kind" "$stage/$name/consumer_c" "$stage/$name/consumer_cpp"
}

if command -v cmake >/dev/null && [ $cplusplus = yes ]; then
    library=
    by_cmake find_package shared -DCMAKE_PREFIX_PATH="$stage/both" -DASKED_VERSION="$version"
    if [ $static = yes ]; then
        by_cmake find_package-static static -DCMAKE_PREFIX_PATH="$stage/both" -DASKED_COMPONENTS=static
        by_cmake find_package-only-static static -DCMAKE_PREFIX_PATH="$stage/static" -DASKED_VERSION=0.0...9
    fi
    for asked in 99 "${version%.*}.99" "0.0...0.0.9" "0.999"; do
        if cmake -S "$source/tests/consumers" -B "$stage/refused" -DCMAKE_PREFIX_PATH="$stage/both" -DASKED_VERSION=$asked \
            >"$stage/log" 2>&1; then
            echo "CMake takes version $version for $asked" >&2
            exit 1
        fi
        grep -q 'differnetConfig.cmake, version' "$stage/log"
        rm -rf "$stage/refused"
    done
    features= # without optimisation products are not fused
    by_cmake FetchContent static -DSOURCE_OF_LIBRARY="$source" -DBUILD_SHARED_LIBS=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
    if command -v python3 >/dev/null; then
        python3 "$source/tests/compare_builds.py" "$build/compile_commands.json" "$stage/FetchContent/compile_commands.json"
    else
        skip "comparison of the builds: no python3"
    fi
    # Its shared library is configured and linked from the same objects; what it installs is found like meson's.
    quiet cmake -G Ninja -S "$source" -B "$stage/own" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_INSTALL_PREFIX="$stage/own_installed"
    sed -n 's/.*soname,\([^ ]*\).*/\1/p; s/.*SONAME = //p' "$stage/own/build.ninja" | grep -qx "libdifferent.so.${version%%.*}"
else
    skip "CMake: cmake or c++ is missing"
fi

# ---- meson ----

if [ $cplusplus = yes ]; then
    mkdir -p "$stage/host/subprojects"
    cp "$source"/tests/consumers/main.c* "$source/tests/consumers/meson.build" "$stage/host"
    cp "$source/packaging/libdifferent.wrap" "$stage/host/subprojects"
    ln -s "$source" "$stage/host/subprojects/libdifferent"
    quiet meson setup "$stage/meson" "$stage/host" --wrap-mode forcefallback -Dbuildtype=debug
    if meson introspect --targets "$stage/meson" | grep -e '"name": "differnet"' -e '"name": "test_'; then
        echo "the subproject builds its command or its tests" >&2
        exit 1
    fi
    quiet ninja -C "$stage/meson"
    what="meson, subproject"
    library=
    runs shared "$stage/meson/consumer_c" "$stage/meson/consumer_cpp"
fi
[ $skipped -eq 0 ] || exit 77
