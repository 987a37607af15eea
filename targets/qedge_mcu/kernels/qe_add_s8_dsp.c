/* ADD int8 of two tensors of the same shape for the DSP extension: 13 instructions a value. */
#include "qe_add_s8_dsp.h"

/* Everything ready to be multiplied; the assembler counts on the order. The halves round: a shift sends ties away from
 * zero when one is taken off negative values first, and a product that vanishes rounds to zero either way, so that
 * the factor's sign does. */
typedef struct {
    const int8_t *small, *large;
    int8_t *output;
    uint32_t ones, fours; /* values by one, then by four */
    int32_t small_factor, small_start, small_half, small_multiplier, small_shift;
    int32_t large_start, output_multiplier, output_half, output_shift;
} add_call;

#if QE_DSP_ASM

#define ONE \
    "ldrsb r3, [r0], #1\n" \
    "mla r3, r3, r4, r5\n" \
    "add lr, r6, r3, asr #31\n" \
    "smmlar r3, r3, r7, lr\n" \
    "asr r3, r3, r8\n" \
    "ldrsb lr, [r1], #1\n" \
    "add r3, r9, r3, lsl #1\n" \
    "add r3, r3, lr, lsl #20\n" \
    "add lr, r11, r3, asr #31\n" \
    "smmlar r3, r3, r10, lr\n" \
    "asr r3, r3, r12\n" \
    "ssat r3, #8, r3\n" \
    "strb r3, [r2], #1\n"

/* r0: small, r1: large, r2: output, r4-r12: from small_factor to output_shift. Frame, in words: 0 values by one, 1 by
 * four. */
QE_NAKED static void add(const add_call *call __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "sub sp, #8\n"
        "mov r12, r0\n"
        "ldrd r0, r1, [r12, #12]\n"
        "strd r0, r1, [sp]\n"
        "ldm r12!, {r0, r1, r2}\n"
        "add r12, #8\n"
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

static void add(const add_call *c)
{
    const uint32_t count = c->ones + 4u * c->fours;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t b = c->small_start + c->small[i] * c->small_factor;
        const int32_t scaled = (c->small_half + high_word(b, c->small_multiplier) - (b < 0)) >> c->small_shift;
        const int32_t sum = c->large_start + 2 * scaled + c->large[i] * (1 << 20);
        const int32_t y = (c->output_half + high_word(sum, c->output_multiplier) - (sum < 0)) >> c->output_shift;
        c->output[i] = qe_clamp_s8(y, INT8_MIN, INT8_MAX);
    }
}

#endif

void qe_add_s8_dsp(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
    add_call call;
    call.small = small;
    call.large = large;
    call.output = output;
    call.ones = p->count % 4u;
    call.fours = p->count / 4u;
    call.small_factor = p->small_factor;
    call.small_start = p->small_offset * p->small_factor;
    call.small_half = (int32_t)1 << (p->small_shift - 1);
    call.small_multiplier = p->small_multiplier;
    call.small_shift = p->small_shift;
    call.large_start = p->large_offset * (1 << 20);
    call.output_multiplier = p->output_multiplier;
    call.output_half = ((int32_t)1 << (p->output_shift - 1)) + p->output_zero_point * ((int32_t)1 << p->output_shift);
    call.output_shift = p->output_shift;
    add(&call);
#ifdef QE_ADD_CLAMP
    for (uint32_t i = 0; i < p->count; ++i) {
        output[i] = qe_clamp_s8(output[i], p->low, p->high);
    }
#endif
}
