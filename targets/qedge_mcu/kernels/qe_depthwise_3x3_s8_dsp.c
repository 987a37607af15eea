/* DEPTHWISE_CONV_2D int8, 3x3, for the DSP extension: two rows of input in the halves of a word.
 *
 * Four channels at a time: every two rows of the input become one row of words, (upper, lower), in a plane a
 * channel. A strip of windows needs two such rows of words, which lie side by side: columns of (even, odd) pairs.
 * The next strip needs the second of them and one more, which takes the place of the first: strips alternate
 * between the two orders. */
#include "qe_depthwise_3x3_s8_dsp.h"

/* Taps of one channel: (0, 1) and (1, 2) of every column as halves of words, twice their value, since sums are
 * doubled; then what requantisation needs. */
typedef struct {
    uint32_t upper[3], lower[3];
    int32_t shift, multiplier, bias; /* the bias doubled */
} taps_of_channel;

typedef struct {
    int8_t *output;
    const uint32_t *plane;
    const taps_of_channel *taps;
    uint32_t step;      /* bytes from one output to the next */
    const int8_t *end;  /* of the outputs */
    int32_t offset;     /* 2 * output zero point + 1 */
    uint32_t below;     /* bytes to the strip's second row of outputs; 0 drops it */
    uint32_t plane_bytes;
    uint32_t left;      /* channels, at least 1; those before it in the struct move on to the next one */
} row_call;

typedef struct {
    uint32_t *plane;
    const int8_t *row[2];
    uint32_t step[2];   /* bytes from one pixel to the next; 0 repeats the first */
    uint32_t plane_bytes;
    uint32_t count;     /* pixels, at least 1 */
} pair_call;

#if QE_DSP_ASM

#ifdef QE_DEPTHWISE_SIGNED
#define REQUANTIZE QE_ASM_REQUANTIZE_SIGNED
#define RELOAD_OFFSET "ldr r9, [sp, #4]\n"
#else
#define REQUANTIZE QE_ASM_REQUANTIZE_PLAIN
#define RELOAD_OFFSET
#endif

/* Words of four channels from two rows. */
QE_NAKED static void pair_rows(const pair_call *call __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldm r0, {r1-r7}\n"
        "add r8, r6, r6, lsl #1\n"
        "1:\n"
        "ldr.w r9, [r2]\n"
        "ldr.w r10, [r3]\n"
        "add r2, r4\n"
        "add r3, r5\n"
        "sxtb16 r11, r9\n"
        "sxtb16 r12, r10\n"
        "sxtb16 r9, r9, ror #8\n"
        "sxtb16 r10, r10, ror #8\n"
        "pkhbt lr, r11, r12, lsl #16\n"
        "str lr, [r1]\n"
        "pkhtb r12, r12, r11, asr #16\n"
        "str r12, [r1, r6, lsl #1]\n"
        "pkhbt lr, r9, r10, lsl #16\n"
        "str lr, [r1, r6]\n"
        "pkhtb r10, r10, r9, asr #16\n"
        "str r10, [r1, r8]\n"
        "adds r1, #8\n"
        "subs r7, #1\n"
        "bne 1b\n"
        "pop {r4-r11, pc}\n");
}

/* r0: plane, r1: output, r2-r4: upper taps, r5-r7: lower taps, r10: shift, lr: below.
 * Frame, in words: 0 multiplier, 1 offset, 2 step, 3 end, 4 bias, 5 call. */
#define ROW_BEGIN \
    ".syntax unified\n" \
    "push {r4-r11, lr}\n" \
    "sub sp, #24\n" \
    "str r0, [sp, #20]\n" \
    "3:\n" \
    "ldm.w r0, {r1, r4, r5, r8, r9, r12, lr}\n" \
    "mov r0, r4\n" \
    "ldr r2, [r5, #32]\n" \
    "str r2, [sp, #16]\n" \
    "ldm.w r5, {r2, r3, r4, r5, r6, r7, r10, r11}\n" \
    "lsl.w r12, r12, r10\n" \
    "strd r11, r12, [sp]\n" \
    "strd r8, r9, [sp, #8]\n" \
    "1:\n"

#define ROW_END \
    "ldrd r8, r9, [sp, #8]\n" \
    "add r1, r8\n" \
    "cmp r1, r9\n" \
    "bne 1b\n" \
    "ldr r0, [sp, #20]\n" \
    "ldm.w r0, {r1, r2, r3}\n" \
    "ldr r4, [r0, #16]\n" \
    "ldrd r5, r6, [r0, #28]\n" \
    "adds r1, #1\n" \
    "adds r2, r2, r5\n" \
    "adds r3, #36\n" \
    "adds r4, #1\n" \
    "stm.w r0, {r1, r2, r3}\n" \
    "str r4, [r0, #16]\n" \
    "subs r6, #1\n" \
    "str r6, [r0, #32]\n" \
    "bne 3b\n" \
    "add sp, #24\n" \
    "pop {r4-r11, pc}\n"

/* A column of taps for two rows of outputs (r11 above, r12 below); R8 and R9 hold the rows of words. */
#define COLUMN_OF_TWO(UPPER, LOWER, SUM11, SUM12) \
    "smlatb r12, r8, " UPPER ", " SUM12 "\n" \
    "smlad r11, r8, " UPPER ", " SUM11 "\n" \
    "smlad r12, r9, " LOWER ", r12\n" \
    "smlabt r11, r9, " LOWER ", r11\n"

#define ROWS_OF_TWO(NAME, PAIR) \
    QE_NAKED static void NAME(row_call *call __attribute__((unused))) \
    { \
        __asm__ volatile( \
            ROW_BEGIN \
            "ldrd " PAIR ", [r0], #8\n" \
            "ldr r11, [sp, #16]\n" \
            COLUMN_OF_TWO("r2", "r5", "r11", "r11") \
            "ldrd " PAIR ", [r0]\n" \
            COLUMN_OF_TWO("r3", "r6", "r11", "r12") \
            "ldrd " PAIR ", [r0, #8]\n" \
            COLUMN_OF_TWO("r4", "r7", "r11", "r12") \
            "ldrd r8, r9, [sp]\n" \
            REQUANTIZE("r11", "r8", "r9", "r10", "r9") \
            RELOAD_OFFSET \
            REQUANTIZE("r12", "r8", "r9", "r10", "r9") \
            "strb r12, [r1, lr]\n" \
            "strb r11, [r1]\n" \
            ROW_END); \
    }

#define COLUMN_OF_ONE(UPPER, LOWER) \
    "smlad r11, r8, " UPPER ", r11\n" \
    "smlabt r11, r9, " LOWER ", r11\n"

#define ROW_OF_ONE(NAME, PAIR) \
    QE_NAKED static void NAME(row_call *call __attribute__((unused))) \
    { \
        __asm__ volatile( \
            ROW_BEGIN \
            "ldrd " PAIR ", [r0], #16\n" \
            "ldr r11, [sp, #16]\n" \
            COLUMN_OF_ONE("r2", "r5") \
            "ldrd " PAIR ", [r0, #-8]\n" \
            COLUMN_OF_ONE("r3", "r6") \
            "ldrd " PAIR ", [r0]\n" \
            COLUMN_OF_ONE("r4", "r7") \
            "ldrd r8, r9, [sp]\n" \
            REQUANTIZE("r11", "r8", "r9", "r10", "r9") \
            "strb r11, [r1]\n" \
            ROW_END); \
    }

#ifdef QE_DEPTHWISE_STRIDE_1
ROWS_OF_TWO(rows_even, "r8, r9")
ROWS_OF_TWO(rows_odd, "r9, r8")
#endif
#ifdef QE_DEPTHWISE_STRIDE_2
ROW_OF_ONE(row_even, "r8, r9")
ROW_OF_ONE(row_odd, "r9, r8")
#endif

#else

static void pair_rows(const pair_call *call)
{
    for (uint32_t x = 0; x < call->count; ++x) {
        for (uint32_t channel = 0; channel < 4; ++channel) {
            const uint32_t upper = (uint8_t)call->row[0][x * call->step[0] + channel];
            const uint32_t lower = (uint8_t)call->row[1][x * call->step[1] + channel];
            call->plane[channel * (call->plane_bytes / 4u) + 2u * x] =
                qe_lanes02(upper | lower << 16);
        }
    }
}

static int8_t output_of(const row_call *call, uint32_t x, uint32_t stride, uint32_t odd, uint32_t second)
{
    const taps_of_channel *taps = call->taps;
    uint32_t sum = (uint32_t)taps->bias;
    for (uint32_t column = 0; column < 3; ++column) {
        const uint32_t *words = call->plane + 2u * (stride * x + column);
        const uint32_t above = words[odd], below = words[1u - odd];
        const uint32_t upper = taps->upper[column], lower = taps->lower[column];
        if (second != 0) {
            sum = qe_dual_mac(above >> 16, upper & 0xffffu, qe_dual_mac(below, lower, sum));
        } else {
            sum = qe_dual_mac(above, upper, qe_dual_mac(below & 0xffffu, lower >> 16, sum));
        }
    }
    return qe_dsp_requantize((int32_t)sum, taps->multiplier, taps->shift, call->offset);
}

static void run_row(row_call *call, uint32_t stride, uint32_t odd)
{
    for (; call->left > 0; --call->left) {
        uint32_t x = 0;
        for (int8_t *out = call->output; out != call->end; out += call->step) {
            if (stride == 1) {
                out[call->below] = output_of(call, x, stride, odd, 1);
            }
            out[0] = output_of(call, x, stride, odd, 0);
            ++x;
        }
        ++call->output;
        ++call->end;
        ++call->taps;
        call->plane += call->plane_bytes / sizeof *call->plane;
    }
}

#ifdef QE_DEPTHWISE_STRIDE_1
static void rows_even(row_call *call)
{
    run_row(call, 1, 0);
}

static void rows_odd(row_call *call)
{
    run_row(call, 1, 1);
}
#endif
#ifdef QE_DEPTHWISE_STRIDE_2
static void row_even(row_call *call)
{
    run_row(call, 2, 0);
}

static void row_odd(row_call *call)
{
    run_row(call, 2, 1);
}
#endif

#endif

static uint32_t low_halves(uint32_t a, uint32_t b)
{
    return (a & 0xffffu) | b << 16;
}

static uint32_t high_halves(uint32_t a, uint32_t b)
{
    return a >> 16 | (b & 0xffff0000u);
}

/* Twice both lanes. */
static uint32_t twice(uint32_t lanes)
{
    return (lanes & 0x7fff7fffu) << 1;
}

static void expand_taps(const qe_depthwise_3x3_dsp_params *p, uint32_t channel, taps_of_channel taps[4])
{
    const int8_t *from = p->weights + channel;
    for (uint32_t column = 0; column < 3; ++column) {
        uint32_t even[3], odd[3];
        for (uint32_t row = 0; row < 3; ++row) {
            const uint32_t word = qe_load4(from + (3u * row + column) * p->channels);
            even[row] = twice(qe_lanes02(word));
            odd[row] = twice(qe_lanes13(word));
        }
        taps[0].upper[column] = low_halves(even[0], even[1]);
        taps[0].lower[column] = low_halves(even[1], even[2]);
        taps[1].upper[column] = low_halves(odd[0], odd[1]);
        taps[1].lower[column] = low_halves(odd[1], odd[2]);
        taps[2].upper[column] = high_halves(even[0], even[1]);
        taps[2].lower[column] = high_halves(even[1], even[2]);
        taps[3].upper[column] = high_halves(odd[0], odd[1]);
        taps[3].lower[column] = high_halves(odd[1], odd[2]);
    }
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t *words = p->requantize + 2u * (channel + i);
        taps[i].shift = (int32_t)(words[0] & 31u);
        taps[i].multiplier = (int32_t)words[1];
        taps[i].bias = 2 * ((int32_t)words[0] >> 5);
    }
}

/* Make the words of two rows of the input, from row y on; rows outside are its zero point, four bytes at zero. */
static void fill_pair(const qe_depthwise_3x3_dsp_params *p, pair_call *call, const int8_t *input, int32_t y,
                      const uint32_t *zero)
{
    const int32_t channels = p->channels, row_bytes = p->in_width * channels;
    for (int32_t i = 0; i < 2; ++i) {
        if (y >= 0 && y < p->in_height) {
            call->row[i] = input + y * row_bytes;
            call->step[i] = (uint32_t)channels;
        } else {
            call->row[i] = (const int8_t *)zero;
            call->step[i] = 0;
        }
        ++y;
    }
    pair_rows(call);
}

void qe_depthwise_3x3_s8_dsp(const qe_depthwise_3x3_dsp_params *p, const int8_t *input, int8_t *output,
                             void *scratch)
{
    taps_of_channel *taps = (taps_of_channel *)scratch;
    uint32_t *planes = (uint32_t *)(taps + 4);
    const uint32_t columns = p->stride * (p->out_width - 1u) + 3u;
    const uint32_t inside = columns - p->pad_left < p->in_width ? columns - p->pad_left : p->in_width;
    const int32_t rows = p->stride == 1u ? 2 : 1;
    const uint32_t row_bytes = (uint32_t)p->out_width * p->channels;
    const uint32_t zero = (uint8_t)p->input_zero_point * 0x01010101u;
    row_call call;
    pair_call pair;
    QE_ROLLED
    for (uint32_t i = 0; i < 8u * columns; ++i) {
        planes[i] = qe_lanes02(zero);
    }
    pair.plane_bytes = 8u * columns;
    pair.count = inside;
    call.step = p->channels;
    call.offset = 2 * p->output_zero_point + 1;
    call.plane_bytes = 8u * columns;
    for (uint32_t channel = 0; channel < p->channels; channel += 4) {
        uint32_t odd = 0;
        int32_t y = -(int32_t)p->pad_top;
        expand_taps(p, channel, taps);
        pair.plane = planes + 2u * p->pad_left;
        fill_pair(p, &pair, input + channel, y, &zero);
        for (int32_t oy = 0; oy < p->out_height; oy += rows) {
            y += 2;
            pair.plane = planes + 2u * p->pad_left + 1u - odd;
            fill_pair(p, &pair, input + channel, y, &zero);
            call.below = rows == 2 && oy + 1 < p->out_height ? row_bytes : 0u;
            call.output = output + (uint32_t)oy * row_bytes + channel;
            call.end = call.output + row_bytes;
            call.plane = planes;
            call.taps = taps;
            call.left = 4;
#ifdef QE_DEPTHWISE_STRIDE_1
            if (rows == 2) {
                if (odd != 0) {
                    rows_odd(&call);
                } else {
                    rows_even(&call);
                }
            }
#endif
#ifdef QE_DEPTHWISE_STRIDE_2
            if (rows == 1) {
                if (odd != 0) {
                    row_odd(&call);
                } else {
                    row_even(&call);
                }
            }
#endif
            odd ^= 1u;
        }
    }
#ifdef QE_DSP_CLAMP
    for (uint32_t i = 0; i < row_bytes * p->out_height; ++i) {
        output[i] = qe_clamp_s8(output[i], p->low, p->high);
    }
#endif
}
