# A build proves itself: what was compiled for this machine's processor is run once, and when it ends with a signal or computes
# something wrong, the next safer build takes its place. Sourced by build.sh, which brings build_ggml and run_selftest.
# shellcheck shell=bash

# What ggml's CPU backend is compiled for:
#   native     this machine's processor
#   no-amx     the same without AMX
#   portable   the processors of its architecture: variants, of which the best that fits is chosen when the library is loaded
#   safe       portable, with the two plainest variants only

# level_text LEVEL
level_text() {
    case $1 in
        native) printf "this machine's processor\n" ;;
        no-amx) printf "this machine's processor without AMX\n" ;;
        portable) printf 'many processors\n' ;;
        safe) printf 'many processors, without AVX-512 and AMX\n' ;;
    esac
}

# safer_level LEVEL LIBRARIES: what to build when LEVEL fails its self-test; nothing when there is nothing safer. LIBRARIES says
# what it was compiled for.
safer_level() {
    case $1 in
        native)
            # where the compiler found no AMX, the same code would come out again
            if [[ $2 == *amx_* ]]; then
                printf 'no-amx\n'
            else
                printf 'safe\n'
            fi
            ;;
        no-amx | portable) printf 'safe\n' ;;
    esac
}

# prove LEVEL: builds ggml for LEVEL or, where that fails its self-test, for the next safer one that does not. Leaves the level in
# cpu_level, why it is not the one asked for in cpu_reason (empty: it is), and what it was compiled for in cpu_libraries.
#
#   build_ggml LEVEL      compiles
#   run_selftest          tests what was compiled: the last line says what is wrong, status 0 that nothing is
#   run_selftest --libraries
prove() {
    local asked=$1 report failure next started
    cpu_level=$asked
    cpu_reason=''
    while true; do
        build_ggml "$cpu_level"
        started=$SECONDS
        cpu_libraries=$(run_selftest --libraries) || cpu_libraries=''
        if report=$(run_selftest); then
            note "  its kernels compute what they should ($((SECONDS - started)) s)"
            return
        fi
        failure=$(tail -n 1 <<< "$report")
        next=$(safer_level "$cpu_level" "$cpu_libraries")
        [[ -n $next ]] || die "no build of ggml's CPU backend works on this machine; the last one, for $(level_text "$cpu_level"), failed its self-test" \
            "${failure:-It said nothing.}" \
            "Another compiler may help: CC=gcc-13 CXX=g++-13 native-patches/build.sh"
        cpu_reason="the build for $(level_text "$cpu_level") failed its self-test: ${failure:-it said nothing}"
        note "$cpu_reason. Building for $(level_text "$next") instead"
        cpu_level=$next
    done
}
