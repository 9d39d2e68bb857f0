#!/usr/bin/env bash
# Tries the patch series on another release of llama.cpp and says, hunk by hunk, what no longer fits: the first step of
# moving the pin. Nothing of this repository or of SOURCE is changed.
#
#   native-patches/try.sh SOURCE [REF]
#
# SOURCE  the other release: a clone of llama.cpp, a bare repository, a git bundle, or a folder without git
# REF     what to take of a repository; default: HEAD
#
# Afterwards it lists, of the files of llama.cpp that our sources include, those that differ from the pinned release, and
# the names that the patches lean on and that are gone. Those are for reading, they do not count as failures. The pinned
# release is the one that the build obtained, if it has, or the one in FORETOKEN_LLAMA_SOURCE.
#
# Exit status: 0 when every hunk fits, 1 otherwise.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -eq 1 || $# -eq 2 ]] || die "usage: native-patches/try.sh SOURCE [REF]" \
    "SOURCE: a clone of llama.cpp at another release, a bare repository, a git bundle or a folder"
source=$1
ref=${2:-HEAD}
[[ -e $source ]] || die "there is no $source"

repo=$(cd "$PATCH_DIR/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tree=$scratch/tree
if [[ -d $source ]] && ! git -C "$source" rev-parse --git-dir > /dev/null 2>&1; then
    cp -R "$source" "$tree"
    git -C "$tree" init --quiet
    git -C "$tree" add --all
    git -C "$tree" -c user.name=try -c user.email=try commit --quiet --message "the release"
else
    git init --quiet "$tree"
    git -C "$tree" config core.autocrlf false
    from=$(cd "$(dirname "$source")" && pwd)/$(basename "$source")
    git -C "$tree" fetch --quiet --depth 1 --no-tags "$from" "$ref" || die "$source holds no $ref"
    git -C "$tree" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
fi
[[ -f $tree/src/llama-context.cpp ]] || die "$source is not llama.cpp: it has no src/llama-context.cpp"

#
# the hunks
#

n_fit=0
n_misfit=0

for patch in "${PATCHES[@]}"; do
    printf '%s\n' "$(basename "$patch")"

    # one file of the patch at a time, so that a file that is gone does not hide the others
    rm -rf "$scratch/parts"
    mkdir "$scratch/parts"
    awk -v folder="$scratch/parts" '/^diff --git / { out = sprintf("%s/%03d", folder, ++n) } out { print > out }' "$patch"

    for part in "$scratch/parts"/*; do
        file=$(sed -n '1s|^diff --git a/.* b/||p' "$part")
        n_hunks=$(grep -c '^@@' "$part")

        if [[ ! -e $tree/$file ]] && ! grep -q '^new file mode' "$part"; then
            printf '    %s: MISSING, with it %s hunk(s)\n' "$file" "$n_hunks"
            n_misfit=$((n_misfit + n_hunks))
            continue
        fi

        status=0
        git -C "$tree" apply --reject --verbose --whitespace=nowarn "$part" > "$scratch/log" 2>&1 || status=$?

        for ((i = 1; i <= n_hunks; i++)); do
            if grep -q "^Rejected hunk #$i\.\$" "$scratch/log"; then
                printf '    %s, hunk %s of %s: DOES NOT FIT\n' "$file" "$i" "$n_hunks"
                awk -v n="$i" '/^@@/ { k++ } k == n { print "        " $0 }' "$part"
                n_misfit=$((n_misfit + 1))
            else
                where=$(sed -n "s/^Hunk #$i succeeded at \(.*\)\.\$/ at line \1/p" "$scratch/log")
                printf '    %s, hunk %s of %s: fits%s\n' "$file" "$i" "$n_hunks" "$where"
                n_fit=$((n_fit + 1))
            fi
        done

        # git may refuse a file for another reason than a hunk
        if [[ $status -ne 0 ]] && ! grep -q '^Rejected hunk' "$scratch/log"; then
            sed 's/^/        /' "$scratch/log"
            n_fit=$((n_fit - n_hunks))
            n_misfit=$((n_misfit + n_hunks))
        fi
    done
done

# as the release has it again
git -C "$tree" checkout --quiet -- .
git -C "$tree" clean --quiet -fdx

#
# what our sources lean on
#

printf '\nnames that the patches lean on and that are gone:\n'
n_gone=0
for patch in "${PATCHES[@]}"; do
    # identifiers of the text behind "Leans on:", the last part of a qualified one
    while IFS= read -r name; do
        if ! grep -rqw --include='*.h' --include='*.c' --include='*.cpp' -e "$name" "$tree/src" "$tree/ggml/src" "$tree/common"; then
            printf '    %s (%s)\n' "$name" "$(basename "$patch")"
            n_gone=$((n_gone + 1))
        fi
    done < <(sed -n '/^diff --git /q; /^Leans on:/,$p' "$patch" | tr -c 'A-Za-z0-9_:~./-' '\n' | sed 's|[.:]*$||' | grep -E '^~?[a-z][a-z0-9]*_[A-Za-z0-9_:~]*$' | sed 's/.*:://; s/^~//' |
        grep -vE '^(llama_staged|ftk)_' | sort -u)
done
[[ $n_gone -gt 0 ]] || printf '    none\n'

pinned=$repo/artifacts/native/source/stock
if [[ ! -d $pinned/src ]] || ! is_accepted_tree "$(git -C "$pinned" rev-parse 'HEAD^{tree}' 2> /dev/null || true)"; then
    pinned=
    if [[ -n ${FORETOKEN_LLAMA_SOURCE:-} ]]; then
        for pin_ref in "$(pin git_ref)" HEAD; do
            rm -rf "$scratch/pinned"
            git init --quiet "$scratch/pinned"
            if git -C "$scratch/pinned" fetch --quiet --depth 1 --no-tags "$(cd "$(dirname "$FORETOKEN_LLAMA_SOURCE")" && pwd)/$(basename "$FORETOKEN_LLAMA_SOURCE")" "$pin_ref" 2> /dev/null &&
                is_accepted_tree "$(git -C "$scratch/pinned" rev-parse 'FETCH_HEAD^{tree}')"; then
                git -C "$scratch/pinned" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
                pinned=$scratch/pinned
                break
            fi
        done
    fi
fi

printf '\nfiles of llama.cpp that our sources include, and that changed since %s:\n' "$(pin release)"
if [[ -z $pinned ]]; then
    printf '    unknown: the pinned release is not here. native-patches/build.sh --source-only obtains it\n'
else
    n_changed=0
    while IFS= read -r name; do
        for folder in src common include ggml/include ggml/src; do
            [[ -e $pinned/$folder/$name ]] || continue
            if [[ ! -e $tree/$folder/$name ]]; then
                printf '    %-36s gone\n' "$folder/$name"
                n_changed=$((n_changed + 1))
            elif ! cmp -s "$pinned/$folder/$name" "$tree/$folder/$name"; then
                printf '    %-36s %s\n' "$folder/$name" \
                    "$(git diff --no-index --numstat "$pinned/$folder/$name" "$tree/$folder/$name" | awk '{ print "+" $1 " -" $2 " lines" }')"
                n_changed=$((n_changed + 1))
            fi
        done
    done < <(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$repo"/src/Foretoken.Native/src/*.cpp "$repo"/src/Foretoken.Native/src/*.h | sort -u)
    [[ $n_changed -gt 0 ]] || printf '    none\n'
fi

printf '\n%s of %s hunks fit\n' "$n_fit" $((n_fit + n_misfit))
[[ $n_misfit -eq 0 ]]
