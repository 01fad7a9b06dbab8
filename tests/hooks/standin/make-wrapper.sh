# wrapProgram FILE: the program hides behind a script of its name.
# shellcheck shell=bash

wrapProgram() {
    local hidden
    hidden="$(dirname "$1")/.$(basename "$1")-wrapped"
    mv "$1" "$hidden"
    # shellcheck disable=SC2016 # For the script.
    printf '#!/bin/bash\nexport WRAPPED=1\nexec "%s" "$@"\n' "$hidden" >"$1"
    chmod +x "$1"
}
