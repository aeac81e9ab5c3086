/* Work on several threads; the only place that knows threads. */

#ifndef SPARSEAD_PARALLEL_H
#define SPARSEAD_PARALLEL_H

#include <stdint.h>

#define PARALLEL_MOST 64 /* threads */

/* Part `part` of the work, by thread `thread` of those that take part; 0 is the caller. Not 0: no further part is to be begun. */
typedef int (*parallel_body)(void *context, intptr_t part, int thread);

/* Run body for parts 0 to n - 1, in any order, on up to `threads` threads; returns when all are through. Parts are taken one by
   one, so that a thread that the machine lets wait holds up nobody for longer than its part. Serial in a child of fork, and
   while another caller has the threads. Not 0: a body said so, and parts are missing. */
int parallel_for(intptr_t n, int threads, parallel_body body, void *context);

#endif
