/* ADD int8 of two tensors of the same shape for the DSP extension: 12 or 13 instructions a value. */
#include "qe_add_s8_dsp.h"

#ifdef QE_ADD_CLAMP
#define ADD static void add
#else
#define ADD void qe_add_s8_dsp
#endif

#if QE_DSP_ASM

/* Where the output is clamped at its zero point (RELU), negative sums end there, however they are rounded. */
#ifdef QE_ADD_SIGNED
#define LAST_HALF "add lr, r11, r3, asr #31\n"
#define SUM "smmlar r3, r3, r10, lr\n"
#else
#define LAST_HALF
#define SUM "smmlar r3, r3, r10, r11\n"
#endif

#define ONE \
    "ldrsb r3, [r2], #1\n" \
    "mla r3, r3, r4, r5\n" \
    "add lr, r6, r3, asr #31\n" \
    "smmlar r3, r3, r7, lr\n" \
    "asr r3, r3, r8\n" \
    "ldrsb lr, [r1], #1\n" \
    "add r3, r9, r3, lsl #1\n" \
    "add r3, r3, lr, lsl #20\n" \
    LAST_HALF \
    SUM \
    "asr r3, r3, r12\n" \
    "ssat r3, #8, r3\n" \
    "strb r3, [r0], #1\n"

/* r0: output, r1: large, r2: small, r4-r12: from small_factor to output_shift. Frame, in words: 0 values by one, 1 by
 * four. */
QE_NAKED ADD(const qe_add_call *call __attribute__((unused)), const int8_t *large __attribute__((unused)),
             const int8_t *small __attribute__((unused)), int8_t *output __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "sub sp, #8\n"
        "mov r12, r0\n"
        "mov r0, r3\n"
        "ldrd r4, r5, [r12], #8\n"
        "strd r4, r5, [sp]\n"
        "ldm r12, {r4, r5, r6, r7, r8, r9, r10, r11, r12}\n"
        "b 2f\n"
        "1:\n"
        ONE
        "2:\n"
        "ldr r3, [sp]\n"
        "subs r3, #1\n"
        "str r3, [sp]\n"
        "bpl 1b\n"
        "b 4f\n"
        "3:\n"
        ONE ONE ONE ONE
        "4:\n"
        "ldr r3, [sp, #4]\n"
        "subs r3, #1\n"
        "str r3, [sp, #4]\n"
        "bpl 3b\n"
        "add sp, #8\n"
        "pop {r4-r11, pc}\n");
}

#else

/* a * b / 2^32, rounded to nearest with ties upwards. */
static int32_t high_word(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}

/* A function of its own, as in assembly: the step is known by its name. */
QE_DSP_APART
ADD(const qe_add_call *call, const int8_t *large, const int8_t *small, int8_t *output)
{
    const uint32_t count = call->ones + 4u * call->fours;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t b = call->small_start + small[i] * call->small_factor;
        const int32_t scaled =
            (call->small_half + high_word(b, call->small_multiplier) - (b < 0)) >> call->small_shift;
        const int32_t sum = call->large_start + 2 * scaled + large[i] * (1 << 20);
        const int32_t y = (call->output_half + high_word(sum, call->output_multiplier) - (sum < 0)) >> call->output_shift;
        output[i] = qe_clamp_s8(y, INT8_MIN, INT8_MAX);
    }
}

#endif

#ifdef QE_ADD_CLAMP
QE_DSP_APART
void qe_add_s8_dsp(const qe_add_call *call, const int8_t *large, const int8_t *small, int8_t *output)
{
    const uint32_t count = call->ones + 4u * call->fours;
    add(call, large, small, output);
    for (uint32_t i = 0; i < count; ++i) {
        output[i] = qe_clamp_s8(output[i], call->low, call->high);
    }
}
#endif

void qe_add_prepare_dsp(qe_add_call *call, const qe_add_params *p)
{
    call->ones = p->count % 4u;
    call->fours = p->count / 4u;
    call->small_factor = p->small_factor;
    call->small_start = p->small_offset * p->small_factor;
    call->small_half = (int32_t)1 << (p->small_shift - 1);
    call->small_multiplier = p->small_multiplier;
    call->small_shift = p->small_shift;
    call->large_start = p->large_offset * (1 << 20);
    call->output_multiplier = p->output_multiplier;
    call->output_half = ((int32_t)1 << (p->output_shift - 1)) + p->output_zero_point * ((int32_t)1 << p->output_shift);
    call->output_shift = p->output_shift;
#ifdef QE_ADD_CLAMP
    call->low = p->low;
    call->high = p->high;
#endif
}

void qe_add_single_dsp(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
    qe_add_call call;
    qe_add_prepare_dsp(&call, p);
    qe_add_s8_dsp(&call, large, small, output);
}
