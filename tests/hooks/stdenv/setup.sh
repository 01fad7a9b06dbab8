# A small stdenv for the tests: it does what setup hooks can see of a real one, and nothing else.
#
# Sourced by builder.sh, and by nix-shell, behind lines that set initialPath and defaultNativeBuildInputs. Shell options, what is exported, the order in which hooks are sourced and run
# and the steps of fixupPhase are those that hooks meet in a real build; compilers and tools come from the machine.
# shellcheck shell=bash
# shellcheck disable=SC2154 # Attributes are variables.
# shellcheck disable=SC2048,SC2178 # Lists are strings, or arrays with __structuredAttrs.

set -eo pipefail
shopt -s inherit_errexit nullglob

# --- attributes -------------------------------------------------------------------------------------------------------

# With __structuredAttrs the attributes are variables of this shell that no child process sees; outputs and env alone
# are exported, name by name.
if [[ -n "${NIX_ATTRS_SH_FILE:-}" ]]; then
    for name_of_output in "${!outputs[@]}"; do
        export "$name_of_output=${outputs[$name_of_output]}"
    done
    for name_of_variable in "${!env[@]}"; do
        export "$name_of_variable=${env[$name_of_variable]}"
    done
    unset name_of_output name_of_variable
fi

# Prints the outputs' names: in the order of the hash table where outputs is one.
getAllOutputNames() {
    if [[ -n "${NIX_ATTRS_SH_FILE:-}" ]]; then
        echo "${!outputs[*]}"
    else
        echo "$outputs"
    fi
}

# What an older stdenv lacks: logging functions, and lists that are strings in one mode and arrays in the other.
if [[ -z "${olderStdenv:-}" ]]; then
    nixLog() { printf '%s\n' "$*" >&"${NIX_LOG_FD:-2}"; }
    logFrom() {
        local -i level=$1
        shift
        if ((${NIX_DEBUG:-0} >= level)); then nixLog "$@"; fi
    }
    nixErrorLog() { logFrom 0 "$@"; }
    nixWarnLog() { logFrom 1 "$@"; }
    nixNoticeLog() { logFrom 2 "$@"; }
    nixInfoLog() { logFrom 3 "$@"; }
    nixTalkativeLog() { logFrom 4 "$@"; }
    nixChattyLog() { logFrom 5 "$@"; }
    nixDebugLog() { logFrom 6 "$@"; }
    nixVomitLog() { logFrom 7 "$@"; }

    # appendToVar NAME VALUE...: to an array, or to a string of words.
    appendToVar() {
        local -n list=$1
        shift
        if [[ -n "${NIX_ATTRS_SH_FILE:-}" || "$(declare -p "${!list}" 2>/dev/null)" == "declare -a"* ]]; then
            list+=("$@")
        else
            list="${list:-} $*"
        fi
    }

    # prependToVar NAME VALUE...
    prependToVar() {
        local -n list=$1
        shift
        if [[ -n "${NIX_ATTRS_SH_FILE:-}" || "$(declare -p "${!list}" 2>/dev/null)" == "declare -a"* ]]; then
            list=("$@" "${list[@]}")
        else
            list="$* ${list:-}"
        fi
    }
fi

# --- hooks ------------------------------------------------------------------------------------------------------------

# runHook NAME ARGUMENT...: what the package itself says for NAME, then the entries of the array NAMEHooks, in order.
# Every entry runs in this shell; one that fails ends the build.
runHook() {
    local hook=$1
    shift
    callNamed "$hook" "$@"
    local array="${hook%Hook}Hooks[@]" entry
    for entry in "${!array}"; do
        callEntry "$entry" "$@"
    done
}

# The package's own text for a hook: a function of that name before an attribute.
callNamed() {
    local hook=$1
    shift
    if declare -F "$hook" >/dev/null; then
        "$hook" "$@"
    elif [[ -n "${!hook:-}" ]]; then
        eval "${!hook}"
    fi
}

# An entry is the name of a function, or a command with its arguments.
callEntry() {
    local entry=$1
    shift
    if declare -F "$entry" >/dev/null; then
        "$entry" "$@"
    else
        eval "$entry"
    fi
}

# isELF FILE
isELF() {
    local start
    LC_ALL=C IFS='' read -r -n 4 start <"$1" 2>/dev/null || true
    [[ "$start" == $'\x7fELF' ]]
}

# --- dependencies -----------------------------------------------------------------------------------------------------

# Each element is "host target path": the two offsets say on which machine the package runs and for which it makes code
# (-1 build, 0 host, 1 target).
collectedInputs=()
declare -A collectedAlready=()

# The lists of a package's own inputs and the offsets that each stands for, and the same for what a package propagates.
inputLists=(depsBuildBuild:-1:-1 nativeBuildInputs:-1:0 depsBuildTarget:-1:1 depsHostHost:0:0 buildInputs:0:1
    depsTargetTarget:1:1)
propagatedFiles=(propagated-build-build-deps:-1:-1 propagated-native-build-inputs:-1:0 propagated-build-target-deps:-1:1
    propagated-host-host-deps:0:0 propagated-build-inputs:0:1 propagated-target-target-deps:1:1)

# collectInput HOST TARGET PATH: a package comes before those it propagates; once for each pair of offsets.
collectInput() {
    local -i host=$1 target=$2
    local package=$3
    local key="$host $target $package"
    if [[ -n "${collectedAlready[$key]:-}" ]]; then return 0; fi
    collectedAlready[$key]=1
    collectedInputs+=("$key")

    local list file propagated
    local -i next_host next_target
    for list in "${propagatedFiles[@]}"; do
        file="$package/nix-support/${list%%:*}"
        if [[ ! -f "$file" ]]; then continue; fi
        local offsets=${list#*:}
        next_host=$(offsetBehind "$host" "$target" "${offsets%%:*}")
        next_target=$(offsetBehind "$host" "$target" "${offsets#*:}")
        # Beyond the machines that there are: such a dependency is of no use here.
        if ((next_host < -1 || next_host > 1 || next_target < -1 || next_target > 1)); then continue; fi
        for propagated in $(<"$file"); do
            collectInput "$next_host" "$next_target" "$propagated"
        done
    done
}

# offsetBehind HOST TARGET OFFSET: what an offset within a package with offsets HOST and TARGET is, seen from outside.
offsetBehind() {
    if (($3 <= 0)); then
        echo $(($1 + $3))
    else
        echo $(($2 + $3 - 1))
    fi
}

# The offsets are variables only while the file is sourced; what it declares without -g is gone afterwards.
sourceInput() {
    # shellcheck disable=SC2034 # For the file that is sourced.
    local -i hostOffset=$1 targetOffset=$2
    local package=$3
    if [[ -f "$package" ]]; then
        # shellcheck disable=SC1090 # A hook may be a file of its own.
        source "$package"
    elif [[ -f "$package/nix-support/setup-hook" ]]; then
        # shellcheck disable=SC1091
        source "$package/nix-support/setup-hook"
    fi
    # With strictDeps only what runs on the build machine is on PATH.
    if [[ -d "$package/bin" ]] && ((hostOffset == -1)) || [[ -d "$package/bin" && -z "${strictDeps:-}" ]]; then
        PATH="$package/bin:$PATH"
    fi
}

useInputs() {
    local list offsets input host target package
    for input in $defaultNativeBuildInputs; do
        collectInput -1 0 "$input"
    done
    for list in "${inputLists[@]}"; do
        local words="${list%%:*}[*]"
        offsets=${list#*:}
        for input in ${!words:-}; do
            collectInput "${offsets%%:*}" "${offsets#*:}" "$input"
        done
        words="propagated${words^}"
        for input in ${!words:-}; do
            collectInput "${offsets%%:*}" "${offsets#*:}" "$input"
        done
    done
    for list in "${inputLists[@]}"; do
        offsets=${list#*:}
        for input in "${collectedInputs[@]}"; do
            read -r host target package <<<"$input"
            if [[ "$host:$target" == "$offsets" ]]; then sourceInput "$host" "$target" "$package"; fi
        done
    done
}

# --- fixupPhase -------------------------------------------------------------------------------------------------------

fixupPhase() {
    local output
    for output in $(getAllOutputNames); do
        if [[ -e "${!output}" ]]; then chmod -R u+w,u-s,g-s "${!output}"; fi
    done
    runHook preFixup
    for output in $(getAllOutputNames); do
        prefix="${!output}" runHook fixupOutput
    done
    local words
    if [[ -n "${propagatedBuildInputs[*]:-}" ]]; then
        mkdir -p "${!outputDev}/nix-support"
        words="${propagatedBuildInputs[*]}"
        printf '%s ' "$words" >"${!outputDev}/nix-support/propagated-build-inputs"
    fi
    if [[ -n "${propagatedNativeBuildInputs[*]:-}" ]]; then
        mkdir -p "${!outputDev}/nix-support"
        words="${propagatedNativeBuildInputs[*]}"
        printf '%s ' "$words" >"${!outputDev}/nix-support/propagated-native-build-inputs"
    fi
    runHook postFixup
}

installPhase() {
    runHook preInstall
    runHook postInstall
}

# --- the build --------------------------------------------------------------------------------------------------------

genericBuild() {
    if [[ -n "${buildCommand:-}" ]]; then
        eval "$buildCommand"
        return
    fi
    local phase
    for phase in ${prePhases[*]:-} installPhase ${preFixupPhases[*]:-} fixupPhase ${postPhases[*]:-}; do
        if [[ "$phase" == fixupPhase && -n "${dontFixup:-}" ]]; then continue; fi
        echo "Running phase: $phase"
        # An attribute of the phase's name comes before the function.
        eval "${!phase:-$phase}"
    done
}

# shellcheck disable=SC2123 # A build starts with none.
PATH=
for folder in $initialPath; do
    PATH+=${PATH:+:}${folder%/}/bin
done
unset folder
useInputs
