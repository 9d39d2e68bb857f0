#!/usr/bin/env bash
# Writes the patches again from a patched tree: how a hook is changed.
#
#   native-patches/export.sh TREE [OUT]
#
# TREE  git working tree of the pinned llama.cpp in which the hooks were edited
# OUT   folder to write to; default: this folder, in place
#
# A patch keeps its text (everything above the first `diff --git`) and the files it names; only the hunks are taken
# anew. A changed file that no patch names stops the export: name it in the patch it belongs to, by a line
# `diff --git a/FILE b/FILE`, or in a new patch that holds its text and such a line.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -eq 1 || $# -eq 2 ]] || die "usage: native-patches/export.sh TREE [OUT]"
tree=$1
out=${2:-$PATCH_DIR}
require_git_tree "$tree"

# files that a patch names
patch_files() { sed -n 's|^diff --git a/.* b/||p' "$1"; }

git -C "$tree" -c core.quotePath=off status --porcelain --no-renames --untracked-files=all | cut -c 4- | while IFS= read -r file; do
    owners=0
    for patch in "${PATCHES[@]}"; do
        if patch_files "$patch" | grep -qxF -- "$file"; then
            owners=$((owners + 1))
        fi
    done
    [[ $owners -eq 1 ]] || die "$file is changed in $tree, and $owners patches name it; one must" \
        "Name it in the patch it belongs to, by a line: diff --git a/$file b/$file"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for patch in "${PATCHES[@]}"; do
    files=()
    while IFS= read -r file; do
        files+=("$file")
    done < <(patch_files "$patch")
    [[ ${#files[@]} -gt 0 ]] || die "$patch names no file"
    {
        sed '/^diff --git /,$d' "$patch"
        git -C "$tree" diff --no-color --no-ext-diff --no-textconv --no-renames --full-index --unified=3 \
            --diff-algorithm=myers --src-prefix=a/ --dst-prefix=b/ HEAD -- "${files[@]}"
    } > "$scratch/$(basename "$patch")"
done
mkdir -p "$out"
cp "$scratch"/*.patch "$out/"
