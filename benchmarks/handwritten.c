/* Derivatives as one would write them by hand in C, serial: what the native engine is held against (bench_handwritten.py). */
#include <math.h>
#include <stddef.h>
#include <string.h>

typedef ptrdiff_t size;

/* u @ u after steps of Burgers' equation with zeros at both ends. `states` has (steps + 1) * n numbers; the first n are u at the start,
   whose adjoint is left in `bar` (n numbers). a, b, c: n + 2 numbers each. The adjoint of a step is gathered, so that nothing is added
   to memory. */
double burgers(size n, size steps, double *restrict states, double *restrict bar, double *restrict a, double *restrict b,
               double *restrict c) {
    states[0] = states[n - 1] = 0;
    for (size k = 0; k < steps; k++) {
        const double *restrict u = states + k * n;
        double *restrict v = states + (k + 1) * n;
        v[0] = v[n - 1] = 0;
        for (size i = 1; i < n - 1; i++)
            v[i] = u[i] + 0.2 * (u[i + 1] - 2 * u[i] + u[i - 1]) - 0.1 * u[i] * (u[i + 1] - u[i - 1]);
    }
    double value = 0;
    for (size i = 0; i < n; i++) value += states[steps * n + i] * states[steps * n + i], bar[i] = 2 * states[steps * n + i];
    memset(a, 0, (size_t)(n + 2) * sizeof *a);
    memset(c, 0, (size_t)(n + 2) * sizeof *c);
    for (size k = steps - 1; k >= 0; k--) {
        const double *restrict u = states + k * n;
        for (size i = 1; i < n - 1; i++) {
            const double w = bar[i], d = 0.1 * w * u[i];
            a[i] = 0.2 * w + d;  /* to u[i - 1] */
            c[i] = 0.2 * w - d;  /* to u[i + 1] */
            b[i] = w * (0.6 - 0.1 * (u[i + 1] - u[i - 1]));
        }
        for (size i = 1; i < n - 1; i++) bar[i] = b[i] + (i < n - 2 ? a[i + 1] : 0) + (i > 1 ? c[i - 1] : 0);
        bar[0] = bar[n - 1] = 0;
    }
    return value;
}

/* sum of u^2 / 2 after steps of the heat equation on an n x n grid (problems.py). `states`: (steps + 1) * n * n numbers, which begin with
   u. across and along: half of the step times the sums of neighbouring conductivities, and their adjoints, zero before: n * n numbers
   each, of which the last column, or row, is not used. fx, fy: n * n numbers. bar: adjoint of u. */
double heat(size n, size steps, double *restrict states, const double *restrict across, const double *restrict along,
            double *restrict across_bar, double *restrict along_bar, double *restrict bar, double *restrict fx, double *restrict fy) {
    for (size k = 0; k < steps; k++) {
        const double *restrict u = states + k * n * n;
        double *restrict v = states + (k + 1) * n * n;
        for (size i = 0; i < n; i++) {
            const double *restrict r = u + i * n, *restrict x = across + i * n;
            double *restrict to = v + i * n;
            to[0] = r[0], to[n - 1] = r[n - 1];
            for (size j = 1; j < n - 1; j++) to[j] = r[j] + (x[j] * (r[j + 1] - r[j]) - x[j - 1] * (r[j] - r[j - 1]));
            if (i > 0 && i < n - 1)
                for (size j = 0; j < n; j++)
                    to[j] += along[i * n + j] * (r[n + j] - r[j]) - along[(i - 1) * n + j] * (r[j] - r[j - n]);
        }
    }
    double value = 0;
    for (size i = 0; i < n * n; i++) value += 0.5 * states[steps * n * n + i] * states[steps * n * n + i];
    memcpy(bar, states + steps * n * n, (size_t)(n * n) * sizeof *bar);
    for (size k = steps - 1; k >= 0; k--) {
        const double *restrict u = states + k * n * n;
        for (size i = 0; i < n; i++) {  /* adjoints of the fluxes: the differences of what they are added to */
            const double *restrict w = bar + i * n, *restrict r = u + i * n;
            for (size j = 0; j < n - 1; j++) {
                const double d = (j > 0 ? w[j] : 0) - (j < n - 2 ? w[j + 1] : 0);
                across_bar[i * n + j] += d * (r[j + 1] - r[j]);
                fx[i * n + j] = d * across[i * n + j];
            }
            if (i < n - 1)
                for (size j = 0; j < n; j++) {
                    const double d = (i > 0 ? w[j] : 0) - (i < n - 2 ? w[n + j] : 0);
                    along_bar[i * n + j] += d * (r[n + j] - r[j]);
                    fy[i * n + j] = d * along[i * n + j];
                }
            if (i > 0) {  /* a row behind: bar of this row is still wanted as it was */
                double *restrict to = bar + (i - 1) * n;
                const double *restrict f = fx + (i - 1) * n, *restrict g = fy + (i - 1) * n;
                to[0] -= f[0], to[n - 1] += f[n - 2];
                for (size j = 1; j < n - 1; j++) to[j] += f[j - 1] - f[j];
                for (size j = 0; j < n; j++) to[j] += (i > 1 ? g[j - n] : 0) - g[j];
            }
        }
        double *restrict to = bar + (n - 1) * n;
        const double *restrict f = fx + (n - 1) * n, *restrict g = fy + (n - 2) * n;
        to[0] -= f[0], to[n - 1] += f[n - 2];
        for (size j = 1; j < n - 1; j++) to[j] += f[j - 1] - f[j];
        for (size j = 0; j < n; j++) to[j] += g[j];
    }
    return value;
}

/* The chain of problems.py: its value, and its gradient in `bar`. Sines and cosines in loops of their own: together they become calls of
   sincos, which is no vector function. */
double pointwise(size n, const double *restrict x, double *restrict bar) {
    double value = 0;
    for (size first = 0; first < n; first += 512) {
        double sine[512], cosine[512];
        const double *restrict here = x + first;
        const size m = n - first < 512 ? n - first : 512;
        for (size i = 0; i < m; i++) sine[i] = sin(here[i]);
        for (size i = 0; i < m; i++) cosine[i] = cos(here[i]);
        for (size i = 0; i < m; i++) {
            const double t = here[i], a = exp(-t), s = sine[i], b = s * a, c = sqrt(1 + t * t), d = tanh(b + c), l = log(c + d);
            const double q = 1 / (c + a), z = l * d * q;
            value += z - b;
            const double lb = d * q, cd = lb / (c + d), db = l * q + cd, e = db * (1 - d * d), qb = -z * q;
            const double cb = cd + e + qb, bb = e - 1, ab = qb + bb * s;
            bar[first + i] = cb * t / c + bb * a * cosine[i] - ab * a;
        }
    }
    return value;
}

/* Entries of the Jacobian of the Brusselator with `cells` cells: `constant` ones, and at four places of each cell what depends on y. */
void brusselator(size cells, size entries, const double *restrict constant, const int *restrict place, const double *restrict y,
                 double *restrict data) {
    memcpy(data, constant, (size_t)entries * sizeof *data);
    for (size i = 0; i < cells; i++) {
        const double u = y[i], uv = 2 * u * y[cells + i], uu = u * u;
        data[place[4 * i]] += uv;
        data[place[4 * i + 1]] += uu;
        data[place[4 * i + 2]] -= uv;
        data[place[4 * i + 3]] -= uu;
    }
}
