#!/bin/sh
# Makes an archive of one object file, in which only the names dn_* are global, of one with many: a program that links it may have
# functions of the same names.
# usage: localize_names.sh ARCHIVE OUT OBJCOPY AR COMPILER...
set -eu
archive=$1 out=$2 objcopy=$3 ar=$4
shift 4
object=${out%.a}.o
"$@" -r -nostdlib -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -o "$object"
"$objcopy" --wildcard --keep-global-symbol='dn_*' "$object"
rm -f "$out"
"$ar" rcs "$out" "$object"
rm "$object"
