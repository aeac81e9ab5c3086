#include <string.h>

#define RUN(step) frame->tools->run(step, frame->work)
#define LOOK(done) frame->tools->look(frame->work, done)
#define GUARD(step, which, at) frame->tools->guard(frame->work, step, which, at)
#define FAIL(step, window, index, value) frame->tools->fail(frame->work, step, window, index, value)

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
