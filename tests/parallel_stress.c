/* Several callers share the threads of sparsead/engine/parallel.c, with jobs of all sizes, nested ones, and ones that stop: for the
   thread sanitizer, see .ci/sanitize. Ends with 1 if a part was left out, or was run twice. */

#include "../sparsead/engine/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALLERS = 3, JOBS = 2000, PARTS = 200 };

typedef struct {
    int done[PARTS];                   /* by part, without locks: each is one thread's */
    long by_thread[PARALLEL_MOST];     /* the same for the number of a thread */
    int threads, depth, stop_at;
    atomic_int stopped;
} job;

static atomic_int wrong;

static int inner(void *context, intptr_t part, int thread) {
    (void)thread;
    ((int *)context)[part]++;
    return 0;
}

static int body(void *context, intptr_t part, int thread) {
    job *j = context;
    if (thread < 0 || thread >= j->threads) atomic_store(&wrong, 1);
    j->done[part]++;
    j->by_thread[thread]++;
    if (j->depth) {
        int parts[7] = {0};
        if (parallel_for(7, 3, inner, parts)) atomic_store(&wrong, 1);
        for (int k = 0; k < 7; k++)
            if (parts[k] != 1) atomic_store(&wrong, 1);
    }
    if (part == j->stop_at) atomic_store(&j->stopped, 1);
    return atomic_load(&j->stopped);
}

static void run(unsigned *seed) {
    job *j = calloc(1, sizeof *j);
    const int n = rand_r(seed) % PARTS;
    j->threads = 1 + rand_r(seed) % 5;
    j->depth = rand_r(seed) % 3 == 0;
    j->stop_at = rand_r(seed) % 4 ? -1 : rand_r(seed) % PARTS;
    const int stopped = parallel_for(n, j->threads, body, j);
    if (stopped != (j->stop_at >= 0 && j->stop_at < n)) atomic_store(&wrong, 1);
    long all = 0, counted = 0;
    for (int k = 0; k < n; k++) {
        all += j->done[k];
        if (j->done[k] > 1 || (!stopped && !j->done[k])) atomic_store(&wrong, 1);
    }
    for (int k = 0; k < PARALLEL_MOST; k++) counted += j->by_thread[k];
    if (all != counted) atomic_store(&wrong, 1);
    free(j);
}

static void *caller(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int k = 0; k < JOBS; k++) run(&seed);
    return NULL;
}

int main(void) {
    pthread_t callers[CALLERS];
    for (uintptr_t k = 0; k < CALLERS; k++)
        if (pthread_create(callers + k, NULL, caller, (void *)(k + 1))) return 2;
    for (int k = 0; k < CALLERS; k++) pthread_join(callers[k], NULL);
    puts(atomic_load(&wrong) ? "parts are missing, or were run twice" : "all parts were run once");
    return atomic_load(&wrong);
}
