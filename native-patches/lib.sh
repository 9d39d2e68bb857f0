# Shared by the scripts in this folder; sourced, not run.
# shellcheck shell=bash

PATCH_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# git must see the patched tree as it is, whatever the user's or the machine's configuration says
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
# nor may a git hook or an outer `git rebase --exec` point us at its repository
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY

note() { printf 'native: %s\n' "$*" >&2; }

# die MESSAGE [ADVICE...]
die() {
    printf 'native: error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do
        printf '        %s\n' "$line" >&2
    done
    exit 1
}

# value of a key in PIN
pin() {
    local value
    value=$(sed -n "s/^$1=//p" "$PATCH_DIR/PIN")
    [[ -n $value ]] || die "the key '$1' is missing in $PATCH_DIR/PIN"
    printf '%s\n' "$value"
}

# number of the pinned release for where llama.cpp wants one: of b8390 8390, of v0.5.0 0
build_number() {
    local release
    release=$(pin release)
    if [[ $release =~ ^b([1-9][0-9]*)$ ]]; then
        printf '%s\n' "${BASH_REMATCH[1]}"
    else
        printf '0\n'
    fi
}

sha256() {
    if command -v sha256sum > /dev/null; then
        sha256sum | cut -d ' ' -f 1
    else
        shasum -a 256 | cut -d ' ' -f 1
    fi
}

PATCHES=("$PATCH_DIR"/[0-9][0-9][0-9][0-9]-*.patch)

# identifies the patch series: the version handshake and the build key carry it
patch_hash() { cat "${PATCHES[@]}" | sha256 | cut -c 1-16; }

# is_accepted_tree HASH
is_accepted_tree() { [[ $1 == "$(pin git_tree)" || $1 == "$(pin npm_tree)" ]]; }

# worktree_tree DIR: tree hash of the working tree as it is on disk, untracked files included. Changes neither the
# index nor the object store of the repository.
worktree_tree() {
    local scratch hash
    scratch=$(mktemp -d)
    mkdir "$scratch/objects"
    cp "$(git -C "$1" rev-parse --path-format=absolute --git-path index)" "$scratch/index"
    hash=$(
        GIT_ALTERNATE_OBJECT_DIRECTORIES=$(git -C "$1" rev-parse --path-format=absolute --git-path objects)
        export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_INDEX_FILE=$scratch/index GIT_OBJECT_DIRECTORY=$scratch/objects
        git -C "$1" add --all && git -C "$1" write-tree
    ) || { rm -rf "$scratch"; return 1; }
    rm -rf "$scratch"
    printf '%s\n' "$hash"
}

# patched_tree DIR: tree hash of HEAD with the whole series applied. Fails, with git's message, where a hunk does not
# fit. Changes nothing in the repository.
patched_tree() {
    local scratch hash
    scratch=$(mktemp -d)
    mkdir "$scratch/objects"
    hash=$(
        GIT_ALTERNATE_OBJECT_DIRECTORIES=$(git -C "$1" rev-parse --path-format=absolute --git-path objects)
        export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_INDEX_FILE=$scratch/index GIT_OBJECT_DIRECTORY=$scratch/objects
        git -C "$1" read-tree HEAD &&
            git -C "$1" apply --cached --whitespace=nowarn "${PATCHES[@]}" &&
            git -C "$1" write-tree
    ) || { rm -rf "$scratch"; return 1; }
    rm -rf "$scratch"
    printf '%s\n' "$hash"
}

# require_git_tree DIR: a git working tree of the pinned release
require_git_tree() {
    [[ -d $1 ]] || die "there is no folder $1"
    local top
    top=$(git -C "$1" rev-parse --show-toplevel 2> /dev/null) || die "$1 is not a git working tree" \
        "The tree hash can only be checked in a git clone of llama.cpp $(pin release)."
    [[ $(cd "$1" && pwd -P) == "$(cd "$top" && pwd -P)" ]] || die "$1 is not the top of a git working tree" \
        "The top is $top."
    local head
    head=$(git -C "$1" rev-parse 'HEAD^{tree}')
    is_accepted_tree "$head" || die "$1 is not llama.cpp $(pin release)" \
        "Its tree is $head, the pin accepts $(pin git_tree) (git) and $(pin npm_tree) (npm)." \
        "Check out the pinned release there, or change native-patches/PIN when moving to another one."
}
