#include "foretoken-cpu.h"

#include <stddef.h>
#include <string.h>

// FTK_CPU_LIBRARY(symbol) for each, made by CMakeLists.txt
#define FTK_CPU_LIBRARY(symbol) extern "C" const char symbol[];
#include "foretoken-cpu-libraries.h"
#undef FTK_CPU_LIBRARY

const char * ftk_cpu_compiled_for(int32_t index) {
    static const char * const libraries[] = {
#define FTK_CPU_LIBRARY(symbol) symbol,
#include "foretoken-cpu-libraries.h"
#undef FTK_CPU_LIBRARY
    };

    return index >= 0 && (size_t) index < sizeof(libraries) / sizeof(libraries[0]) ? libraries[index] : nullptr;
}

// longer than all names together
static char features_found[2048];

static void add_feature(const char * name) {
    if (features_found[0] != '\0') {
        strcat(features_found, " ");
    }
    strcat(features_found, name);
}

#if defined(__x86_64__) || defined(__i386__)

#    include <cpuid.h>

#    ifdef __APPLE__
#        include <sys/sysctl.h>
#    endif

// registers beyond those of SSE, which the operating system has to save for each thread
enum register_set {
    SET_NONE,
    SET_AVX,
    SET_AVX512,
    SET_AMX,
    SET_APX,
    SET_COUNT,
};

enum cpuid_register {
    EAX,
    EBX,
    ECX,
    EDX,
};

struct cpu_feature {
    const char *   name;
    unsigned       leaf;
    unsigned       subleaf;
    cpuid_register reg;
    int            bit;
    register_set   set;
};

// Intel's manual, volume 2, CPUID; the leaf 0x80000001 is AMD's
static const cpu_feature features[] = {
        {"sse3", 1, 0, ECX, 0, SET_NONE},
        {"ssse3", 1, 0, ECX, 9, SET_NONE},
        {"sse4_1", 1, 0, ECX, 19, SET_NONE},
        {"sse4_2", 1, 0, ECX, 20, SET_NONE},
        {"movbe", 1, 0, ECX, 22, SET_NONE},
        {"popcnt", 1, 0, ECX, 23, SET_NONE},
        {"avx", 1, 0, ECX, 28, SET_AVX},
        {"f16c", 1, 0, ECX, 29, SET_AVX},
        {"fma", 1, 0, ECX, 12, SET_AVX},
        {"avx2", 7, 0, EBX, 5, SET_AVX},
        {"bmi1", 7, 0, EBX, 3, SET_NONE},
        {"bmi2", 7, 0, EBX, 8, SET_NONE},
        {"lzcnt", 0x80000001, 0, ECX, 5, SET_NONE},
        {"sse4a", 0x80000001, 0, ECX, 6, SET_NONE},
        {"xop", 0x80000001, 0, ECX, 11, SET_AVX},
        {"fma4", 0x80000001, 0, ECX, 16, SET_AVX},
        {"tbm", 0x80000001, 0, ECX, 21, SET_NONE},
        {"gfni", 7, 0, ECX, 8, SET_NONE},
        {"avx_vnni", 7, 1, EAX, 4, SET_AVX},
        {"avx_ifma", 7, 1, EAX, 23, SET_AVX},
        {"avx_vnni_int8", 7, 1, EDX, 4, SET_AVX},
        {"avx_ne_convert", 7, 1, EDX, 5, SET_AVX},
        {"avx_vnni_int16", 7, 1, EDX, 10, SET_AVX},
        {"avx512f", 7, 0, EBX, 16, SET_AVX512},
        {"avx512cd", 7, 0, EBX, 28, SET_AVX512},
        {"avx512bw", 7, 0, EBX, 30, SET_AVX512},
        {"avx512dq", 7, 0, EBX, 17, SET_AVX512},
        {"avx512vl", 7, 0, EBX, 31, SET_AVX512},
        {"avx512ifma", 7, 0, EBX, 21, SET_AVX512},
        {"avx512_vbmi", 7, 0, ECX, 1, SET_AVX512},
        {"avx512_vbmi2", 7, 0, ECX, 6, SET_AVX512},
        {"avx512_vnni", 7, 0, ECX, 11, SET_AVX512},
        {"avx512_bitalg", 7, 0, ECX, 12, SET_AVX512},
        {"avx512_vpopcntdq", 7, 0, ECX, 14, SET_AVX512},
        {"avx512_bf16", 7, 1, EAX, 5, SET_AVX512},
        {"avx512_fp16", 7, 0, EDX, 23, SET_AVX512},
        {"amx_tile", 7, 0, EDX, 24, SET_AMX},
        {"amx_int8", 7, 0, EDX, 25, SET_AMX},
        {"amx_bf16", 7, 0, EDX, 22, SET_AMX},
        {"amx_fp16", 7, 1, EAX, 21, SET_AMX},
        {"apx_f", 7, 1, EDX, 21, SET_APX},
};

static unsigned cpuid(unsigned leaf, unsigned subleaf, cpuid_register reg) {
    unsigned regs[4] = {0, 0, 0, 0};

    // a leaf that the processor does not know answers with zeros, or with what another leaf holds
    if (__get_cpuid_max(leaf & 0x80000000, nullptr) < leaf) {
        return 0;
    }
    if (subleaf > 0) {
        __cpuid_count(leaf, 0, regs[EAX], regs[EBX], regs[ECX], regs[EDX]);
        if (regs[EAX] < subleaf) {
            return 0;
        }
    }

    __cpuid_count(leaf, subleaf, regs[EAX], regs[EBX], regs[ECX], regs[EDX]);
    return regs[reg];
}

static void find_register_sets(bool * saved) {
    saved[SET_NONE] = true;

    // OSXSAVE: the operating system has said which registers it saves
    if ((cpuid(1, 0, ECX) & (1u << 27)) == 0) {
        return;
    }

    unsigned eax, edx;
    __asm__ volatile("xgetbv"
                     : "=a"(eax), "=d"(edx)
                     : "c"(0));

    saved[SET_AVX]    = (eax & 0x06) == 0x06;
    saved[SET_AVX512] = (eax & 0xe6) == 0xe6;
    saved[SET_AMX]    = (eax & 0x60000) == 0x60000;
    saved[SET_APX]    = (eax & 0x80000) == 0x80000;

#    ifdef __APPLE__
    // macOS saves them for a thread from its first use on, which the bits do not tell
    int    value = 0;
    size_t size  = sizeof(value);
    if (sysctlbyname("hw.optional.avx512f", &value, &size, nullptr, 0) == 0) {
        saved[SET_AVX512] = saved[SET_AVX512] || value != 0;
    }
#    endif
}

static void find_features() {
    bool saved[SET_COUNT] = {};
    find_register_sets(saved);

    for (const cpu_feature & feature : features) {
        if (saved[feature.set] && ((cpuid(feature.leaf, feature.subleaf, feature.reg) >> feature.bit) & 1) != 0) {
            add_feature(feature.name);
        }
    }
}

#elif defined(__aarch64__) && defined(__linux__)

#    include <sys/auxv.h>

struct cpu_feature {
    const char *  name;
    unsigned long type;
    int           bit;
};

// arch/arm64/include/uapi/asm/hwcap.h of Linux; the kernel leaves out what it does not support
static const cpu_feature features[] = {
        {"crc32", AT_HWCAP, 7},
        {"atomics", AT_HWCAP, 8},
        {"fphp", AT_HWCAP, 9},
        {"asimdhp", AT_HWCAP, 10},
        {"lrcpc", AT_HWCAP, 15},
        {"asimddp", AT_HWCAP, 20},
        {"sve", AT_HWCAP, 22},
        {"asimdfhm", AT_HWCAP, 23},
        {"sve2", AT_HWCAP2, 1},
        {"svei8mm", AT_HWCAP2, 9},
        {"svebf16", AT_HWCAP2, 12},
        {"i8mm", AT_HWCAP2, 13},
        {"bf16", AT_HWCAP2, 14},
        {"sme", AT_HWCAP2, 23},
};

static void find_features() {
    for (const cpu_feature & feature : features) {
        if (((getauxval(feature.type) >> feature.bit) & 1) != 0) {
            add_feature(feature.name);
        }
    }
}

#elif defined(__aarch64__) && defined(__APPLE__)

#    include <sys/sysctl.h>

struct cpu_feature {
    const char * name;
    const char * key;
};

static const cpu_feature features[] = {
        {"crc32", "hw.optional.armv8_crc32"},
        {"atomics", "hw.optional.arm.FEAT_LSE"},
        {"asimdhp", "hw.optional.arm.FEAT_FP16"},
        {"lrcpc", "hw.optional.arm.FEAT_LRCPC"},
        {"asimddp", "hw.optional.arm.FEAT_DotProd"},
        {"asimdfhm", "hw.optional.arm.FEAT_FHM"},
        {"i8mm", "hw.optional.arm.FEAT_I8MM"},
        {"bf16", "hw.optional.arm.FEAT_BF16"},
        {"sme", "hw.optional.arm.FEAT_SME"},
};

static void find_features() {
    for (const cpu_feature & feature : features) {
        int    value = 0;
        size_t size  = sizeof(value);
        if (sysctlbyname(feature.key, &value, &size, nullptr, 0) == 0 && value != 0) {
            add_feature(feature.name);
        }
    }
}

#else

static void find_features() {}

#endif

const char * ftk_cpu_found(void) {
    // once, whichever thread asks first
    static const bool found = []() {
        find_features();
        return true;
    }();

    (void) found;
    return features_found;
}
