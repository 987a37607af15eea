/* DEPTHWISE_CONV_2D int8 for Helium: eight channels at a time. */
#include "qe_depthwise_conv_2d_s8_mve.h"

/* Taps of a window, one after the other along a row. */
typedef struct {
    int32_t offset; /* of the first one's input; negative: outside, where the input is its zero point */
    uint32_t count; /* at least 1 */
} run;

/* One pixel; the assembler counts on the order. */
typedef struct {
    const void *stream;
    const int8_t *input;
    const run *runs, *end;
    uint32_t channels;
    int32_t input_zero_point;
    int8_t *output;
    uint32_t eights;   /* of channels */
    int32_t zero_point, low, high;
    int32_t first;     /* offset of a whole window's first tap */
    uint32_t row_step; /* from the last tap of a row to the first of the next */
} pixel_call;

#if QE_MVE

#define PIXEL_BEGIN \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "vpush {" QE_ASM_MVE_SAVED "}\n" \
    "mov r12, r0\n" \
    "ldr r11, [r12, #32]\n"
#ifdef QE_MVE_CLAMP
#define PIXEL_CLAMP \
    "ldrd r4, r5, [r12, #36]\n" \
    "vdup.8 q6, r4\n" \
    "vdup.8 q7, r5\n"
#else
#define PIXEL_CLAMP
#endif
#define PIXEL_END \
    "vpop {" QE_ASM_MVE_SAVED "}\n" \
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
    QE_ASM_MVE_CLAMP("q2") \
    "vstrb.16 q2, [r7], #8\n"

#define ADD_PRODUCTS \
    "vldrb.s16 q1, [r0], #8\n" \
    "vmullb.s16 q4, q0, q1\n" \
    "vmullt.s16 q5, q0, q1\n" \
    "vadd.i32 q2, q2, q4\n" \
    "vadd.i32 q3, q3, q5\n"

/* r0: stream, r1: next run, r2: input of a tap, r3: channels, r4: input of the eight channels, r5: taps, r6: first
 * run, r8: eights left, r9: end of the runs, r10: the input's zero point. */
QE_NAKED static void pixel(const pixel_call *call __attribute__((unused)))
{
    __asm__ volatile(
        PIXEL_BEGIN
        PIXEL_CLAMP
        "ldr r0, [r12]\n"
        "ldrd r4, r6, [r12, #4]\n"
        "ldrd r9, r3, [r12, #12]\n"
        "ldrd r10, r7, [r12, #20]\n"
        "ldr r8, [r12, #28]\n"
        "1:\n"
        "vldrw.32 q2, [r0], #16\n"
        "vldrw.32 q3, [r0], #16\n"
        "mov r1, r6\n"
        "2:\n"
        "ldrd r2, r5, [r1], #8\n"
        "dls lr, r5\n"
        "cmp r2, #0\n"
        "blt 5f\n"
        "add r2, r4\n"
        "3:\n"
        "vldrb.s16 q0, [r2]\n"
        ADD_PRODUCTS
        "add r2, r3\n"
        "le lr, 3b\n"
        "4:\n"
        "cmp r1, r9\n"
        "bne 2b\n"
        FINISH
        "adds r4, #8\n"
        "subs r8, #1\n"
        "bne 1b\n"
        PIXEL_END
        "5:\n"
        "vdup.16 q0, r10\n"
        "6:\n"
        ADD_PRODUCTS
        "le lr, 6b\n"
        "b 4b\n");
}

#ifdef QE_MVE_DEPTHWISE_3X3
#define TAP \
    "vldrb.s16 q0, [r2]\n" \
    ADD_PRODUCTS

/* A whole window of 3x3. r5: step to the next row, r6: rows; the others as above. */
QE_NAKED static void pixel_3x3(const pixel_call *call __attribute__((unused)))
{
    __asm__ volatile(
        PIXEL_BEGIN
        PIXEL_CLAMP
        "ldr r0, [r12]\n"
        "ldr r4, [r12, #4]\n"
        "ldr r3, [r12, #16]\n"
        "ldrd r7, r8, [r12, #24]\n"
        "ldrd r2, r5, [r12, #44]\n"
        "add r4, r2\n"
        "movs r6, #3\n"
        "1:\n"
        "mov r2, r4\n"
        "vldrw.32 q2, [r0], #16\n"
        "vldrw.32 q3, [r0], #16\n"
        "dls lr, r6\n"
        "2:\n"
        TAP
        "add r2, r3\n"
        TAP
        "add r2, r3\n"
        TAP
        "add r2, r5\n"
        "le lr, 2b\n"
        FINISH
        "adds r4, #8\n"
        "subs r8, #1\n"
        "bne 1b\n"
        PIXEL_END);
}
#endif

#else

static int32_t word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void sum_pixel(const pixel_call *c, const run *runs, const run *end)
{
    const uint8_t *stream = (const uint8_t *)c->stream;
    for (uint32_t channel = 0; channel < 8u * c->eights; channel += 8) {
        int32_t sums[8];
        for (uint32_t i = 0; i < 8; ++i) {
            sums[i] = word(stream + 16u * (i % 2u) + 2u * (i - i % 2u));
        }
        stream += 32;
        for (const run *r = runs; r != end; ++r) {
            for (uint32_t tap = 0; tap < r->count; ++tap) {
                for (uint32_t i = 0; i < 8; ++i) {
                    const int32_t x =
                        r->offset < 0 ? c->input_zero_point
                                      : c->input[(uint32_t)r->offset + tap * c->channels + channel + i];
                    sums[i] += x * ((const int8_t *)stream)[i];
                }
                stream += 8;
            }
        }
        for (uint32_t i = 0; i < 8; ++i) {
            const uint8_t *half = stream + 20u * (i % 2u);
            c->output[channel + i] = qe_mve_output(sums[i], word(half + 2u * (i - i % 2u)), (int8_t)half[16u + i / 2u],
                                                   c->zero_point, c->low, c->high);
        }
        stream += 40;
    }
}

static void pixel(const pixel_call *c)
{
    sum_pixel(c, c->runs, c->end);
}

#ifdef QE_MVE_DEPTHWISE_3X3
static void pixel_3x3(const pixel_call *c)
{
    run rows[3];
    int32_t offset = c->first;
    for (uint32_t i = 0; i < 3; ++i) {
        rows[i].offset = offset;
        rows[i].count = 3;
        offset += (int32_t)(c->row_step + 2u * c->channels);
    }
    sum_pixel(c, rows, rows + 3);
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

/* Write the runs of the window whose first tap is the pixel (y, x); return their end. */
static run *window_runs(const qe_depthwise_conv_2d_mve_params *p, run *to, int32_t y, int32_t x)
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
    pixel_call call;
    call.stream = p->stream;
    call.input = input;
    call.runs = runs;
    call.channels = p->channels;
    call.input_zero_point = p->input_zero_point;
    call.output = output;
    call.eights = p->channels / 8u;
    call.zero_point = p->output_zero_point;
    call.low = p->low;
    call.high = p->high;
    call.row_step = ((uint32_t)p->in_width - 2u) * p->channels;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        int32_t x = -(int32_t)p->pad_left;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
#ifdef QE_MVE_DEPTHWISE_3X3
            if (p->filter_height == 3 && p->filter_width == 3 && y >= 0 && y + 3 <= p->in_height && x >= 0
                && x + 3 <= p->in_width) {
                call.first = (y * p->in_width + x) * p->channels;
                pixel_3x3(&call);
            } else
#endif
            {
                call.end = window_runs(p, runs, y, x);
                pixel(&call);
            }
            call.output += p->channels;
            x += p->stride_width;
        }
    }
}
