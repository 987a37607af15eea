/* Inner products of two pixels by two channels: 12 instructions for 16 multiply-accumulates. */
#include "qe_conv_2d_s8_dsp.h"

#if QE_DSP_ASM

QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, depth) == 4, "the code below reads it there");
QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, out_channels) == 18, "the code below reads it there");
QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, output_zero_point) == 27, "the code below reads it there");

/* Four k of two pixels and two channels. r0: columns, r1: weights; r9, r11: sums of channel a for pixels 0 and
 * 1; r10, r12: 256 times those of channel b, plus a's. 48 bytes of code: the entry below counts on it. */
#define FOUR_K \
    "ldmia.w r0!, {r2, r3, r4, r5}\n" \
    "ldrd r6, r7, [r1], #8\n" \
    "sxtb16 lr, r6\n" \
    "smlad r9, r2, lr, r9\n" \
    "smlad r10, r2, r6, r10\n" \
    "smlad r11, r3, lr, r11\n" \
    "smlad r12, r3, r6, r12\n" \
    "sxtb16 lr, r7\n" \
    "smlad r9, r4, lr, r9\n" \
    "smlad r10, r4, r7, r10\n" \
    "smlad r11, r5, lr, r11\n" \
    "smlad r12, r5, r7, r12\n"

/* Frame, in words: 0 columns, 1 rounds of 16 k, 2-5 zero sums, 6 entry into the first round, 7-8 where the pixels'
 * outputs go, 9 the end of the first one's, 10 offset. A pixel that is not there goes where the first one does, which
 * is stored last. */
#define QE_DOT_2X2(REQUANTIZE) \
    __asm__ volatile( \
        ".syntax unified\n" \
        "push {r4-r11, lr}\n" \
        "sub sp, #44\n" \
        "ldrd r9, r5, [r0]\n" \
        "ldrh r6, [r0, #18]\n" \
        "ldrsb r7, [r0, #27]\n" \
        "mov r4, r2\n" \
        "cmp r3, #2\n" \
        "it ge\n" \
        "addge r4, r2, r6\n" \
        "add r6, r6, r2\n" \
        "lsls r7, r7, #1\n" \
        "adds r7, #1\n" \
        "add r10, sp, #28\n" \
        "stm.w r10, {r2, r4, r6, r7}\n" \
        "add r8, r5, #12\n" \
        "lsr r8, r8, #4\n" \
        "rsb r5, r5, r8, lsl #4\n" \
        "add r5, r5, r5, lsl #1\n" \
        "adr lr, 2f\n" \
        "add lr, lr, r5, lsl #2\n" \
        "orr lr, lr, #1\n" \
        "mov r2, r1\n" \
        "mov r1, r9\n" \
        "mov r9, #0\n" \
        "mov r10, r9\n" \
        "mov r11, r9\n" \
        "mov r12, r9\n" \
        "stm.w sp, {r2, r8, r9, r10, r11, r12, lr}\n" \
        "1:\n" \
        "ldm.w sp, {r0, r8, r9, r10, r11, r12, pc}\n" \
        ".balign 4\n" \
        "2:\n" \
        FOUR_K FOUR_K FOUR_K FOUR_K \
        "subs r8, #1\n" \
        "bne 2b\n" \
        "ldmia r1!, {r2, r3, r4, r5}\n" \
        "sub r10, r10, r9\n" \
        "sub r12, r12, r11\n" \
        "asrs r6, r2, #7\n" \
        "asrs r7, r4, #7\n" \
        "add r9, r6, r9, lsl #1\n" \
        "add r11, r6, r11, lsl #1\n" \
        "add r10, r7, r10, asr #7\n" \
        "add r12, r7, r12, asr #7\n" \
        "ldr r0, [sp, #40]\n" \
        "lsl.w r6, r0, r2\n" \
        "lsl.w r7, r0, r4\n" \
        REQUANTIZE("r9", "r3", "r6", "r2", "lr") \
        REQUANTIZE("r11", "r3", "r6", "r2", "lr") \
        REQUANTIZE("r10", "r5", "r7", "r4", "lr") \
        REQUANTIZE("r12", "r5", "r7", "r4", "lr") \
        "ldrd r2, r3, [sp, #28]\n" \
        "strb r11, [r3], #1\n" \
        "strb r12, [r3], #1\n" \
        "strb r9, [r2], #1\n" \
        "strb r10, [r2], #1\n" \
        "strd r2, r3, [sp, #28]\n" \
        "ldr r6, [sp, #36]\n" \
        "cmp r2, r6\n" \
        "bne 1b\n" \
        "add sp, #44\n" \
        "pop {r4-r11, pc}\n")

#ifdef QE_DOT_2X2_SIGNED
QE_NAKED void qe_dot_2x2_signed_dsp(const qe_conv_2d_dsp_params *p __attribute__((unused)),
                                    const uint32_t *columns __attribute__((unused)),
                                    int8_t *output __attribute__((unused)), int32_t pixels __attribute__((unused)))
{
    QE_DOT_2X2(QE_ASM_REQUANTIZE_SIGNED);
}
#endif

#ifdef QE_DOT_2X2_PLAIN
QE_NAKED void qe_dot_2x2_dsp(const qe_conv_2d_dsp_params *p __attribute__((unused)),
                             const uint32_t *columns __attribute__((unused)),
                             int8_t *output __attribute__((unused)), int32_t pixels __attribute__((unused)))
{
    QE_DOT_2X2(QE_ASM_REQUANTIZE_PLAIN);
}
#endif

/* r1, r2: pixels, r3: words of a row, r7: its bytes up to the next row, r8: rows. */
QE_NAKED void qe_expand_2_dsp(uint32_t *columns __attribute__((unused)), const int8_t *pixel0 __attribute__((unused)),
                              const int8_t *pixel1 __attribute__((unused)), uint32_t words __attribute__((unused)),
                              uint32_t rows __attribute__((unused)), uint32_t row_bytes __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r9, lr}\n"
        "ldrd r8, r7, [sp, #28]\n"
        "sub r7, r7, r3, lsl #2\n"
        "1:\n"
        "mov r9, r3\n"
        "2:\n"
        "ldr r12, [r1], #4\n"
        "ldr lr, [r2], #4\n"
        "sxtb16 r4, r12\n"
        "sxtb16 r5, lr\n"
        "sxtb16 r6, r12, ror #8\n"
        "sxtb16 r12, lr, ror #8\n"
        "stm r0!, {r4, r5, r6, r12}\n"
        "subs r9, r9, #1\n"
        "bne 2b\n"
        "add r1, r1, r7\n"
        "add r2, r2, r7\n"
        "subs r8, r8, #1\n"
        "bne 1b\n"
        "pop {r4-r9, pc}\n");
}

#else

void qe_expand_2_dsp(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, uint32_t words, uint32_t rows,
                     uint32_t row_bytes)
{
    const int8_t *const pixels[2] = {pixel0, pixel1};
    qe_expand_pixels(columns, pixels, 2, words, rows, row_bytes);
}

#ifdef QE_DOT_2X2_SIGNED
void qe_dot_2x2_signed_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels)
{
    qe_dot_pixels(p, columns, output, pixels, 2);
}
#endif

#ifdef QE_DOT_2X2_PLAIN
void qe_dot_2x2_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels)
{
    qe_dot_pixels(p, columns, output, pixels, 2);
}
#endif

#endif
