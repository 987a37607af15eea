/* ADD int8 of two tensors of the same shape for Helium: four values at a time. */
#include "qe_add_s8_mve.h"

/* Everything ready to be multiplied; the assembler counts on the order. */
typedef struct {
    const int8_t *small, *large;
    int8_t *output;
    uint32_t count;
    int32_t small_factor, small_start, small_multiplier, small_shift;
    int32_t large_factor, large_start, output_multiplier, output_shift;
    int32_t zero_point, low, high;
} add_call;

#if QE_MVE

/* x / 2^-SHIFT, rounded to nearest with ties away from zero. */
#define ROUND(SHIFT) \
    "vshr.s32 q1, q0, #31\n" \
    "vadd.i32 q0, q0, q1\n" \
    "vrshl.s32 q0, " SHIFT "\n"

QE_NAKED static void add(const add_call *call __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldrd r1, r2, [r0]\n"
        "ldrd r3, r4, [r0, #8]\n"
        "dlstp.32 lr, r4\n"
#ifdef QE_ADD_CLAMP
        "vpush {d8-d9}\n"
        "ldrd r4, r5, [r0, #52]\n"
        "vdup.8 q2, r4\n"
        "vdup.8 q4, r5\n"
#endif
        "ldrd r4, r5, [r0, #16]\n"
        "vdup.32 q3, r4\n"
        "ldrd r6, r7, [r0, #24]\n"
        "ldrd r8, r9, [r0, #32]\n"
        "ldrd r10, r11, [r0, #40]\n"
        "ldr r12, [r0, #48]\n"
        "1:\n"
        "vldrb.s32 q0, [r1], #4\n"
        "vmlas.s32 q0, q3, r5\n"
        "vqrdmulh.s32 q0, q0, r6\n"
        ROUND("r7")
        "vldrb.s32 q1, [r2], #4\n"
        "vmla.s32 q0, q1, r8\n"
        "vadd.i32 q0, q0, r9\n"
        "vqrdmulh.s32 q0, q0, r10\n"
        ROUND("r11")
        "vqmovnb.s32 q0, q0\n"
        "vqadd.s16 q0, q0, r12\n"
        "vqmovnb.s16 q0, q0\n"
#ifdef QE_ADD_CLAMP
        "vmax.s8 q0, q0, q2\n"
        "vmin.s8 q0, q0, q4\n"
#endif
        "vstrb.32 q0, [r3], #4\n"
        "letp lr, 1b\n"
#ifdef QE_ADD_CLAMP
        "vpop {d8-d9}\n"
#endif
        "pop {r4-r11, pc}\n");
}

#else

static void add(const add_call *c)
{
    for (uint32_t i = 0; i < c->count; ++i) {
        const int32_t b = qe_high_mul(c->small[i] * c->small_factor + c->small_start, c->small_multiplier);
        const int32_t a = c->large[i] * c->large_factor + c->large_start;
        const int32_t y = qe_high_mul(a + qe_rounding_shift(b, -c->small_shift), c->output_multiplier);
        c->output[i] = qe_clamp_s8(qe_rounding_shift(y, -c->output_shift) + c->zero_point, c->low, c->high);
    }
}

#endif

void qe_add_s8_mve(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
    const int32_t large_factor = (int32_t)1 << 19;
    add_call call;
    call.small = small;
    call.large = large;
    call.output = output;
    call.count = p->count;
    call.small_factor = p->small_factor / 2;
    call.small_start = p->small_offset * call.small_factor;
    call.small_multiplier = p->small_multiplier;
    call.small_shift = -(int32_t)p->small_shift;
    call.large_factor = large_factor;
    call.large_start = p->large_offset * large_factor;
    call.output_multiplier = p->output_multiplier;
    call.output_shift = -(int32_t)p->output_shift;
    call.zero_point = p->output_zero_point;
    call.low = p->low;
    call.high = p->high;
    add(&call);
}
