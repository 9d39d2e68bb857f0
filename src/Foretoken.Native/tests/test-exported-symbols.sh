#!/usr/bin/env bash
# The patched libllama stands in for the stock one: every symbol that the stock library exports is exported, the C API of
# Foretoken is, and nothing of the compiled-in common code leaks out. The shim for LLamaSharp exports the functions that
# differ and nothing else, and libllama's own calls of these do not go through the dynamic linker, which would lead them
# to the shim.
#
#   test-exported-symbols.sh FOLDER    (the result of a build, with lib/, stock/ and include/)
set -euo pipefail

folder=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# exported LIBRARY
exported() {
    if [[ $1 == *.dylib ]]; then
        nm -gU "$1" | awk '{ print $NF }' | LC_ALL=C sort -u
    else
        nm -D --defined-only "$1" | awk '{ print $NF }' | LC_ALL=C sort -u
    fi
}

library=$(basename "$(find "$folder/stock" -name 'libllama.*' | head -n 1)")
exported "$folder/stock/$library" > "$scratch/stock"
exported "$folder/lib/$library" > "$scratch/patched"
printf 'exported: %s by stock, %s by ours\n' "$(wc -l < "$scratch/stock")" "$(wc -l < "$scratch/patched")"

status=0

# without the functions of the standard library's templates: a program that uses one brings its own, and the pre-tokenizers
# of ours use no std::regex
LC_ALL=C comm -23 "$scratch/stock" "$scratch/patched" | grep -vE '^_+Z(GV|T[ISV])?Z?N?K?S[tabsiod]' > "$scratch/missing" || true
if [[ -s $scratch/missing ]]; then
    echo "FAILED: the stock library exports these symbols and ours does not:"
    head -n 20 "$scratch/missing"
    status=1
fi

# the functions that the header declares
sed -n 's/^FTK_API .*[ *]\(ftk_[a-z0-9_]*\) *(.*/\1/p' "$folder/include/foretoken.h" | LC_ALL=C sort -u > "$scratch/declared"
while IFS= read -r function; do
    if ! grep -qE "^_?$function\$" "$scratch/patched"; then
        echo "FAILED: foretoken.h declares $function and the library does not export it"
        status=1
    fi
done < "$scratch/declared"

if LC_ALL=C comm -13 "$scratch/stock" "$scratch/patched" | grep -E 'nlohmann|jinja|common_' > "$scratch/leaked"; then
    echo "FAILED: symbols of the compiled-in common code are exported:"
    head -n 20 "$scratch/leaked"
    status=1
fi

#
# the shim for LLamaSharp
#

shim=$(find "$folder/lib" -name 'libforetoken-llamasharp-*')
LC_ALL=C sort > "$scratch/differ" << 'LIST'
llama_context_default_params
llama_init_from_model
llama_model_default_params
llama_model_load_from_file
llama_model_load_from_splits
llama_model_quantize
llama_model_quantize_default_params
llama_sampler_init
llama_sampler_init_dry
llama_sampler_init_penalties
LIST

# on macOS a symbol has a leading underscore, and what the shim exports again of libllama is not listed
exported "$shim" | sed 's/^_//' > "$scratch/shim"
if ! diff "$scratch/differ" "$scratch/shim"; then
    echo "FAILED: $(basename "$shim") exports (>) other functions than those that differ (<)"
    status=1
fi

if [[ $library == *.so ]]; then
    readelf -rW "$folder/lib/$library" | awk '{ print $5 }' | sed 's/@.*//' | LC_ALL=C sort -u > "$scratch/relocations"
    if [[ $(wc -l < "$scratch/relocations") -lt 100 ]]; then
        echo "FAILED: the relocations of $library could not be read"
        status=1
    fi
    if LC_ALL=C comm -12 "$scratch/differ" "$scratch/relocations" | grep .; then
        echo "FAILED: $library reaches these functions of its own through the dynamic linker; is it linked with -Bsymbolic-functions?"
        status=1
    fi
fi

exit $status
