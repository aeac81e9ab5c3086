/* What compiled code and the tiled engine know of each other. vm.h includes it, and it stands above all that is compiled. */

#ifndef SPARSEAD_ABI_H
#define SPARSEAD_ABI_H

#include <stdint.h>

/* An inner loop, with the signature of NumPy's: operands and results, points, strides in bytes. */
typedef void (*loop_t)(char **args, const intptr_t *points, const intptr_t *strides, void *data);

typedef struct {
    loop_t loop;
    void *data;
    loop_t sum; /* adds all points to one number */
    void *sum_data;
} call_t;

/* What a function for a step may ask for, and what it is given. */
typedef struct work work_t;
typedef struct {
    int (*run)(const void *step, work_t *work);
    int (*look)(work_t *work, double done);
    int (*guard)(work_t *work, int step, int guard, intptr_t at);
    int (*fail)(work_t *work, int step, int window, int index, intptr_t value);
} tools_t;
typedef struct {
    char **slots;
    work_t *work;
    const tools_t *tools;
    const intptr_t *sizes;
    char *const *numbers;
    const call_t *calls;
    const void *const *steps;
} frame_t;
enum { DONE = 0, RAISED = -1, OUT_OF_BOUNDS = -2 };

#define NUMBER 32          /* bytes that a number takes at most */
#define LOOK_EVERY 1000000 /* point instructions until the user may interrupt: 0.3 to 50 ms */
#define TRIP 100           /* what a trip counts that does nothing else */

#endif
