#!/bin/sh
# Builds and tests the Rust crates, and runs the samples in other languages, against the library just built, each where its
# tool is installed.  77 (skipped) if none is.
# usage: languages.sh SOURCE_ROOT BUILD_ROOT LIBRARY_FOLDER JSON
set -eu
source=$1 build=$2 libdir=$(cd "$3" && pwd) json=$(cd "$(dirname "$4")" && pwd)/$(basename "$4")
stage=$(mktemp -d)
trap 'chmod -R u+w "$stage"; rm -rf "$stage"' EXIT
ran=no

# Where the tools look for the library: as if it was installed.
mkdir "$stage/pkgconfig"
cat >"$stage/pkgconfig/differnet.pc" <<EOF
libdir=$libdir
abi=$json
Name: differnet
Description: the library just built
Version: $("$source/scripts/version")
Libs: -L$libdir -ldifferent
Cflags: -I$source/include
EOF
PKG_CONFIG_PATH=$stage/pkgconfig LD_LIBRARY_PATH=$libdir
export PKG_CONFIG_PATH LD_LIBRARY_PATH

# A model, what the command says, and the first digits of the score.
command=$build/tools/differnet
"$build/tools/demo/differnet-demo-parts" "$stage/parts" --good 3 >/dev/null
image=$stage/parts/test/scratch/000.png
has_backbone=yes
"$command" train "$stage/parts" -o "$stage/part.dnm" --preset fast --quiet 2>"$stage/log" || has_backbone=no
if [ $has_backbone = yes ]; then
    "$command" score "$stage/part.dnm" "$image" --json >"$stage/expected" 2>/dev/null || [ $? -eq 1 ]
    expected=$(sed -n 's/.*"score": \([0-9.]*\).*/\1/p' "$stage/expected")
fi

# says LANGUAGE COMMAND...: the score that the command says.
says() {
    language=$1
    shift
    "$@" "$stage/part.dnm" "$image" >"$stage/said" 2>"$stage/log" || { cat "$stage/log"; exit 1; }
    awk -v expected="$expected" '{ sub(/.*score /, ""); d = $1 - expected; found = d < 0.001 && d > -0.001 } END { exit !found }' \
        "$stage/said" || { echo "$language says"; cat "$stage/said"; exit 1; }
    echo "$language: ok"
    ran=yes
}

if command -v cargo >/dev/null; then
    cp -r "$source/bindings/rust" "$stage/rust"
    (cd "$stage/rust" && CARGO_TARGET_DIR=$stage/target RUSTFLAGS=-Dwarnings CARGO_HOME=$stage/cargo cargo test --offline --quiet) \
        >"$stage/log" 2>&1 || { cat "$stage/log"; exit 1; }
    grep -q 'test result: ok. 2 passed' "$stage/log"
    echo "Rust: ok"
    ran=yes
else
    echo "Rust: skipped, no cargo"
fi
if command -v go >/dev/null && [ $has_backbone = yes ]; then
    GOCACHE=$stage/go GOFLAGS=-mod=mod GO111MODULE=off go build -o "$stage/inspect_go" "$source/examples/go/inspect.go"
    says Go "$stage/inspect_go"
else
    echo "Go: skipped, no go"
fi
if command -v dotnet >/dev/null && [ $has_backbone = yes ]; then
    cp -r "$source/examples/csharp" "$stage/csharp"
    dotnet build -o "$stage/csharp_out" "$stage/csharp" >"$stage/log" 2>&1 || { cat "$stage/log"; exit 1; }
    says "C#" dotnet "$stage/csharp_out/Inspect.dll"
elif command -v mcs >/dev/null && command -v mono >/dev/null && [ $has_backbone = yes ]; then
    mcs -unsafe -warnaserror -out:"$stage/inspect.exe" "$source/examples/csharp/Inspect.cs"
    says "C#, by mono" mono "$stage/inspect.exe"
else
    echo "C#: skipped, no dotnet and no mono"
fi
if command -v node >/dev/null && NODE_PATH=$(npm root -g 2>/dev/null) && [ -d "$NODE_PATH/koffi" ] && [ $has_backbone = yes ]; then
    mkdir "$stage/node"
    cp "$source/examples/node/inspect.mjs" "$stage/node"
    ln -s "$NODE_PATH" "$stage/node/node_modules"
    says Node node "$stage/node/inspect.mjs"
elif command -v node >/dev/null; then
    node --check "$source/examples/node/inspect.mjs"
    echo "Node: read, but not run: no koffi"
else
    echo "Node: skipped, no node"
fi
[ $ran = yes ] || exit 77
