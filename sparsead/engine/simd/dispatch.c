/* The instruction sets of this build, and the one in use. */
#include "simd.h"

#include <stddef.h>
#include <string.h>

/* One table per set, all compiled from kernels.c. */
extern const simd_kernel simd_table_baseline[];
extern const simd_kernel simd_table_avx2[];
extern const simd_kernel simd_table_avx512[];

typedef struct {
    const char *name;
    const simd_kernel *table;
} isa;

enum { MAX_ISAS = 3 };

static isa isas[MAX_ISAS + 1]; /* a row without name is the end */
static const isa *in_use;

/* Found once; two threads that come first together write the same values. */
static const isa *current(void)
{
    const isa *chosen = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);
    if (chosen)
        return chosen;
    int count = 0;
    isas[count++] = (isa){"baseline", simd_table_baseline};
#ifdef SIMD_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        isas[count++] = (isa){"avx2", simd_table_avx2};
#endif
#ifdef SIMD_AVX512
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        isas[count++] = (isa){"avx512", simd_table_avx512};
#endif
    __atomic_store_n(&in_use, &isas[count - 1], __ATOMIC_RELEASE);
    return &isas[count - 1];
}

const char *simd_isa_name(int i)
{
    current();
    return i >= 0 && i < MAX_ISAS ? isas[i].name : NULL;
}

const char *simd_isa(void)
{
    return current()->name;
}

int simd_choose_isa(const char *name)
{
    current();
    for (const isa *row = isas; row->name; row++)
        if (strcmp(row->name, name) == 0) {
            __atomic_store_n(&in_use, row, __ATOMIC_RELEASE);
            return 0;
        }
    return -1;
}

const simd_kernel *simd_find(const char *name, char type)
{
    for (const simd_kernel *kernel = current()->table; kernel->name; kernel++)
        if (kernel->type == type && strcmp(kernel->name, name) == 0)
            return kernel;
    return NULL;
}

const simd_kernel *simd_kernel_at(int i)
{
    const simd_kernel *kernel = current()->table;
    for (; kernel->name && i > 0; i--)
        kernel++;
    return kernel->name ? kernel : NULL;
}
