/* DEPTHWISE_CONV_2D int8 for Helium: eight channels at a time. */
#include "qe_depthwise_conv_2d_s8_mve.h"

/* Taps of a window, one after the other along a row. */
typedef struct {
    int32_t offset; /* of the first one's input; negative: outside, where the input is its zero point */
    uint32_t count; /* at least 1 */
} run;

#if QE_MVE

#ifdef QE_MVE_CLAMP
#define SAVED "d8-d13"
#define CLAMP \
    "ldrsb r4, [r12, #22]\n" \
    "ldrsb r5, [r12, #23]\n" \
    "vdup.8 q5, r4\n" \
    "vdup.8 q6, r5\n"
#define OUTPUT "[sp, #84]"
#else
#define SAVED "d8-d9"
#define CLAMP
#define OUTPUT "[sp, #52]"
#endif

#define BEGIN \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "vpush {" SAVED "}\n" \
    "mov r12, r0\n" \
    "ldr r0, [r12]\n" \
    "ldrh r9, [r12, #12]\n" \
    "ldrsb r10, [r12, #20]\n" \
    "ldrsb r11, [r12, #21]\n" \
    "lsr r8, r9, #3\n" \
    CLAMP
#define END \
    "vpop {" SAVED "}\n" \
    "pop {r4-r11, pc}\n"

/* Eight outputs of the sums in q2 (even channels) and q3; r0: stream, r7: output, r11: zero point. */
#define FINISH \
    "vldrw.32 q0, [r0], #16\n" \
    "vldrb.s32 q1, [r0], #4\n" \
    QE_ASM_MVE_REQUANTIZE("q2", "q0", "q1") \
    "vldrw.32 q0, [r0], #16\n" \
    "vldrb.s32 q1, [r0], #4\n" \
    QE_ASM_MVE_REQUANTIZE("q3", "q0", "q1") \
    "vqmovnb.s32 q2, q2\n" \
    "vqmovnt.s32 q2, q3\n" \
    "vqadd.s16 q2, q2, r11\n" \
    "vqmovnb.s16 q2, q2\n" \
    QE_ASM_MVE_CLAMP("q2", "q5", "q6") \
    "vstrb.16 q2, [r7], #8\n"

#define ADD_PRODUCTS \
    "vldrb.s16 q1, [r0], #8\n" \
    "vmullb.s16 q4, q0, q1\n" \
    "vmullt.s16 q1, q0, q1\n" \
    "vadd.i32 q2, q2, q4\n" \
    "vadd.i32 q3, q3, q1\n"

/* r0: stream, r1: input of the eight channels, r2: first run, r3: end of the runs, r4: next run, r5: taps, r6: input of
 * a tap, r7: output, r8: eights left, r9: channels, r10: the input's zero point, r12: parameters. */
QE_NAKED static void pixel(const qe_depthwise_conv_2d_mve_params *p __attribute__((unused)),
                           const int8_t *input __attribute__((unused)), const run *runs __attribute__((unused)),
                           const run *end __attribute__((unused)), int8_t *output __attribute__((unused)))
{
    __asm__ volatile(
        BEGIN
        "ldr r7, " OUTPUT "\n"
        "1:\n"
        "vldrw.32 q2, [r0], #16\n"
        "vldrw.32 q3, [r0], #16\n"
        "mov r4, r2\n"
        "2:\n"
        "ldrd r6, r5, [r4], #8\n"
        "dls lr, r5\n"
        "cmp r6, #0\n"
        "blt 5f\n"
        "add r6, r1\n"
        "3:\n"
        "vldrb.s16 q0, [r6]\n"
        ADD_PRODUCTS
        "add r6, r9\n"
        "le lr, 3b\n"
        "4:\n"
        "cmp r4, r3\n"
        "bne 2b\n"
        FINISH
        "adds r1, #8\n"
        "subs r8, #1\n"
        "bne 1b\n"
        END
        "5:\n"
        "vdup.16 q0, r10\n"
        "6:\n"
        ADD_PRODUCTS
        "le lr, 6b\n"
        "b 4b\n");
}

#ifdef QE_MVE_DEPTHWISE_3X3
#define TAP \
    "vldrb.s16 q0, [r6]\n" \
    ADD_PRODUCTS

/* A whole window of 3x3; r3: step to the next row, r5: rows; the others as above. */
QE_NAKED static void pixel_3x3(const qe_depthwise_conv_2d_mve_params *p __attribute__((unused)),
                               const int8_t *first __attribute__((unused)), int8_t *output __attribute__((unused)),
                               uint32_t row_step __attribute__((unused)))
{
    __asm__ volatile(
        BEGIN
        "mov r7, r2\n"
        "movs r5, #3\n"
        "1:\n"
        "mov r6, r1\n"
        "vldrw.32 q2, [r0], #16\n"
        "vldrw.32 q3, [r0], #16\n"
        "dls lr, r5\n"
        "2:\n"
        TAP
        "add r6, r9\n"
        TAP
        "add r6, r9\n"
        TAP
        "add r6, r3\n"
        "le lr, 2b\n"
        FINISH
        "adds r1, #8\n"
        "subs r8, #1\n"
        "bne 1b\n"
        END);
}
#endif

#else

static int32_t word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void pixel(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, const run *runs, const run *end,
                  int8_t *output)
{
    const uint8_t *stream = (const uint8_t *)p->stream;
    for (uint32_t channel = 0; channel < p->channels; channel += 8) {
        int32_t sums[8];
        for (uint32_t i = 0; i < 8; ++i) {
            sums[i] = word(stream + 16u * (i % 2u) + 2u * (i - i % 2u));
        }
        stream += 32;
        for (const run *r = runs; r != end; ++r) {
            for (uint32_t tap = 0; tap < r->count; ++tap) {
                for (uint32_t i = 0; i < 8; ++i) {
                    const int32_t x =
                        r->offset < 0 ? p->input_zero_point
                                      : input[(uint32_t)r->offset + tap * p->channels + channel + i];
                    sums[i] += x * ((const int8_t *)stream)[i];
                }
                stream += 8;
            }
        }
        for (uint32_t i = 0; i < 8; ++i) {
            const uint8_t *half = stream + 20u * (i % 2u);
            output[channel + i] = qe_mve_output(sums[i], word(half + 2u * (i - i % 2u)), (int8_t)half[16u + i / 2u],
                                                p->output_zero_point, p->low, p->high);
        }
        stream += 40;
    }
}

#ifdef QE_MVE_DEPTHWISE_3X3
static void pixel_3x3(const qe_depthwise_conv_2d_mve_params *p, const int8_t *first, int8_t *output, uint32_t row_step)
{
    run rows[3];
    for (uint32_t i = 0; i < 3; ++i) {
        rows[i].offset = (int32_t)(i * (row_step + 2u * p->channels));
        rows[i].count = 3;
    }
    pixel(p, first, rows, rows + 3, output);
}
#endif

#endif

static run *add_run(run *to, int32_t offset, int32_t count)
{
    if (count > 0) {
        to->offset = offset;
        to->count = (uint32_t)count;
        ++to;
    }
    return to;
}

/* Write the runs of the window whose first tap is the pixel (y, x); return their end. Inlined, it would take its
 * registers from the stack below the assembler's. */
QE_MVE_APART static run *window_runs(const qe_depthwise_conv_2d_mve_params *p, run *to, int32_t y, int32_t x)
{
    const int32_t left = x < 0 ? -x : 0;
    const int32_t right = qe_clamp(p->in_width - x, left, p->filter_width);
    for (int32_t fy = y; fy < y + p->filter_height; ++fy) {
        if (fy < 0 || fy >= p->in_height) {
            to = add_run(to, -1, p->filter_width);
        } else {
            to = add_run(to, -1, left);
            to = add_run(to, (fy * p->in_width + x + left) * p->channels, right - left);
            to = add_run(to, -1, p->filter_width - right);
        }
    }
    return to;
}

void qe_depthwise_conv_2d_s8_mve(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, int8_t *output,
                                 void *scratch)
{
    run *runs = (run *)scratch;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        int32_t x = -(int32_t)p->pad_left;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
#ifdef QE_MVE_DEPTHWISE_3X3
            if (p->filter_height == 3 && p->filter_width == 3 && y >= 0 && y + 3 <= p->in_height && x >= 0
                && x + 3 <= p->in_width) {
                pixel_3x3(p, input + (y * p->in_width + x) * p->channels, output,
                          ((uint32_t)p->in_width - 2u) * p->channels);
            } else
#endif
            {
                pixel(p, input, runs, window_runs(p, runs, y, x), output);
            }
            output += p->channels;
            x += p->stride_width;
        }
    }
}
