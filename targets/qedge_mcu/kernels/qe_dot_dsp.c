/* Inner products of two pixels by two channels: 12 instructions for 16 multiply-accumulates. */
#include "qe_dot_dsp.h"

#if QE_DSP_ASM

/* Four k of two pixels and two channels. r0: columns, r1: weights; r9, r11: sums of channel a for pixels 0 and
 * 1; r10, r12: 256 times those of channel b, plus a's. 48 bytes of code: the entry below counts on it. */
#define FOUR_K \
    "ldmia.w r0!, {r2, r3, r4, r5}\n" \
    "ldrd r6, r7, [r1], #8\n" \
    "sxtb16 lr, r6\n" \
    "smlad r9, r2, lr, r9\n" \
    "smlad r10, r2, r6, r10\n" \
    "smlad r11, r4, lr, r11\n" \
    "smlad r12, r4, r6, r12\n" \
    "sxtb16 lr, r7\n" \
    "smlad r9, r3, lr, r9\n" \
    "smlad r10, r3, r7, r10\n" \
    "smlad r11, r5, lr, r11\n" \
    "smlad r12, r5, r7, r12\n"

/* Frame, in words: 0 columns, 1 rounds of 16 k, 2-5 zero sums, 6 entry into the first round,
 * 7 out0, 8 out1, 9 end of out0, 10 offset. */
QE_NAKED void qe_dot_2x2_dsp(const qe_dot_dsp_call *call __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "sub sp, #44\n"
        "ldm r0, {r1-r7}\n"
        "add r5, r3, r5, lsl #1\n"
        "add r8, r6, #12\n"
        "lsr r8, r8, #4\n"
        "rsb r6, r6, r8, lsl #4\n"
        "add r6, r6, r6, lsl #1\n"
        "adr lr, 2f\n"
        "add lr, lr, r6, lsl #2\n"
        "orr lr, lr, #1\n"
        "mov r9, #0\n"
        "mov r10, r9\n"
        "mov r11, r9\n"
        "mov r12, r9\n"
        "stm sp, {r2, r8, r9, r10, r11, r12, lr}\n"
        "add r0, sp, #28\n"
        "stm r0, {r3, r4, r5, r7}\n"
        "1:\n"
        "ldm.w sp, {r0, r8, r9, r10, r11, r12, pc}\n"
        ".balign 4\n"
        "2:\n"
        FOUR_K FOUR_K FOUR_K FOUR_K
        "subs r8, #1\n"
        "bne 2b\n"
        "ldmia r1!, {r2, r3, r4, r5}\n"
        "sub r10, r10, r9\n"
        "sub r12, r12, r11\n"
        "asrs r6, r2, #7\n"
        "asrs r7, r4, #7\n"
        "add r9, r6, r9, lsl #1\n"
        "add r11, r6, r11, lsl #1\n"
        "add r10, r7, r10, asr #7\n"
        "add r12, r7, r12, asr #7\n"
        "ldr r0, [sp, #40]\n"
        "lsl.w r6, r0, r2\n"
        "lsl.w r7, r0, r4\n"
        QE_ASM_REQUANTIZE("r9", "r3", "r6", "r2", "lr")
        QE_ASM_REQUANTIZE("r11", "r3", "r6", "r2", "lr")
        QE_ASM_REQUANTIZE("r10", "r5", "r7", "r4", "lr")
        QE_ASM_REQUANTIZE("r12", "r5", "r7", "r4", "lr")
        "ldrd r2, r3, [sp, #28]\n"
        "strb r11, [r3], #1\n"
        "strb r12, [r3], #1\n"
        "strb r9, [r2], #1\n"
        "strb r10, [r2], #1\n"
        "strd r2, r3, [sp, #28]\n"
        "ldr r6, [sp, #36]\n"
        "cmp r2, r6\n"
        "bne 1b\n"
        "add sp, #44\n"
        "pop {r4-r11, pc}\n");
}

#define EXPAND_FOUR \
    "ldr r12, [r1], #4\n" \
    "ldr lr, [r2], #4\n" \
    "sxtb16 r4, r12\n" \
    "sxtb16 r5, r12, ror #8\n" \
    "sxtb16 r6, lr\n" \
    "sxtb16 r12, lr, ror #8\n" \
    "stm r0!, {r4, r5, r6, r12}\n"

QE_NAKED uint32_t *qe_expand_2_dsp(uint32_t *columns __attribute__((unused)),
                                   const int8_t *pixel0 __attribute__((unused)),
                                   const int8_t *pixel1 __attribute__((unused)),
                                   int32_t n __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4, r5, r6, lr}\n"
        "bic r3, r3, #3\n"
        "tst r3, #4\n"
        "beq 1f\n"
        "adds r3, #4\n"
        "b 2f\n"
        "1:\n"
        EXPAND_FOUR
        "2:\n"
        EXPAND_FOUR
        "subs r3, #8\n"
        "bne 1b\n"
        "pop {r4, r5, r6, pc}\n");
}

#else

uint32_t *qe_expand_2_dsp(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, int32_t n)
{
    for (int32_t i = 0; i + 4 <= n; i += 4) {
        columns[0] = qe_lanes02(qe_load4(pixel0 + i));
        columns[1] = qe_lanes13(qe_load4(pixel0 + i));
        columns[2] = qe_lanes02(qe_load4(pixel1 + i));
        columns[3] = qe_lanes13(qe_load4(pixel1 + i));
        columns += 4;
    }
    return columns;
}

void qe_dot_2x2_dsp(const qe_dot_dsp_call *call)
{
    const uint32_t *weights = (const uint32_t *)call->weights;
    for (uint32_t pair = 0; pair < call->pairs; ++pair) {
        uint32_t low[2] = {0, 0}, both[2] = {0, 0};
        for (uint32_t k = 0; k < call->depth / 4u; ++k) {
            for (uint32_t half = 0; half < 2; ++half) {
                const uint32_t lanes = *weights++;
                for (uint32_t pixel = 0; pixel < 2; ++pixel) {
                    const uint32_t x = call->columns[4u * k + 2u * pixel + half];
                    low[pixel] = qe_dual_mac(x, qe_lanes02(lanes), low[pixel]);
                    both[pixel] = qe_dual_mac(x, lanes, both[pixel]);
                }
            }
        }
        for (int32_t pixel = 1; pixel >= 0; --pixel) {
            int8_t *out = (pixel != 0 ? call->out1 : call->out0) + 2u * pair;
            out[0] = qe_dsp_output(low[pixel], weights, call->offset);
            out[1] = qe_dsp_output(qe_upper(both[pixel], low[pixel]), weights + 2, call->offset);
        }
        weights += 4;
    }
}

#endif
