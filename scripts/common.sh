# Sourced by the other scripts: where the checkout is, where to build, how to speak.
# shellcheck shell=bash

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

say() { printf '\n==> %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The checkout may belong to another user (a mounted folder, a CI runner); git must read it nevertheless.
kairo_git() { git -c safe.directory="$root" -C "$root" "$@"; }

# build_root: build/ below the checkout, or, where another user owns that, a folder in the caller's cache.
choose_build_root() {
  if [ -n "${KAIRO_BUILD_ROOT:-}" ]; then
    build_root=$KAIRO_BUILD_ROOT
  else
    build_root=$root/build
    local each
    [ -d "$build_root" ] && each=$build_root || each=$root
    if ! [ -w "$each" ]; then
      build_root=
    else
      for each in "$build_root"/{third_party,release,dev,fuzz,tidy-cache} \
        "$build_root"/{release,dev,fuzz}/{.ninja_log,CMakeCache.txt,bin}; do
        if [ -e "$each" ] && ! [ -w "$each" ]; then build_root=; fi
      done
    fi
    if [ -z "$build_root" ]; then
      build_root=${XDG_CACHE_HOME:-${HOME:?}/.cache}/kairo/build-$(printf %s "$root" | sha256sum | cut -c1-12)
      [ -n "${KAIRO_QUIET:-}" ] || printf 'build/ is not writable for %s: building in %s\n' "$(id -un)" "$build_root" >&2
    fi
  fi
  mkdir -p "$build_root" || die "cannot make $build_root"
  export KAIRO_BUILD_ROOT=$build_root
}

# The compiler cache, unless it is missing or its folder is not ours to write.
choose_ccache() {
  launcher=
  command -v ccache > /dev/null || return 0
  local dir=${CCACHE_DIR:-${HOME:-/nonexistent}/.cache/ccache}
  if mkdir -p "$dir" 2> /dev/null && [ -w "$dir" ]; then launcher=ccache; fi
  # Another checkout finds what this one compiled.
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=yes
  # lib/kernel is built with a precompiled header, which ccache takes only so.
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
}
