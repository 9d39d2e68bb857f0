#!/usr/bin/env bash
# Tests which build is taken when another one fails its self-test (prove.sh). Nothing is compiled: compiling and testing are
# stood in for.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=native-patches/prove.sh
source "$(dirname "${BASH_SOURCE[0]}")/prove.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tests=0
failed=0

# levels whose self-test fails, and the features that the compiler found
broken=''
features=''
level=''

build_ggml() {
    level=$1
    printf '%s\n' "$1" >> "$scratch/built"
}

run_selftest() {
    if [[ ${1:-} == --libraries ]]; then
        printf 'ggml-cpu: %s\n' "$features"
    elif [[ " $broken " == *" $level "* ]]; then
        printf 'f16: right (CPU), relative error 1e-08\nq4_0 weights in AMX times 17 rows: Illegal instruction (signal 4)\n'
        return 1
    fi
}

# proves CLAIM BROKEN FEATURES ASKED BUILT LEVEL: of a build for ASKED, where those of BROKEN fail, the levels in BUILT are
# compiled and LEVEL is taken; LEVEL "none" stands for an error
proves() {
    local status=0 built got
    tests=$((tests + 1))
    broken=$2
    features=$3
    rm -f "$scratch/built"
    (prove "$4" && printf '%s\n' "$cpu_level" > "$scratch/level" && printf '%s\n' "$cpu_reason" > "$scratch/reason") 2> "$scratch/said" || status=$?
    built=$(tr '\n' ' ' < "$scratch/built")
    got=$(cat "$scratch/level" 2> /dev/null || true)
    if [[ $status -ne 0 ]]; then
        got=none
    fi
    rm -f "$scratch/level"
    if [[ ${built% } != "$5" || $got != "$6" ]]; then
        note "FAILED: $1: compiled '${built% }', took '$got'"
        failed=$((failed + 1))
    fi
    # whatever was not taken is named, with the reason
    if [[ -n $2 && $(grep -c 'signal 4' "$scratch/said") -eq 0 ]]; then
        note "FAILED: $1: nothing was said about it: $(cat "$scratch/said")"
        failed=$((failed + 1))
    fi
}

proves "A build that computes rightly is taken" '' 'avx2 amx_int8' native native native
proves "A build whose AMX fails is made again without" native 'avx2 amx_int8' native 'native no-amx' no-amx
proves "Without AMX in it, the same is not compiled again" native 'avx2 avx512f' native 'native safe' safe
proves "What fails without AMX, too, is made plain" 'native no-amx' 'avx2 amx_int8' native 'native no-amx safe' safe
proves "Of a portable build the plain variants are taken" portable 'avx2 amx_int8' portable 'portable safe' safe
proves "Where nothing works there is no library" 'native no-amx safe' 'avx2 amx_int8' native 'native no-amx safe' none

[[ $failed -eq 0 ]] || die "$failed of $tests cases are wrong"
note "$tests cases of builds that fail their self-test"
