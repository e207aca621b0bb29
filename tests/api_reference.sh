#!/bin/sh
# libdifferent(3) formats without a warning, Doxygen reads the header without one, and both hold every exported function.
# usage: api_reference.sh SOURCE_ROOT MANUAL_PAGE
set -eu
page=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$1"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
functions=$(grep -o '^ *dn_[a-z0-9_]*;' lib/differnet.map | tr -d ' ;')
[ "$(echo "$functions" | wc -l)" -gt 100 ]

# holds WHAT FILE...: whether every function stands there.
holds() {
    what=$1
    shift
    for function in $functions; do
        grep -qw "$function" "$@" || { echo "$what does not tell of $function" >&2; exit 1; }
    done
}

holds "libdifferent(3)" "$page"
if command -v man >/dev/null; then
    warnings=$(MANROFFSEQ='' MANWIDTH=140 man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
    if [ -n "$warnings" ]; then echo "$page: $warnings" >&2; exit 1; fi
fi
if ! command -v doxygen >/dev/null; then
    echo "skipped: no doxygen (Debian: doxygen)"
    exit 77
fi
{ cat docs/Doxyfile && echo "OUTPUT_DIRECTORY = $stage"; } | doxygen - >"$stage/log" 2>&1 || { cat "$stage/log" >&2; exit 1; }
holds "the API reference" "$stage"/html/group__*.html "$stage"/html/index.html "$stage"/html/differnet_8h.html
