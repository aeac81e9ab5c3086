/* Inner loops that NumPy does not have as ufuncs: copies, casts, choices. */

#include "vm.h"

#include <string.h>

/* ---- copies ----------------------------------------------------------------------------------------------------------------- */

#define COPY(name, type)                                                                              \
    static void name(char **args, const intptr_t *points, const intptr_t *strides, void *data) {      \
        (void)data;                                                                                   \
        const char *from = args[0];                                                                   \
        char *to = args[1];                                                                           \
        const intptr_t n = *points, s = strides[0], t = strides[1];                                   \
        if (s == (intptr_t)sizeof(type) && t == s) {                                                  \
            memmove(to, from, (size_t)n * sizeof(type));                                              \
            return;                                                                                   \
        }                                                                                             \
        for (intptr_t k = 0; k < n; k++, from += s, to += t) memmove(to, from, sizeof(type));         \
    }

typedef struct { uint64_t a, b; } two_t;
typedef struct { uint64_t a, b, c, d; } four_t;

COPY(copy_1, uint8_t)
COPY(copy_2, uint16_t)
COPY(copy_4, uint32_t)
COPY(copy_8, uint64_t)
COPY(copy_16, two_t)
COPY(copy_32, four_t)

/* Copies past the caches: what is written is not read before much else has been. Ordinary stores would read each line first. */
#if defined(__SSE2__)
#include <emmintrin.h>

static void copy_past(char **args, const intptr_t *points, const intptr_t *strides, void *data) {
    (void)data;
    const char *from = args[0];
    char *to = args[1];
    intptr_t n = *points;
    if (strides[0] != 8 || strides[1] != 8 || (intptr_t)to % 8) {
        copy_8(args, points, strides, data);
        return;
    }
    if ((intptr_t)to % 16 && n) {
        memcpy(to, from, 8);
        from += 8, to += 8, n--;
    }
    for (; n >= 2; n -= 2, from += 16, to += 16) _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)from));
    if (n) memcpy(to, from, 8);
    _mm_sfence();
}

vm_loop vm_copy_past(int item) { return item == 8 ? copy_past : vm_copy(item); }
#else
vm_loop vm_copy_past(int item) { return vm_copy(item); }
#endif

vm_loop vm_copy(int item) {
    switch (item) {
    case 1: return copy_1;
    case 2: return copy_2;
    case 4: return copy_4;
    case 8: return copy_8;
    case 16: return copy_16;
    case 32: return copy_32;
    }
    return NULL;
}

/* ---- casts ------------------------------------------------------------------------------------------------------------------ */

#define REALS(X, a, A) \
    X(a, A, b, signed char) X(a, A, B, unsigned char) X(a, A, h, short) X(a, A, H, unsigned short) X(a, A, i, int) \
    X(a, A, I, unsigned) X(a, A, l, long) X(a, A, L, unsigned long) X(a, A, q, long long) X(a, A, Q, unsigned long long) \
    X(a, A, f, float) X(a, A, d, double)
#define PAIRS(X) \
    REALS(X, o, unsigned char) REALS(X, b, signed char) REALS(X, B, unsigned char) REALS(X, h, short) \
    REALS(X, H, unsigned short) REALS(X, i, int) REALS(X, I, unsigned) REALS(X, l, long) REALS(X, L, unsigned long) \
    REALS(X, q, long long) REALS(X, Q, unsigned long long) REALS(X, f, float) REALS(X, d, double)

#define CAST(a, A, b, B)                                                                                          \
    static void cast_##a##_##b(char **args, const intptr_t *points, const intptr_t *strides, void *data) {        \
        (void)data;                                                                                               \
        const char *from = args[0];                                                                               \
        char *to = args[1];                                                                                       \
        for (intptr_t k = 0; k < *points; k++, from += strides[0], to += strides[1]) *(B *)to = (B) * (const A *)from; \
    }
PAIRS(CAST)

#define OTHERS(X) \
    X(o, unsigned char) X(b, signed char) X(B, unsigned char) X(h, short) X(H, unsigned short) X(i, int) X(I, unsigned) \
    X(l, long) X(L, unsigned long) X(q, long long) X(Q, unsigned long long) X(f, float) X(d, double)

#define TRUTH(a, A)                                                                                               \
    static void truth_##a(char **args, const intptr_t *points, const intptr_t *strides, void *data) {             \
        (void)data;                                                                                               \
        const char *from = args[0];                                                                               \
        char *to = args[1];                                                                                       \
        for (intptr_t k = 0; k < *points; k++, from += strides[0], to += strides[1]) *to = *(const A *)from != 0; \
    }
OTHERS(TRUTH)

#define COMPLEX(a, A)                                                                                             \
    static void complex_##a(char **args, const intptr_t *points, const intptr_t *strides, void *wide) {           \
        const char *from = args[0];                                                                               \
        char *to = args[1];                                                                                       \
        for (intptr_t k = 0; k < *points; k++, from += strides[0], to += strides[1]) {                            \
            if (wide) {                                                                                           \
                ((double *)to)[0] = (double)*(const A *)from, ((double *)to)[1] = 0;                              \
            } else {                                                                                              \
                ((float *)to)[0] = (float)*(const A *)from, ((float *)to)[1] = 0;                                 \
            }                                                                                                     \
        }                                                                                                         \
    }
OTHERS(COMPLEX)

/* Of complex numbers the real part, or both parts in another precision. */
#define PARTS(X) X(F, float, f, float) X(F, float, d, double) X(D, double, f, float) X(D, double, d, double)
#define BOTH(X) X(F, float, D, double) X(D, double, F, float)
PARTS(CAST)

#define CAST_BOTH(a, A, b, B)                                                                                     \
    static void cast_##a##_##b(char **args, const intptr_t *points, const intptr_t *strides, void *data) {        \
        (void)data;                                                                                               \
        const char *from = args[0];                                                                               \
        char *to = args[1];                                                                                       \
        for (intptr_t k = 0; k < *points; k++, from += strides[0], to += strides[1]) {                            \
            const A re = ((const A *)from)[0], im = ((const A *)from)[1];                                         \
            ((B *)to)[0] = (B)re, ((B *)to)[1] = (B)im;                                                           \
        }                                                                                                         \
    }
BOTH(CAST_BOTH)

static char letter(char c) { return c == '?' ? 'o' : c; }

vm_loop vm_cast(char from, char to) {
    from = letter(from);
#define FIND(a, A, b, B) \
    if (from == #a[0] && to == #b[0]) return cast_##a##_##b;
    PAIRS(FIND)
    PARTS(FIND)
    BOTH(FIND)
#define FIND_TRUTH(a, A) \
    if (from == #a[0] && to == '?') return truth_##a;
    OTHERS(FIND_TRUTH)
#define FIND_COMPLEX(a, A) \
    if (from == #a[0] && (to == 'D' || to == 'F')) return complex_##a;
    OTHERS(FIND_COMPLEX)
    return NULL;
}

/* ---- choices ---------------------------------------------------------------------------------------------------------------- */

#define SELECT(name, type)                                                                                        \
    static void name(char **args, const intptr_t *points, const intptr_t *strides, void *data) {                  \
        (void)data;                                                                                               \
        const char *c = args[0], *a = args[1], *b = args[2];                                                      \
        char *z = args[3];                                                                                        \
        for (intptr_t k = 0; k < *points; k++, c += strides[0], a += strides[1], b += strides[2], z += strides[3]) \
            *(type *)z = *c ? *(const type *)a : *(const type *)b;                                                \
    }

SELECT(select_1, uint8_t)
SELECT(select_2, uint16_t)
SELECT(select_4, uint32_t)
SELECT(select_8, uint64_t)
SELECT(select_16, two_t)

vm_loop vm_select(int item) {
    switch (item) {
    case 1: return select_1;
    case 2: return select_2;
    case 4: return select_4;
    case 8: return select_8;
    case 16: return select_16;
    }
    return NULL;
}
