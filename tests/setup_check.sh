#!/bin/sh
# Configures the build as guests do: on a machine without Check.
# usage: setup_check.sh SOURCE_ROOT
set -eu
source=$1
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

expect() { # expect yes|no FOLDER PATTERN: whether meson's introspection of FOLDER's targets holds PATTERN
    found=no
    if meson introspect --targets "$2" | grep "$3" >/dev/null; then found=yes; fi
    if [ "$found" != "$1" ]; then
        echo "$2: target $3: $found, expected $1" >&2
        exit 1
    fi
}

# Every package but Check, as pkg-config sees them; CMake would find it, too.
mkdir "$stage/packages"
for folder in $(pkg-config --variable pc_path pkg-config | tr ':' ' '); do
    if [ -d "$folder" ]; then find "$folder" -name '*.pc' ! -name check.pc -exec ln -sf {} "$stage/packages" \; ; fi
done
printf "[binaries]\ncmake = '%s/absent'\n" "$stage" >"$stage/without_cmake"

# setup FOLDER [meson options]: a configuration without Check.
setup() {
    folder=$1
    shift
    PKG_CONFIG_LIBDIR=$stage/packages meson setup "$folder" "$source" --native-file "$stage/without_cmake" "$@" \
        >"$stage/log" 2>&1
}

setup "$stage/plain" || { cat "$stage/log"; exit 1; }
expect yes "$stage/plain" '"name": "differnet"'
expect no "$stage/plain" test_
if setup "$stage/required" -Dtests=enabled; then
    echo "-Dtests=enabled did not miss Check" >&2
    exit 1
fi
grep -q 'Dependency "check" not found' "$stage/log"

# Folders outside of the prefix are named as they are.
setup "$stage/outside" --prefix "$stage/prefix" --libdir "$stage/out/lib" --includedir "$stage/out/include" \
    --datadir "$stage/out/share" --bindir "$stage/out/bin" || { cat "$stage/log"; exit 1; }
grep -qx "abi=$stage/out/share/differnet/differnet.json" "$stage/outside/meson-private/differnet.pc"
grep -q "\"$stage/out/include\"" "$stage/outside/packaging/differnetConfig.cmake"

if setup "$stage/bench" -Dbench=true -Ddefault_library=static; then
    echo "-Dbench=true did not miss the shared library" >&2
    exit 1
fi
grep -q 'needs the shared library' "$stage/log"
