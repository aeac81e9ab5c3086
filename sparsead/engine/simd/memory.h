/* Elements in memory that may be unaligned, and of any effective type. */
#ifndef SPARSEAD_SIMD_MEMORY_H
#define SPARSEAD_SIMD_MEMORY_H

#include <stdint.h>

typedef double d_at __attribute__((aligned(1), may_alias));
typedef float f_at __attribute__((aligned(1), may_alias));
typedef unsigned char b_at; /* NumPy's bool: any byte but 0 is true when read, 1 when written */

/* Operands and results are the same array or disjoint, so a loop over them carries no dependence. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* In the body of a loop: too short for vectors, or strided, where their set-up costs more than they save. */
#define ONE_BY_ONE __asm__ volatile("")

#endif
