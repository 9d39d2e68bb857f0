// What the compiler may use, as a text in a library that is compiled for less. Compiled once for each library, with its flags;
// FTK_CPU_SYMBOL and FTK_CPU_NAME are its names. There is no code here, so that nothing of these flags can run.
//
// The names are those of foretoken-cpu.cpp. Left out is what neither a compiler uses on its own nor ggml by hand, such as AES.

extern "C" const char FTK_CPU_SYMBOL[];

const char FTK_CPU_SYMBOL[] = FTK_CPU_NAME ":"
#if defined(__x86_64__) || defined(__i386__)
#    ifdef __SSE3__
                                           " sse3"
#    endif
#    ifdef __SSSE3__
                                           " ssse3"
#    endif
#    ifdef __SSE4_1__
                                           " sse4_1"
#    endif
#    ifdef __SSE4_2__
                                           " sse4_2"
#    endif
#    ifdef __MOVBE__
                                           " movbe"
#    endif
#    ifdef __POPCNT__
                                           " popcnt"
#    endif
#    ifdef __AVX__
                                           " avx"
#    endif
#    ifdef __F16C__
                                           " f16c"
#    endif
#    ifdef __FMA__
                                           " fma"
#    endif
#    ifdef __AVX2__
                                           " avx2"
#    endif
#    ifdef __BMI__
                                           " bmi1"
#    endif
#    ifdef __BMI2__
                                           " bmi2"
#    endif
#    ifdef __LZCNT__
                                           " lzcnt"
#    endif
#    ifdef __SSE4A__
                                           " sse4a"
#    endif
#    ifdef __XOP__
                                           " xop"
#    endif
#    ifdef __FMA4__
                                           " fma4"
#    endif
#    ifdef __TBM__
                                           " tbm"
#    endif
#    ifdef __GFNI__
                                           " gfni"
#    endif
#    ifdef __AVXVNNI__
                                           " avx_vnni"
#    endif
#    ifdef __AVXIFMA__
                                           " avx_ifma"
#    endif
#    ifdef __AVXVNNIINT8__
                                           " avx_vnni_int8"
#    endif
#    ifdef __AVXNECONVERT__
                                           " avx_ne_convert"
#    endif
#    ifdef __AVXVNNIINT16__
                                           " avx_vnni_int16"
#    endif
#    ifdef __AVX512F__
                                           " avx512f"
#    endif
#    ifdef __AVX512CD__
                                           " avx512cd"
#    endif
#    ifdef __AVX512BW__
                                           " avx512bw"
#    endif
#    ifdef __AVX512DQ__
                                           " avx512dq"
#    endif
#    ifdef __AVX512VL__
                                           " avx512vl"
#    endif
#    ifdef __AVX512IFMA__
                                           " avx512ifma"
#    endif
#    ifdef __AVX512VBMI__
                                           " avx512_vbmi"
#    endif
#    ifdef __AVX512VBMI2__
                                           " avx512_vbmi2"
#    endif
#    ifdef __AVX512VNNI__
                                           " avx512_vnni"
#    endif
#    ifdef __AVX512BITALG__
                                           " avx512_bitalg"
#    endif
#    ifdef __AVX512VPOPCNTDQ__
                                           " avx512_vpopcntdq"
#    endif
#    ifdef __AVX512BF16__
                                           " avx512_bf16"
#    endif
#    ifdef __AVX512FP16__
                                           " avx512_fp16"
#    endif
#    if defined(__AMX_TILE__) || defined(__AMXTILE__)
                                           " amx_tile"
#    endif
#    if defined(__AMX_INT8__) || defined(__AMXINT8__)
                                           " amx_int8"
#    endif
#    if defined(__AMX_BF16__) || defined(__AMXBF16__)
                                           " amx_bf16"
#    endif
#    ifdef __AMX_FP16__
                                           " amx_fp16"
#    endif
#    ifdef __APX_F__
                                           " apx_f"
#    endif
#elif defined(__aarch64__)
#    ifdef __ARM_FEATURE_CRC32
                                           " crc32"
#    endif
#    ifdef __ARM_FEATURE_ATOMICS
                                           " atomics"
#    endif
#    ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
                                           " asimdhp"
#    endif
#    ifdef __ARM_FEATURE_RCPC
                                           " lrcpc"
#    endif
#    ifdef __ARM_FEATURE_DOTPROD
                                           " asimddp"
#    endif
#    ifdef __ARM_FEATURE_FP16_FML
                                           " asimdfhm"
#    endif
#    ifdef __ARM_FEATURE_SVE
                                           " sve"
#    endif
#    ifdef __ARM_FEATURE_SVE2
                                           " sve2"
#    endif
#    ifdef __ARM_FEATURE_SVE_MATMUL_INT8
                                           " svei8mm"
#    endif
#    ifdef __ARM_FEATURE_SVE_BF16
                                           " svebf16"
#    endif
#    ifdef __ARM_FEATURE_MATMUL_INT8
                                           " i8mm"
#    endif
#    ifdef __ARM_FEATURE_BF16
                                           " bf16"
#    endif
#    ifdef __ARM_FEATURE_SME
                                           " sme"
#    endif
#endif
        ;
