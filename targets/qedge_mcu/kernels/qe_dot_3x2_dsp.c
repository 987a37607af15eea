/* Inner products of three pixels by two channels: 17 instructions for 24 multiply-accumulates. */
#include "qe_conv_2d_s8_dsp.h"

#if QE_DSP_ASM

QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, depth) == 4, "the code below reads it there");
QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, out_channels) == 18, "the code below reads it there");
QE_STATIC_ASSERT(offsetof(qe_conv_2d_dsp_params, output_zero_point) == 27, "the code below reads it there");

/* Two k of three pixels and two channels, whose word W is. r0: columns; r7-r9: sums of channel a; r10-r12: 256 times
 * those of channel b, plus a's. */
#define TWO_K(W) \
    "ldmia r0!, {r2, r3, r4}\n" \
    "smlad r10, r2, " W ", r10\n" \
    "smlad r11, r3, " W ", r11\n" \
    "smlad r12, r4, " W ", r12\n" \
    "sxtb16 " W ", " W "\n" \
    "smlad r7, r2, " W ", r7\n" \
    "smlad r8, r3, " W ", r8\n" \
    "smlad r9, r4, " W ", r9\n"

/* 64 bytes of code: the entry below counts on it. r1: weights. */
#define FOUR_K "ldrd r5, lr, [r1], #8\n" TWO_K("r5") TWO_K("lr")

/* Frame, in words: 0 columns, 1 rounds of 32 k, 2-7 zero sums, 8 entry into the first round, 9-11 where the pixels'
 * outputs go, 12 the end of the first one's, 13 offset. Pixels that are not there go where the first one does, which
 * is stored last. */
#define QE_DOT_3X2(REQUANTIZE) \
    __asm__ volatile( \
        ".syntax unified\n" \
        "push {r4-r11, lr}\n" \
        "sub sp, #56\n" \
        "ldrd r9, r5, [r0]\n" \
        "ldrh r6, [r0, #18]\n" \
        "ldrsb r7, [r0, #27]\n" \
        "mov r4, r2\n" \
        "mov r10, r2\n" \
        "cmp r3, #2\n" \
        "it ge\n" \
        "addge r4, r2, r6\n" \
        "it gt\n" \
        "addgt r10, r4, r6\n" \
        "add r6, r6, r2\n" \
        "strd r2, r4, [sp, #36]\n" \
        "strd r10, r6, [sp, #44]\n" \
        "lsls r7, r7, #1\n" \
        "adds r7, #1\n" \
        "str r7, [sp, #52]\n" \
        "mov r0, r1\n" \
        "mov r1, r9\n" \
        "add r6, r5, #28\n" \
        "lsrs r6, r6, #5\n" \
        "rsb r5, r5, r6, lsl #5\n" \
        "adr lr, 2f\n" \
        "add lr, lr, r5, lsl #4\n" \
        "orr lr, lr, #1\n" \
        "mov r7, #0\n" \
        "mov r8, r7\n" \
        "mov r9, r7\n" \
        "mov r10, r7\n" \
        "mov r11, r7\n" \
        "mov r12, r7\n" \
        "stm sp, {r0, r6, r7, r8, r9, r10, r11, r12, lr}\n" \
        "1:\n" \
        "ldm.w sp, {r0, r6, r7, r8, r9, r10, r11, r12, pc}\n" \
        ".balign 4\n" \
        "2:\n" \
        ".rept 8\n" \
        FOUR_K \
        ".endr\n" \
        "subs r6, #1\n" \
        "bne 2b\n" \
        "ldmia r1!, {r2, r3, r4, r5}\n" \
        "ldr r0, [sp, #52]\n" \
        "sub r10, r10, r7\n" \
        "sub r11, r11, r8\n" \
        "sub r12, r12, r9\n" \
        "asrs r6, r2, #7\n" \
        "add r7, r6, r7, lsl #1\n" \
        "add r8, r6, r8, lsl #1\n" \
        "add r9, r6, r9, lsl #1\n" \
        "asrs r6, r4, #7\n" \
        "add r10, r6, r10, asr #7\n" \
        "add r11, r6, r11, asr #7\n" \
        "add r12, r6, r12, asr #7\n" \
        "lsl.w r6, r0, r2\n" \
        REQUANTIZE("r7", "r3", "r6", "r2", "lr") \
        REQUANTIZE("r8", "r3", "r6", "r2", "lr") \
        REQUANTIZE("r9", "r3", "r6", "r2", "lr") \
        "lsl.w r6, r0, r4\n" \
        REQUANTIZE("r10", "r5", "r6", "r4", "lr") \
        REQUANTIZE("r11", "r5", "r6", "r4", "lr") \
        REQUANTIZE("r12", "r5", "r6", "r4", "lr") \
        "ldrd r2, r3, [sp, #36]\n" \
        "ldrd r4, r6, [sp, #44]\n" \
        "strb r9, [r4], #1\n" \
        "strb r12, [r4], #1\n" \
        "strb r8, [r3], #1\n" \
        "strb r11, [r3], #1\n" \
        "strb r7, [r2], #1\n" \
        "strb r10, [r2], #1\n" \
        "strd r2, r3, [sp, #36]\n" \
        "str r4, [sp, #44]\n" \
        "cmp r2, r6\n" \
        "bne 1b\n" \
        "add sp, #56\n" \
        "pop {r4-r11, pc}\n")

#ifdef QE_DOT_3X2_SIGNED
QE_NAKED void qe_dot_3x2_signed_dsp(const qe_conv_2d_dsp_params *p __attribute__((unused)),
                                    const uint32_t *columns __attribute__((unused)),
                                    int8_t *output __attribute__((unused)), int32_t pixels __attribute__((unused)))
{
    QE_DOT_3X2(QE_ASM_REQUANTIZE_SIGNED);
}
#endif

#ifdef QE_DOT_3X2_PLAIN
QE_NAKED void qe_dot_3x2_dsp(const qe_conv_2d_dsp_params *p __attribute__((unused)),
                             const uint32_t *columns __attribute__((unused)),
                             int8_t *output __attribute__((unused)), int32_t pixels __attribute__((unused)))
{
    QE_DOT_3X2(QE_ASM_REQUANTIZE_PLAIN);
}
#endif

#define EXPAND_FOUR \
    "ldr r4, [r1], #4\n" \
    "ldr r5, [r2], #4\n" \
    "ldr r6, [r3], #4\n" \
    "sxtb16 r7, r4, ror #8\n" \
    "sxtb16 r8, r5, ror #8\n" \
    "sxtb16 r9, r6, ror #8\n" \
    "sxtb16 r4, r4\n" \
    "sxtb16 r5, r5\n" \
    "sxtb16 r6, r6\n" \
    "stm r0!, {r4, r5, r6, r7, r8, r9}\n"

/* r1-r3: pixels, r10: bytes between a row's last word and the next row, r11: words of a row, lr: rows. */
QE_NAKED void qe_expand_3_dsp(uint32_t *columns __attribute__((unused)), const int8_t *pixel0 __attribute__((unused)),
                              const int8_t *pixel1 __attribute__((unused)),
                              const int8_t *pixel2 __attribute__((unused)), uint32_t words __attribute__((unused)),
                              uint32_t rows __attribute__((unused)), uint32_t row_bytes __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldrd r11, lr, [sp, #36]\n"
        "ldr r10, [sp, #44]\n"
        "sub r10, r10, r11, lsl #2\n"
        "1:\n"
        "lsrs r12, r11, #1\n"
        "bcc 3f\n"
        EXPAND_FOUR
        "beq 4f\n"
        "3:\n"
        EXPAND_FOUR
        EXPAND_FOUR
        "subs r12, r12, #1\n"
        "bne 3b\n"
        "4:\n"
        "add r1, r1, r10\n"
        "add r2, r2, r10\n"
        "add r3, r3, r10\n"
        "subs lr, lr, #1\n"
        "bne 1b\n"
        "pop {r4-r11, pc}\n");
}

#else

void qe_expand_3_dsp(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t words,
                     uint32_t rows, uint32_t row_bytes)
{
    const int8_t *const pixels[3] = {pixel0, pixel1, pixel2};
    qe_expand_pixels(columns, pixels, 3, words, rows, row_bytes);
}

#ifdef QE_DOT_3X2_SIGNED
void qe_dot_3x2_signed_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels)
{
    qe_dot_pixels(p, columns, output, pixels, 3);
}
#endif

#ifdef QE_DOT_3X2_PLAIN
void qe_dot_3x2_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels)
{
    qe_dot_pixels(p, columns, output, pixels, 3);
}
#endif

#endif
