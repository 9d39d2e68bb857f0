#!/usr/bin/env bash
# Applies the patch series to a git working tree of the pinned llama.cpp.
#
#   native-patches/apply.sh TREE
#
# Idempotent: a tree that holds the whole series already is left alone. Fails closed: another release, local changes or
# a hunk that does not fit stop it, and the tree is as it was. All patches are applied or none.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -eq 1 ]] || die "usage: native-patches/apply.sh TREE" "TREE: a git working tree of llama.cpp $(pin release)"
tree=$1
require_git_tree "$tree"

expected=$(patched_tree "$tree") || die "the patch series does not fit $tree" \
    "Nothing was changed. A patch in $PATCH_DIR is damaged or was made for another release." \
    "Restore it with: git checkout -- native-patches"

actual=$(worktree_tree "$tree")
if [[ $actual == "$expected" ]]; then
    note "the patches are applied already: $tree"
    exit 0
fi

if [[ $actual != "$(git -C "$tree" rev-parse 'HEAD^{tree}')" ]]; then
    git -C "$tree" status --short | sed 's/^/        /' >&2
    die "$tree has changes of its own" \
        "Nothing was changed. To drop them: git -C $tree checkout -- . && git -C $tree clean -fd" \
        "To keep them as patches: native-patches/export.sh $tree"
fi

git -C "$tree" apply --whitespace=nowarn "${PATCHES[@]}" || die "git apply failed; $tree is as it was"
[[ $(worktree_tree "$tree") == "$expected" ]] || die "$tree is not what the patches should have made of it" \
    "Start over with: git -C $tree checkout -- . && git -C $tree clean -fd"
note "applied ${#PATCHES[@]} patches (series $(patch_hash)): $tree"
