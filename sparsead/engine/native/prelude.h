#include <stdint.h>
#include <string.h>

typedef void (*loop_t)(char **args, const intptr_t *points, const intptr_t *strides, void *data);
typedef struct {
    loop_t loop;
    void *data;
    loop_t sum;
    void *sum_data;
} call_t;

/* What a function for a step is given, and what it asks of the tiled engine. */
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
enum { DONE = 0, RAISED = -1 };

#define RUN(step) frame->tools->run(step, frame->work)
#define LOOK(done) frame->tools->look(frame->work, done)
#define GUARD(step, which, at) frame->tools->guard(frame->work, step, which, at)
#define FAIL(step, window, index, value) frame->tools->fail(frame->work, step, window, index, value)
#define LOOK_EVERY 1000000 /* point instructions until the user may interrupt */

#define NUMBER 32
#define ARGS(...) {__VA_ARGS__}
#define STEPS(...) {__VA_ARGS__}
#define APPLY(call, count, arguments, steps)                                                                          \
    do {                                                                                                              \
        char *args_[] = arguments;                                                                                    \
        const intptr_t steps_[] = steps, count_ = count;                                                              \
        (call).loop(args_, &count_, steps_, (call).data);                                                             \
    } while (0)

#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif
#define ROOT __builtin_sqrt
#define ROOTF __builtin_sqrtf
#define MAGNITUDE __builtin_fabs
#define MAGNITUDEF __builtin_fabsf

/* *at += the sum of n numbers */
static void add(const call_t *call, char *at, char *from, intptr_t stride, intptr_t n)
{
    _Alignas(16) char number[NUMBER] = {0};
    char *args[3] = {at, from, at};
    intptr_t steps[3] = {0, stride, 0}, one = 1;
    if (n != 1) {
        args[0] = args[2] = number;
        call->sum(args, &n, steps, call->sum_data);
        args[0] = args[2] = at;
        args[1] = number;
    }
    call->loop(args, &one, steps, call->data);
}
