/* Inner products of one vector by four channels: 16 instructions for 16 multiply-accumulates. */
#include "qe_dot_dsp.h"

#if QE_DSP_ASM

#ifdef QE_DOT_4_SIGNED
#define REQUANTIZE QE_ASM_REQUANTIZE_SIGNED
#else
#define REQUANTIZE QE_ASM_REQUANTIZE_PLAIN
#endif

/* Four k. r0: input, r1: weights; r9, r11: sums of channels 0 and 2; r10, r12: 256 times those of channels 1 and
 * 3, plus those of 0 and 2. 64 bytes of code: the entry below counts on it. */
#define FOUR_K \
    "ldr r3, [r0], #4\n" \
    "sxtb16 r2, r3\n" \
    "sxtb16 r3, r3, ror #8\n" \
    "ldmia.w r1!, {r4, r5, r6, r7}\n" \
    "sxtb16 lr, r4\n" \
    "smlad r9, r2, lr, r9\n" \
    "smlad r10, r2, r4, r10\n" \
    "sxtb16 lr, r5\n" \
    "smlad r9, r3, lr, r9\n" \
    "smlad r10, r3, r5, r10\n" \
    "sxtb16 lr, r6\n" \
    "smlad r11, r2, lr, r11\n" \
    "smlad r12, r2, r6, r12\n" \
    "sxtb16 lr, r7\n" \
    "smlad r11, r3, lr, r11\n" \
    "smlad r12, r3, r7, r12\n"

/* Two channels: A holds the sum of the first, B 256 times that of the second plus A. r0: offset; r2, r4: their first
 * words; FA, FB: their multipliers. */
#define TWO_CHANNELS(A, B, WORDS, FA, FB) \
    "ldmia r1!, " WORDS "\n" \
    "sub " B ", " B ", " A "\n" \
    "asrs r6, r2, #7\n" \
    "asrs r7, r4, #7\n" \
    "add " A ", r6, " A ", lsl #1\n" \
    "add " B ", r7, " B ", asr #7\n" \
    "lsl.w r6, r0, r2\n" \
    "lsl.w r7, r0, r4\n" \
    REQUANTIZE(A, FA, "r6", "r2", "lr") \
    REQUANTIZE(B, FB, "r7", "r4", "lr")

/* Frame, in words: 0 input, 1 rounds of 16 k, 2-5 zero sums, 6 entry into the first round, 7 output, 8 its end,
 * 9 offset, 10 multiplier. */
#define QE_DOT_4(WORDS, FA, FB) \
    __asm__ volatile( \
        ".syntax unified\n" \
        "push {r4-r11, lr}\n" \
        "mov r7, r1\n" \
        "sub sp, #44\n" \
        "ldm r0, {r1-r6}\n" \
        "add r4, r3, r4, lsl #2\n" \
        "add r8, r5, #12\n" \
        "lsr r8, r8, #4\n" \
        "rsb r5, r5, r8, lsl #4\n" \
        "adr lr, 2f\n" \
        "add lr, lr, r5, lsl #4\n" \
        "orr lr, lr, #1\n" \
        "mov r9, #0\n" \
        "mov r10, r9\n" \
        "mov r11, r9\n" \
        "mov r12, r9\n" \
        "stm sp, {r2, r8, r9, r10, r11, r12, lr}\n" \
        "strd r3, r4, [sp, #28]\n" \
        "strd r6, r7, [sp, #36]\n" \
        "1:\n" \
        "ldm.w sp, {r0, r8, r9, r10, r11, r12, pc}\n" \
        ".balign 4\n" \
        "2:\n" \
        FOUR_K FOUR_K FOUR_K FOUR_K \
        "subs r8, #1\n" \
        "bne 2b\n" \
        "ldrd r0, r5, [sp, #36]\n" \
        TWO_CHANNELS("r9", "r10", WORDS, FA, FB) \
        TWO_CHANNELS("r11", "r12", WORDS, FA, FB) \
        "ldrd r2, r3, [sp, #28]\n" \
        "strb r9, [r2], #1\n" \
        "strb r10, [r2], #1\n" \
        "strb r11, [r2], #1\n" \
        "strb r12, [r2], #1\n" \
        "str r2, [sp, #28]\n" \
        "cmp r2, r3\n" \
        "bne 1b\n" \
        "add sp, #44\n" \
        "pop {r4-r11, pc}\n")

#ifdef QE_DOT_4_CHANNELS
QE_NAKED void qe_dot_4_dsp(const qe_dot_4_dsp_call *call __attribute__((unused)))
{
    QE_DOT_4("{r2, r3, r4, r5}", "r3", "r5");
}
#endif

#ifdef QE_DOT_4_SHARED
QE_NAKED void qe_dot_4_shared_dsp(
    const qe_dot_4_dsp_call *call __attribute__((unused)), int32_t multiplier __attribute__((unused)))
{
    QE_DOT_4("{r2, r4}", "r5", "r5");
}
#endif

#else

/* words: of a channel, 2 with a multiplier of its own and 1 without. */
static void dot_4(const qe_dot_4_dsp_call *call, uint32_t words, int32_t multiplier)
{
    const uint32_t *weights = (const uint32_t *)call->weights;
    int8_t *out = call->output;
    for (uint32_t group = 0; group < call->groups; ++group) {
        uint32_t low[2] = {0, 0}, both[2] = {0, 0};
        for (uint32_t k = 0; k < call->depth; k += 4) {
            const uint32_t word = qe_load4(call->input + k);
            const uint32_t lanes[2] = {qe_lanes02(word), qe_lanes13(word)};
            for (uint32_t i = 0; i < 4; ++i) {
                low[i / 2u] = qe_dual_mac(lanes[i % 2u], qe_lanes02(*weights), low[i / 2u]);
                both[i / 2u] = qe_dual_mac(lanes[i % 2u], *weights, both[i / 2u]);
                ++weights;
            }
        }
        for (uint32_t i = 0; i < 4; ++i) {
            const uint32_t own[2] = {weights[0], words == 2 ? weights[1] : (uint32_t)multiplier};
            const uint32_t sum = i % 2u == 0 ? low[i / 2u] : qe_upper(both[i / 2u], low[i / 2u]);
            *out++ = qe_dsp_output(sum, own, call->offset);
            weights += words;
        }
    }
}

#ifdef QE_DOT_4_CHANNELS
void qe_dot_4_dsp(const qe_dot_4_dsp_call *call)
{
    dot_4(call, 2, 0);
}
#endif

#ifdef QE_DOT_4_SHARED
void qe_dot_4_shared_dsp(const qe_dot_4_dsp_call *call, int32_t multiplier)
{
    dot_4(call, 1, multiplier);
}
#endif

#endif
