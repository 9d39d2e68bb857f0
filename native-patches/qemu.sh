#!/usr/bin/env bash
# Runs the native library on processors that are not here, with QEMU's emulation of programs (Debian: qemu-user).
#
#   native-patches/qemu.sh [--all]
#
# Without options, for ./run test: ggml for many processors, in two variants, computes rightly under a processor without AVX, one
# without FMA and AVX2, and one with both, and answers a question there through the library of the current build; the current build,
# if it was compiled for more, is refused there with a sentence, by the chat and by the doctor, and not ended by a signal.
#
#   --all   the whole build for many processors, with all C++ tests; and 64-bit ARM, cross-compiled (Debian:
#           g++-aarch64-linux-gnu), which takes as long as two builds
#
# What QEMU does not emulate cannot be tried: AVX-512 and AMX.
#
#   FORETOKEN_TEST_MODEL   the model that is asked; default: the one in samples/models
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

repo=$(cd "$PATCH_DIR/.." && pwd)
out=$repo/artifacts/native
all=0
case ${1:-} in
    '') ;;
    --all) all=1 ;;
    -h | --help)
        sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) die "unknown option: $1" "Options: --all" ;;
esac

# without AVX; with AVX, without FMA and AVX2; with both
processors=(Nehalem IvyBridge Haswell)

case $(uname -sm) in
    'Linux x86_64') ;;
    *)
        note "skipped: other processors are tried on Linux on x86-64"
        exit 0
        ;;
esac
if ! command -v qemu-x86_64 > /dev/null; then
    note "skipped: other processors, because QEMU is not here (Debian: apt-get install qemu-user)"
    exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive

key=$(cat "$out/current" 2> /dev/null) || die "there is no native build" "./run build makes one."
current=$out/$key
model=${FORETOKEN_TEST_MODEL:-$(find "$repo/samples/models" -name '*-00001-of-*.gguf' | LC_ALL=C sort | head -n 1)}

# the tests write files where they are
cd "$scratch"
failed=0

# under PROCESSOR PROGRAM...: without QEMU's warnings about what it leaves out of the processor. A program that such a program
# starts in its place would run on this machine's
under() {
    local processor=$1 status=0
    shift
    qemu-x86_64 -cpu "$processor" "$@" > "$scratch/out" 2> "$scratch/err" || status=$?
    grep -v "^qemu-x86_64: warning: TCG doesn't support" "$scratch/err" >> "$scratch/out" || true
    return "$status"
}

# expect CLAIM STATUS PATTERN COMMAND...: the command ends with STATUS and says PATTERN
expect() {
    local claim=$1 wanted=$2 pattern=$3 status=0
    shift 3
    "$@" || status=$?
    if [[ $status -ne $wanted ]] || ! grep -qE -- "$pattern" "$scratch/out"; then
        note "FAILED: $claim: status $status"
        tail -n 12 "$scratch/out" | sed 's/^/        /' >&2
        failed=$((failed + 1))
    else
        note "$claim"
    fi
}

# answers FOLDER: the build in FOLDER computes rightly under every processor, and answers
answers() {
    local folder=$1 processor
    for processor in "${processors[@]}"; do
        expect "$processor: the build for many processors computes rightly" 0 '^flash-attention: right' \
            under "$processor" "$folder/bin/foretoken-selftest"
        expect "$processor: it answers" 0 'the answer: .' under "$processor" "$folder/tests/test-answer" "$model"
        sed -n 's/.*the answer: /        /p; s/.*"library": *"\([^"]*\)".*/        \1/p' "$scratch/out" >&2
    done
}

# refuses FOLDER: the chat and `foretoken doctor` say that the build in FOLDER needs more than the processor has, and end as programs
# do
refuses() {
    local folder=$1 processor needed dotnet missing status name
    local chat=("$repo/src/Foretoken.Cli/bin/Release/net10.0/Foretoken.Cli.dll" chat --model "$model" --ask "What is this?" --max-tokens 2)
    local doctor=("$repo/src/Foretoken.Cli/bin/Release/net10.0/Foretoken.Cli.dll" doctor "$model")
    if ! command -v dotnet > /dev/null || [[ ! -f ${chat[0]} || ! -f ${doctor[0]} ]]; then
        note "skipped: the refusal, because the .NET projects are not built (./run build)"
        return
    fi
    dotnet=$(readlink -f "$(command -v dotnet)")
    for processor in "${processors[@]}"; do
        under "$processor" "$folder/bin/foretoken-selftest" --libraries
        needed=$(sed -n 's/^ggml-cpu: //p' "$scratch/out")
        missing=$(comm -23 <(tr ' ' '\n' <<< "$needed" | sort -u) <(sed -n 's/^found: //p' "$scratch/out" | tr ' ' '\n' | sort -u) | head -n 1)
        if [[ -z $missing ]]; then
            note "$processor has all that the build of this machine needs; nothing is refused"
            continue
        fi
        for name in chat doctor; do
            local -n command=$name
            status=0
            # under QEMU 7.2, .NET 10 ends with a segmentation fault once its garbage collector runs, also in a program of a few lines
            # with nothing of ours: so it is given so much memory that it need not run
            FORETOKEN_NATIVE_DIR=$folder/lib DOTNET_GCgen0size=0x40000000 under "$processor" "$dotnet" "${command[@]}" || status=$?
            if [[ $status -eq 139 ]]; then
                note "$processor: not tried ($name): .NET itself ended with a segmentation fault under QEMU"
            elif [[ $status -ne 1 ]] || ! grep -qE -- "for a processor with .*$missing" "$scratch/out"; then
                note "FAILED: $processor: the $name refuses the build of this machine ($missing): status $status"
                tail -n 12 "$scratch/out" | sed 's/^/        /' >&2
                failed=$((failed + 1))
            else
                note "$processor: the $name refuses the build of this machine ($missing)"
            fi
        done
    done
}

if [[ $all -eq 0 ]]; then
    # libllama is compiled for any processor; of ggml the two plainest variants are enough here
    note "building ggml for many processors"
    patched=$out/source/patched
    [[ -d $patched ]] || die "there is no $patched" "./run native --force obtains it."
    generator='Unix Makefiles'
    ! command -v ninja > /dev/null || generator=Ninja
    # shellcheck disable=SC2016 # $ORIGIN is for the dynamic loader
    {
        cmake -S "$repo/src/Foretoken.Native" -B "$out/build-qemu" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
            -DFORETOKEN_PART=ggml -DFORETOKEN_LLAMA_DIR="$patched" -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON \
            -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN;$ORIGIN/../lib' \
            -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON '-DGGML_CPU_VARIANTS=x64;haswell' \
            -DGGML_OPENMP=ON -DGGML_LLAMAFILE=ON -DGGML_CCACHE=OFF -DGGML_RPC=OFF &&
            cmake --build "$out/build-qemu" --parallel
    } > "$out/build-qemu.log" 2>&1 || die "ggml for many processors does not compile; the whole log is $out/build-qemu.log"
    folder=$scratch/portable
    mkdir -p "$folder/lib" "$folder/bin" "$folder/tests"
    cp "$out"/build-qemu/bin/lib*.so "$folder/lib/"
    cp "$out"/build-qemu/bin/foretoken-selftest "$out"/build-qemu/bin/libggml-cpu-*.so "$folder/bin/"
    cp "$current/lib/libllama.so" "$folder/lib/"
    cp "$current/tests/test-answer" "$folder/tests/"
else
    folder=$("$PATCH_DIR/build.sh" --portable --aside)
fi

answers "$folder"
refuses "$current"

if [[ $all -eq 1 ]]; then
    for name in test-skim test-api test-staged; do
        FORETOKEN_TEST_MODEL=$model expect "Haswell: $name" 0 '' under Haswell "$folder/tests/$name"
    done

    machine=aarch64-linux-gnu
    if ! command -v "$machine-g++" > /dev/null || ! command -v qemu-aarch64 > /dev/null; then
        note "skipped: 64-bit ARM, because $machine-g++ or qemu-aarch64 is not here (Debian: apt-get install g++-$machine qemu-user)"
    else
        folder=$(CC=$machine-gcc CXX=$machine-g++ "$PATCH_DIR/build.sh" --portable --variants armv8.0_1,armv8.2_1 --aside)
        for processor in cortex-a53 max; do
            expect "ARM $processor: the build for many processors computes rightly" 0 '^flash-attention: right' \
                bash -c "qemu-aarch64 -cpu $processor -L /usr/$machine '$folder/bin/foretoken-selftest' > '$scratch/out' 2>&1"
            expect "ARM $processor: it answers" 0 'the answer: .' \
                bash -c "qemu-aarch64 -cpu $processor -L /usr/$machine '$folder/tests/test-answer' '$model' > '$scratch/out' 2>&1"
            sed -n 's/.*the answer: /        /p; s/.*"library": *"\([^"]*\)".*/        \1/p' "$scratch/out" >&2
        done
    fi
fi

[[ $failed -eq 0 ]] || die "$failed claims about other processors do not hold"
