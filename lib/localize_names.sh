#!/bin/sh
# Makes an archive of one object file, in which only the names dn_* are global, of one with many: a program that links it may have
# functions of the same names.
# usage: localize_names.sh ARCHIVE OUT OBJCOPY AR COMPILER [FLAG...]
set -eu
archive=$1 out=$2 objcopy=$3 ar=$4
shift 4
object=${out%.a}.o
# A sanitizer's or profiler's own library is the program's, not a part of this one.
for word in "$@"; do
    shift
    case $word in -fsanitize* | -fprofile* | --coverage) ;; *) set -- "$@" "$word" ;; esac
done
"$@" -r -nostdlib -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -o "$object"
"$objcopy" --wildcard --keep-global-symbol='dn_*' "$object"
rm -f "$out"
"$ar" rcs "$out" "$object"
rm "$object"
