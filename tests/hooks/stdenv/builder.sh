# What every derivation of the tests runs: attributes first, then the stdenv, then the phases.
# shellcheck shell=bash
# shellcheck disable=SC1090,SC1091,SC2154 # Both files and the variable exist only in a build.
if [[ -n "${NIX_ATTRS_SH_FILE:-}" ]]; then
    source "$NIX_ATTRS_SH_FILE"
fi
source "$stdenv/setup"
genericBuild
