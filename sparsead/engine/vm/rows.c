/* Rows of a tile that are too short for a call each: loops over blocks of them. */

#include "vm.h"

#include <string.h>

/* ---- copies ----------------------------------------------------------------------------------------------------------------- */

/* One row, copied over and over: what is written already is copied on, twice as much each time. */
static void repeat(char *to, const char *from, size_t row, size_t all) {
    memcpy(to, from, row);
    for (size_t done = row; done < all; done *= 2) memcpy(to + done, to, done < all - done ? done : all - done);
}

#define COPY_ROWS(name, type)                                                                                      \
    static void name(const vm_rows *from, const vm_rows *to, intptr_t rows, intptr_t n) {                          \
        const intptr_t item = sizeof(type), s = from->step, t = to->step;                                          \
        const char *a = from->at;                                                                                  \
        char *b = to->at;                                                                                          \
        if (!from->hop && s == item && t == item && to->hop == n * item) {                                         \
            repeat(b, a, (size_t)(n * item), (size_t)(rows * n * item));                                           \
            return;                                                                                                \
        }                                                                                                          \
        for (intptr_t row = 0; row < rows; row++, a += from->hop, b += to->hop) {                                  \
            if (s == item && t == item) {                                                                          \
                intptr_t k = 0;                                                                                    \
                for (; k + 4 <= n; k += 4) memcpy(b + k * item, a + k * item, 4 * sizeof(type));                   \
                for (; k < n; k++) memcpy(b + k * item, a + k * item, sizeof(type));                               \
            } else if (t == item && !s) {                                                                          \
                type x;                                                                                            \
                memcpy(&x, a, sizeof x);                                                                           \
                for (intptr_t k = 0; k < n; k++) memcpy(b + k * item, &x, sizeof x);                               \
            } else {                                                                                               \
                for (intptr_t k = 0; k < n; k++) memcpy(b + k * t, a + k * s, sizeof(type));                       \
            }                                                                                                      \
        }                                                                                                          \
    }

COPY_ROWS(copy_rows_1, uint8_t)
COPY_ROWS(copy_rows_4, uint32_t)
COPY_ROWS(copy_rows_8, uint64_t)

vm_rows_loop vm_copy_rows(int item) {
    switch (item) {
    case 1: return copy_rows_1;
    case 4: return copy_rows_4;
    case 8: return copy_rows_8;
    }
    return NULL;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------- */

/* SUM: as NumPy's pairwise summation adds up to 128 numbers, so that the bits are those of its `add.reduce`. */
#define ADD_ROWS(name, type)                                                                                       \
    static type sum_of_##name(const char *a, intptr_t s, intptr_t n) {                                             \
        type sum = 0;                                                                                              \
        intptr_t k = 0;                                                                                            \
        if (n >= 8) {                                                                                              \
            type r[8];                                                                                             \
            for (; k < 8; k++) r[k] = *(const type *)(a + k * s);                                                  \
            for (; k + 8 <= n; k += 8)                                                                             \
                for (int j = 0; j < 8; j++) r[j] += *(const type *)(a + (k + j) * s);                              \
            sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));                               \
        }                                                                                                          \
        for (; k < n; k++) sum += *(const type *)(a + k * s);                                                      \
        return sum;                                                                                                \
    }                                                                                                              \
    static void name(const vm_rows *from, const vm_rows *to, intptr_t rows, intptr_t n) {                          \
        const intptr_t s = from->step, t = to->step;                                                               \
        const char *a = from->at;                                                                                  \
        char *b = to->at;                                                                                          \
        for (intptr_t row = 0; row < rows; row++, a += from->hop, b += to->hop) {                                  \
            if (!t)                                                                                                \
                *(type *)b += sum_of_##name(a, s, n);                                                              \
            else                                                                                                   \
                for (intptr_t k = 0; k < n; k++) *(type *)(b + k * t) += *(const type *)(a + k * s);               \
        }                                                                                                          \
    }

ADD_ROWS(add_rows_d, double)
ADD_ROWS(add_rows_f, float)

vm_rows_loop vm_add_rows(char type) { return type == 'd' ? add_rows_d : type == 'f' ? add_rows_f : NULL; }
