/* Kernels on tiles: arithmetic bit for bit as NumPy's, and vector functions within a few units in the last place.
 *
 * A kernel has the signature of NumPy's inner loops, so that an interpreter calls either through one kind of pointer:
 * args are the operands and last the result, dimensions[0] is the number of elements, steps are strides in bytes and data is
 * not read. An operand of step 0 is one value for all elements. Steps of one element are the fast path, any others are
 * right; no operand has to be aligned. A result may be one of its own operands (that is how `y += a` and `y += a*b` are
 * run: add(y, a, y), muladd(a, b, y, y)), but must not overlap one in any other way, an operand of step 0 included.
 *
 * The bits of an element depend on its operands alone: not on n, nor on the place in the tile, steps or alignment. */
#ifndef SPARSEAD_SIMD_H
#define SPARSEAD_SIMD_H

#include <stdint.h>

typedef void (*simd_loop)(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data);

typedef struct {
    const char *name;
    char type; /* of the operands, the mask of a selection excepted: 'd', 'f' or '?', as NumPy's dtype.char */
    int operands;
    simd_loop loop;
} simd_kernel;

/* Instruction sets this build has and this CPU runs, the slowest first; NULL behind the last. */
const char *simd_isa_name(int i);

/* The set in use: the fastest one until another is chosen. Choosing returns -1 and changes nothing where the name is
 * unknown. Loops that were looked up before keep their set. */
const char *simd_isa(void);
int simd_choose_isa(const char *name);

/* NULL where there is no such kernel. */
const simd_kernel *simd_find(const char *name, char type);

/* The i-th kernel of the set in use, NULL behind the last. */
const simd_kernel *simd_kernel_at(int i);

#endif
