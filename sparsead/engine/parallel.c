/* A pool of threads, and not OpenMP: a region of OpenMP ends when all its threads have arrived, also one that the machine has not
   let run yet, and its threads spin meanwhile. With the second core busy that was measured at many times the serial time. Here
   the caller waits only for threads that have taken a part, and a thread that wakes up late finds nothing to do. */

#include "parallel.h"

#if defined(_WIN32) || defined(__STDC_NO_ATOMICS__)

int parallel_for(intptr_t n, int threads, parallel_body body, void *context) {
    (void)threads;
    for (intptr_t part = 0; part < n; part++)
        if (body(context, part, 0)) return 1;
    return 0;
}

#else

#include <pthread.h>
#include <stdatomic.h>

#define SPINS 2000 /* some 10 us: about what it costs to sleep and to be woken */

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

typedef struct {
    parallel_body body;
    void *context;
    intptr_t n;
    int threads;
    atomic_intptr_t next;
    atomic_int stopped;
} job;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* who has the threads */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static job *current; /* NULL: nothing to do */
static int n_workers, joined; /* threads that there are; how many are at the job, or were */
static atomic_int inside;      /* threads that are at the job */
static atomic_uint generation; /* of jobs */
static atomic_int forked;

static void work_on(job *j, int thread) {
    intptr_t part;
    while (!atomic_load(&j->stopped) && (part = atomic_fetch_add(&j->next, 1)) < j->n)
        if (j->body(j->context, part, thread)) atomic_store(&j->stopped, 1);
}

static void *worker(void *argument) {
    (void)argument;
    unsigned seen = 0;
    for (;;) {
        for (int k = 0; k < SPINS && atomic_load(&generation) == seen; k++) PAUSE();
        pthread_mutex_lock(&lock);
        while (atomic_load(&generation) == seen) pthread_cond_wait(&wake, &lock);
        seen = atomic_load(&generation);
        job *j = current && joined < current->threads ? current : NULL;
        const int thread = joined; /* its number in this job, whatever other jobs have more threads */
        if (j) {
            joined++;
            atomic_fetch_add(&inside, 1);
        }
        pthread_mutex_unlock(&lock);
        if (!j) continue;
        work_on(j, thread);
        pthread_mutex_lock(&lock);
        if (atomic_fetch_sub(&inside, 1) == 1) pthread_cond_signal(&done);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* The threads of the parent do not exist in the child, and a lock may be held by one of them. */
static void in_child(void) { atomic_store(&forked, 1); }

static void need_workers(int count) {
    static int registered;
    if (!registered) {
        pthread_atfork(NULL, NULL, in_child);
        registered = 1;
    }
    while (n_workers < count && n_workers < PARALLEL_MOST - 1) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, worker, NULL);
        pthread_attr_destroy(&attributes);
        if (failed) return; /* fewer, then */
        n_workers++;
    }
}

int parallel_for(intptr_t n, int threads, parallel_body body, void *context) {
    job j = {.body = body, .context = context, .n = n};
    atomic_init(&j.next, 0);
    atomic_init(&j.stopped, 0);
    if (threads > n) threads = (int)n;
    j.threads = threads;
    if (threads < 2 || atomic_load(&forked) || pthread_mutex_trylock(&owner)) {
        work_on(&j, 0);
        return atomic_load(&j.stopped);
    }
    pthread_mutex_lock(&lock);
    need_workers(threads - 1);
    current = &j;
    joined = 1; /* the caller */
    atomic_fetch_add(&generation, 1);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    work_on(&j, 0);
    pthread_mutex_lock(&lock);
    current = NULL; /* who comes now is too late */
    pthread_mutex_unlock(&lock);
    for (int k = 0; k < SPINS && atomic_load(&inside); k++) PAUSE();
    pthread_mutex_lock(&lock);
    while (atomic_load(&inside)) pthread_cond_wait(&done, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&owner);
    return atomic_load(&j.stopped);
}

#endif
