# shellcheck shell=bash disable=SC2034
# Sourced by scripts/demo and scripts/test: installs Debian packages that are missing.

# install_packages NAME...: nothing happens, and no privilege is needed, when all are there.
install_packages() {
    local missing=() package native
    native=$(dpkg --print-architecture)
    for package in "$@"; do
        # Other architectures' may be there as well.
        if ! dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null |
            grep -Ex "($native|all) installed" >/dev/null; then
            missing+=("$package")
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "not root and no sudo: install by hand: ${missing[*]}" >&2; return 1; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# What the library and the command need to be built.
build_packages=(gcc libc6-dev pkg-config meson ninja-build libopenblas-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev
    libdeflate-dev libtiff-dev libjansson-dev) # jansson: differnet convert alone
