#!/bin/sh
# The manual pages format without a warning, and both shells complete verbs and options.
# usage: command_files.sh FOLDER
set -eu
cd "$1"
for page in *.1; do
    grep -q '^\.SH SYNOPSIS' "$page"
    if command -v man >/dev/null; then
        warnings=$(MANROFFSEQ='' MANWIDTH=120 man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
        if [ -n "$warnings" ]; then echo "$page: $warnings" >&2; exit 1; fi
    fi
done
completes() { # completes EXPECTED WORD...
    expected=$1
    shift
    bash -c '. ./differnet.bash; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _differnet; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$@" | grep -qx -e "$expected" || { echo "bash does not complete $* to $expected" >&2; exit 1; }
}
completes score differnet sc
completes --json differnet score --js
completes --preset differnet train --pre
completes --f16 differnet train --f
if command -v zsh >/dev/null; then zsh -n _differnet; else echo "no zsh: not checked"; fi
grep -q -e "score).*--json" _differnet
