#!/usr/bin/env bash
# Exports the patches from the patched tree and fails on any difference to the ones in the repository.
#
#   native-patches/check.sh [TREE]
#
# TREE  a patched tree; default: a fresh one, made from the source that the build obtained
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $# -ge 1 ]]; then
    tree=$1
else
    stock=$("$PATCH_DIR/build.sh" --source-only)
    git -c advice.detachedHead=false clone --quiet --shared "$stock" "$scratch/tree"
    tree=$scratch/tree
    "$PATCH_DIR/apply.sh" "$tree"
fi

"$PATCH_DIR/export.sh" "$tree" "$scratch/export"

different=0
for patch in "${PATCHES[@]}"; do
    diff -u "$patch" "$scratch/export/$(basename "$patch")" || different=1
done
[[ $different -eq 0 ]] || die "the patches are not what $tree gives" \
    "If the tree is right: native-patches/export.sh $tree" \
    "If the patches are right: git -C $tree checkout -- . && native-patches/apply.sh $tree"
note "${#PATCHES[@]} patches (series $(patch_hash)) match the patched tree"
