#!/usr/bin/env bash
# Compiles ggml's AMX kernels and looks whether the whole tile configuration is stored before it is loaded (patch 0006). It
# needs no processor with AMX: it reads the object file.
#
#   native-patches/check-amx.sh [TREE]
#
# TREE  a llama.cpp tree; default: the patched one that the build made
#
# CXX, CXXFLAGS as in the build. Where the compiler cannot compile for AMX there is nothing to check.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tree=${1:-$PATCH_DIR/../artifacts/native/source/patched}
cxx=${CXX:-c++}
kernels=$tree/ggml/src/ggml-cpu/amx/mmq.cpp

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# -O3 as in the build: with less, GCC 12 keeps the stores
# shellcheck disable=SC2206 # lists of options
compile=($cxx ${CXXFLAGS:-} -std=gnu++17 -O3 -DNDEBUG -fPIC -w -march=x86-64-v4 -mavx512vnni -mamx-tile -mamx-int8)
if ! "${compile[@]}" -dM -E -x c++ /dev/null 2>&1 | grep -q '__AMX_INT8__'; then
    note "skipped: $cxx does not compile ggml's kernels for AMX"
    exit 0
fi
if ! command -v objdump > /dev/null; then
    note "skipped: there is no objdump here (part of binutils)"
    exit 0
fi
[[ -f $kernels ]] || die "there is no $kernels" "native-patches/build.sh makes the patched tree, or name one."

cat > "$scratch/tile-config.cpp" << CPP
#include "$(cd "$(dirname "$kernels")" && pwd)/mmq.cpp"

// the function alone, whatever the compiler makes of the kernels around it
extern "C" void tile_config() {
    ggml_tile_config_init();
}
CPP
"${compile[@]}" -I"$tree/ggml/include" -I"$tree/ggml/src" -I"$tree/ggml/src/ggml-cpu" -c "$scratch/tile-config.cpp" -o "$scratch/tile-config.o"
objdump -d --no-show-raw-insn --disassemble=tile_config "$scratch/tile-config.o" > "$scratch/listing"

# Follows which bytes of the stack hold something else than zero when ldtilecfg reads 64 of them: the column sizes of the
# eight tiles are bytes 16 to 31, their rows bytes 48 to 55.
if ! awk '
    # of hexadecimal text; not every awk has strtonum
    function number(text,    sum) {
        if (text ~ /^-/) return -number(substr(text, 2))
        sub(/^0x/, "", text)
        for (sum = 0; text != ""; text = substr(text, 2)) sum = 16 * sum + index("0123456789abcdef", substr(text, 1, 1)) - 1
        return sum
    }
    function place(operand) {
        match(operand, /\(%[a-z0-9]+\)$/)
        base = substr(operand, RSTART)
        return number(substr(operand, 1, RSTART - 1))
    }
    function width(mnemonic, source) {
        if (mnemonic ~ /^v?mov(q|lps|hps|lpd|hpd)/) return 8
        if (mnemonic ~ /^v?movd$/) return 4
        if (source ~ /^%zmm/) return 64
        if (source ~ /^%ymm/) return 32
        if (source ~ /^%xmm/) return 16
        if (mnemonic ~ /b$/ || source ~ /^%([a-d]l|sil|dil|r[0-9]+b)$/) return 1
        if (mnemonic ~ /w$/ || source ~ /^%([a-d]x|si|di|r[0-9]+w)$/) return 2
        if (mnemonic ~ /l$/ || source ~ /^%(e[a-ds][xip]|r[0-9]+d)$/) return 4
        return 8
    }
    # of a register, whatever the part of it that is named
    function name(register) { sub(/^%[xyz]mm/, "mm", register); sub(/^%(e|r)?/, "", register); return register }
    { sub(/[ \t]*#.*/, ""); sub(/[ \t]*<.*/, ""); mnemonic = $2; operands = $3; for (i = 4; i <= NF; i++) operands = operands $i }
    mnemonic ~ /^v?p?xor/ {
        n = split(operands, part, ",")
        zero[name(part[n])] = part[1] == part[n - 1] || (n == 2 && part[1] == part[2])
        next
    }
    mnemonic == "ldtilecfg" {
        found = 1
        offset = place(operands)
        for (i = 16; i < 32; i += 2) lost += !value[base, offset + i]
        for (i = 48; i < 56; i++) lost += !value[base, offset + i]
        exit
    }
    mnemonic ~ /^v?mov/ && operands ~ /^[^(]*,[-0-9a-fx]*\(%[a-z0-9]+\)$/ {
        source = operands
        sub(/,[^,]*$/, "", source)
        sub(/^.*,/, "", operands)
        offset = place(operands)
        n = width(mnemonic, source)
        nothing = source ~ /^\$/ ? number(substr(source, 2)) == 0 : zero[name(source)]
        for (i = 0; i < n; i++) value[base, offset + i] = !nothing
        next
    }
    { n = split(operands, part, ","); if (part[n] ~ /^%/) delete zero[name(part[n])] }
    END {
        if (!found) { print "there is no ldtilecfg in the function" > "/dev/stderr"; exit 2 }
        if (lost) { print lost " of 16 rows and column sizes are not stored before ldtilecfg reads them" > "/dev/stderr"; exit 1 }
    }
' "$scratch/listing"; then
    sed -n '/^[0-9a-f]* <tile_config>:/,/^$/s/^/        /p' "$scratch/listing" >&2
    die "the tile configuration of $kernels does not reach the processor whole" \
        "Compiled so, the first load of a tile ends the process with SIGILL. Patch 0006 prevents it." \
        "Compiler: $($cxx --version | head -n 1)"
fi
note "the whole tile configuration of AMX is stored before it is loaded"
