/* The kernels of one instruction set: compiled once for each, with SIMD_TABLE naming the table. */
#include "arithmetic.h"
#include "functions.h"
#include "simd.h"
#include "sums.h"

#include <stddef.h>

const simd_kernel SIMD_TABLE[] = {
    ARITHMETIC_ROWS(d, 'd'),
    ARITHMETIC_ROWS(f, 'f'),
    LOGIC_ROWS,
    FUNCTION_ROWS,
    SUM_ROWS(d, 'd'),
    SUM_ROWS(f, 'f'),
    {NULL, 0, 0, NULL},
};
