# wrapProgram FILE: the program hides behind a program of its name.
# shellcheck shell=bash

wrapProgram() {
    local hidden
    hidden="$(dirname "$1")/.$(basename "$1")-wrapped"
    mv "$1" "$hidden"
    gcc -DTARGET="\"$hidden\"" -o "$1" "@wrapperSource@"
}
