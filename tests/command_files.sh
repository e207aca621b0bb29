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
# zsh matches what it is offered by itself: offers EXPECTED WORD...
offers() {
    expected=$1
    shift
    # shellcheck disable=SC2016 # it is zsh that expands
    zsh -fc 'compadd() { shift; print -rl -- "$@" }; _describe() { print -rl -- ${(P)2} }; _files() { print -r files }
        complete() { words=("$@") CURRENT=$# PREFIX=$@[-1]; . ./_differnet }; complete "$@"' zsh "$@" |
        grep -qx -e "$expected" || { echo "zsh does not offer $expected for $*" >&2; exit 1; }
}
if command -v zsh >/dev/null; then
    offers "calibrate:change a model's verdicts.*" differnet cal
    offers --json differnet score part.dnm --js
    offers --preset differnet train --pre
    offers --pictures differnet eval -
    offers files differnet score part.dnm ''
else
    echo "no zsh: not checked"
fi
