#!/usr/bin/env bash
# Makes a virtual environment with the engines that bench/run compares with.
#
#   bench/peers.sh DIR          then: bench/run BUILD --python DIR/bin/python
#
# Needs Python 3.11 or later with venv, pip that can reach a package index, and about 8 GB of disk: the index's PyTorch
# brings its GPU libraries along, which stay unused.  Versions are pinned: those that docs/performance.md was measured
# with.  One engine that cannot be installed does not keep the others out; bench/run reports it as absent.
set -euo pipefail

if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
    echo "usage: bench/peers.sh DIR" >&2
    exit 2
fi
folder=$1
packages=(torch==2.15.0 onnxruntime==1.32.0 openvino==2026.4.1 ncnn==1.0.20261020)

python3 -m venv "$folder"
# What all of them need: the arrays, and the format that networks are handed over in.
"$folder/bin/python" -m pip install --quiet numpy==2.4.6 onnx==1.23.2
missing=()
for package in "${packages[@]}"; do
    "$folder/bin/python" -m pip install --quiet "$package" || missing+=("$package")
done
"$folder/bin/python" -m pip list --format=freeze |
    grep -E '^(torch|onnx|onnxruntime|openvino|ncnn|numpy)==' || true
if [ ${#missing[@]} -ne 0 ]; then
    echo "not installed: ${missing[*]}" >&2
    exit 1
fi
