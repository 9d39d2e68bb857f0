#!/usr/bin/env bash
# The hardware check: builds Foretoken with CUDA on a bare machine, tests it there and measures it.
#
#   tests/gpu/check.sh pack FOLDER    on a machine with the .NET SDK: collects in FOLDER what the other machine needs, which is
#                                     our native sources, the pinned llama.cpp, and the command foretoken with its runtime. The
#                                     models are made over there, with random weights.
#   FOLDER/tests/gpu/check.sh build   over there, first call: builds with CUDA and runs the C++ tests on the CPU, then the staged
#                                     ones with all layers on the GPU
#   FOLDER/tests/gpu/check.sh bench   over there, second call: TTFT at 1, 2 and 2.9 beside unpatched llama.cpp, of the shapes
#                                     llama-3.2-1b and llama-3.1-8b, at 2,048, 8,192 and 32,768 tokens
#
# The other machine needs nvcc, CMake, make or ninja, git and a C++ compiler; neither a network nor .NET. Each call is meant
# for ten minutes at most on sixteen cores, and leaves its log and numbers in FOLDER/out (in $OUT where that is set).
#
#   FORETOKEN_NATIVE_OPTIONS   options of the build; default --cuda. Empty: a rehearsal on a machine without a GPU.
#   FORETOKEN_GPU_SHAPES       shapes of the benchmark
#   FORETOKEN_GPU_LENGTHS      prompt lengths of the benchmark
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${OUT:-$root/out}
options=${FORETOKEN_NATIVE_OPTIONS---cuda}
gpu_layers=0
[[ " $options " != *" --cuda "* ]] || gpu_layers=-1

note() { printf 'gpu check: %s\n' "$*" >&2; }

die() {
    note "error: $*"
    exit 1
}

# bundle SOURCE FILE: the release's tree as one commit without a history; the build compares its hash with the pinned one
bundle() {
    local commit ref=refs/foretoken/release bare
    bare=$(mktemp -d)
    commit=$(git -C "$1" -c user.name=foretoken -c user.email=foretoken@localhost commit-tree 'HEAD^{tree}' -m release)
    git -C "$1" update-ref "$ref" "$commit"
    git init --quiet --bare "$bare"
    git -C "$bare" fetch --quiet "$1" "$ref:refs/heads/release"
    git -C "$1" update-ref -d "$ref"
    git -C "$bare" symbolic-ref HEAD refs/heads/release
    git -C "$bare" bundle create --quiet "$2" HEAD
    rm -rf "$bare"
}

pack() {
    local target=$1
    [[ ! -e $target || -z $(ls -A "$target") ]] || die "$target is not empty"
    mkdir -p "$target"
    target=$(cd "$target" && pwd)
    bundle "$("$root/native-patches/build.sh" --source-only)" "$target/llama.bundle"
    (cd "$root" && git ls-files -z -- native-patches src/Foretoken.Native tests/gpu LICENSE NOTICE | xargs -0 cp --parents -t "$target")
    # of the libraries only .NET's own are trimmed: ours and the console's are found by reflection
    dotnet publish "$root/src/Foretoken.Cli" -c Release -r linux-x64 --self-contained --nologo -v quiet -o "$target/cli" \
        -p:PublishSingleFile=true -p:EnableCompressionInSingleFile=true -p:PublishTrimmed=true -p:TrimMode=partial \
        -p:SuppressTrimAnalysisWarnings=true -p:DebugType=none
    # the native library is compiled over there
    find "$target/cli" \( -name '*.so' -o -name '*.so.*' \) -delete
    rm -rf "$target/cli/runtimes"
    note "$(du -sh "$target" | cut -f 1) in $target"
}

# the folder of the built library
native() { printf '%s/artifacts/native/%s\n' "$root" "$(cat "$root/artifacts/native/current")"; }

build() {
    # shellcheck disable=SC2086 # a list of options
    FORETOKEN_LLAMA_SOURCE=$root/llama.bundle "$root/native-patches/build.sh" --no-rpc $options
    ctest --test-dir "$(native)/tests" --output-on-failure
    note "the staged tests, with FORETOKEN_TEST_GPU_LAYERS=$gpu_layers"
    FORETOKEN_TEST_GPU_LAYERS=$gpu_layers "$(native)/tests/test-staged"
}

bench() {
    local shape lengths=${FORETOKEN_GPU_LENGTHS:-2048,8192,32768}
    export FORETOKEN_NATIVE_DIR
    FORETOKEN_NATIVE_DIR=$(native)/lib
    for shape in ${FORETOKEN_GPU_SHAPES:-llama-3.2-1b llama-3.1-8b}; do
        note "$shape at $lengths tokens"
        (cd "$root" && "$root/cli/Foretoken.Cli" bench --synthetic "$shape" --lengths "$lengths" --targets 1,2,2.9 --pairs 2 \
            --calibrate 20 --gpu-layers "$gpu_layers" --max-minutes 4 --json "$out/bench-$shape.json")
    done
}

case ${1:-} in
    pack)
        [[ $# -eq 2 ]] || die "usage: tests/gpu/check.sh pack FOLDER"
        pack "$2"
        ;;
    build | bench)
        [[ -f $root/llama.bundle ]] || die "this is no packed folder; tests/gpu/check.sh pack FOLDER makes one"
        mkdir -p "$out"
        "$1" 2>&1 | tee "$out/$1.log"
        ;;
    *) die "usage: tests/gpu/check.sh pack FOLDER | build | bench" ;;
esac
