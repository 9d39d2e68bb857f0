// What the processor and the operating system offer, and what the libraries of this build were compiled for. A library of its
// own without dependencies, compiled for the oldest processor of the architecture, so that a program can ask before it loads
// the others: code that was compiled for more ends the process with an illegal instruction.
//
// Features are named as in /proc/cpuinfo, except where the compiler's name says more.

#pragma once

#include <stdint.h>

#ifdef _WIN32
#    define FTK_CPU_API __declspec(dllexport)
#else
#    define FTK_CPU_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// The features that the processor has and whose registers the operating system saves, separated by spaces. Of those only that a
// compiler uses on its own or ggml by hand. Static storage.
FTK_CPU_API const char * ftk_cpu_found(void);

// What library `index` of this build was compiled for: "NAME: FEATURE FEATURE ...", NAME without prefix and extension, as in
// "ggml-cpu-haswell". The first one, "*", stands for all that is compiled with the flags of the build alone; the others are ggml's
// CPU backend, of which one must fit. NULL behind the last one. Static storage.
FTK_CPU_API const char * ftk_cpu_compiled_for(int32_t index);

#ifdef __cplusplus
}
#endif
