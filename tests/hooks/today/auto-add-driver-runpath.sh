# shellcheck shell=bash
if [ -z "${dontUseAutoAddDriverRunpath-}" ]; then
    echo "Using autoAddDriverRunpath"
    postFixupHooks+=("autoFixElfFiles addDriverRunpath")
fi
