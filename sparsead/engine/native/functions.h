/* ---- functions as in NumPy, where the C library has none ------------------------------------------------------------------ */

#define LOOP(name, ...)                                                                                               \
    static void name(char **args, const intptr_t *points, const intptr_t *strides, void *data)                        \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        for (intptr_t k = 0; k < *points; k++) {                                                                      \
            __VA_ARGS__;                                                                                              \
        }                                                                                                             \
    }
#define AT(T, j) (*(T *)(args[j] + k * strides[j]))

/* Quotients of whole numbers: divisors that the machine has no quotient for, and where C rounds up. */
#define UNUSUAL(T, b) ((b) == 0 || ((T)-1 < 0 && (b) == (T)-1))
#define ROUNDED(a, b) ((a) % (b) != 0 && ((a) < 0) != ((b) < 0))

/* Sums of n numbers as NumPy adds them up: in pairs of halves, and eight at a time below 128. */
#define PAIRWISE(name, T)                                                                                             \
    static T name##_of(const char *at, intptr_t n, intptr_t stride)                                                   \
    {                                                                                                                 \
        if (n < 8) {                                                                                                  \
            T sum = (T)-0.0;                                                                                          \
            for (intptr_t k = 0; k < n; k++)                                                                          \
                sum += *(const T *)(at + k * stride);                                                                 \
            return sum;                                                                                               \
        }                                                                                                             \
        if (n <= 128) {                                                                                               \
            T r[8];                                                                                                   \
            intptr_t k;                                                                                               \
            for (int j = 0; j < 8; j++)                                                                               \
                r[j] = *(const T *)(at + j * stride);                                                                 \
            for (k = 8; k < n - n % 8; k += 8)                                                                        \
                for (int j = 0; j < 8; j++)                                                                           \
                    r[j] += *(const T *)(at + (k + j) * stride);                                                      \
            T sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));                                \
            for (; k < n; k++)                                                                                        \
                sum += *(const T *)(at + k * stride);                                                                 \
            return sum;                                                                                               \
        }                                                                                                             \
        const intptr_t half = n / 2 - n / 2 % 8;                                                                      \
        return name##_of(at, half, stride) + name##_of(at + half * stride, n - half, stride);                         \
    }                                                                                                                 \
    static void name(char **args, const intptr_t *points, const intptr_t *strides, void *data)                        \
    {                                                                                                                 \
        (void)data;                                                                                                   \
        *(T *)args[0] += name##_of(args[1], *points, strides[1]);                                                     \
    }
PAIRWISE(pairwise_d, double)
PAIRWISE(pairwise_f, float)

#define REALS(T, f)                                                                                                   \
    static T remainder_of##f(T a, T b)                                                                                \
    {                                                                                                                 \
        const T r = fmod##f(a, b);                                                                                    \
        if (b == 0)                                                                                                   \
            return r;                                                                                                 \
        return r == 0 ? copysign##f(0, b) : (b < 0) != (r < 0) ? r + b : r;                                           \
    }                                                                                                                 \
    static T quotient_of##f(T a, T b)                                                                                 \
    {                                                                                                                 \
        if (b == 0)                                                                                                   \
            return a / b;                                                                                             \
        const T r = fmod##f(a, b);                                                                                    \
        const T q = (a - r) / b - (r != 0 && (b < 0) != (r < 0));                                                     \
        if (q == 0)                                                                                                   \
            return copysign##f(0, a / b);                                                                             \
        const T whole = floor##f(q);                                                                                  \
        return q - whole > (T)0.5 ? whole + 1 : whole;                                                                \
    }                                                                                                                 \
    static T logaddexp_of##f(T a, T b)                                                                                \
    {                                                                                                                 \
        const T d = a - b;                                                                                            \
        if (a == b)                                                                                                   \
            return a + (T)0.693147180559945309417232121458176568;                                                     \
        return d > 0 ? a + log1p##f(exp##f(-d)) : d <= 0 ? b + log1p##f(exp##f(d)) : d;                               \
    }                                                                                                                 \
    static T logaddexp2_of##f(T a, T b)                                                                               \
    {                                                                                                                 \
        const T d = a - b, log2_e = (T)1.442695040888963407359924681001892137;                                        \
        if (a == b)                                                                                                   \
            return a + 1;                                                                                             \
        return d > 0 ? a + log2_e * log1p##f(exp2##f(-d)) : d <= 0 ? b + log2_e * log1p##f(exp2##f(d)) : d;           \
    }                                                                                                                 \
    static T clip_of##f(T a, T low, T high)                                                                           \
    {                                                                                                                 \
        const T raised = a != a ? a : a > low ? a : low;                                                              \
        return raised != raised ? raised : raised < high ? raised : high;                                             \
    }                                                                                                                 \
    static T spacing_of##f(T a)                                                                                       \
    {                                                                                                                 \
        return isinf(a) ? (T)NAN : nextafter##f(a, copysign##f(INFINITY, a)) - a;                                     \
    }
REALS(double, )
REALS(float, f)
