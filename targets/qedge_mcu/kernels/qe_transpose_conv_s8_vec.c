/* TRANSPOSE_CONV int8 with vectors: eight channels of an input pixel at a time. */
#include "qe_transpose_conv_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* A tap that reaches an output pixel: where its input pixel and its weights of an output lie, in bytes. */
typedef struct {
    int32_t input, weights;
} tap;

/* Write the taps that reach the output pixel (y, x); return their end. */
static tap *list_taps(const qe_transpose_conv_params *p, int32_t y, int32_t x, tap *to)
{
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t down = y + p->pad_top - fy, in_y = down / p->stride_height;
        if (down < 0 || down % p->stride_height != 0 || in_y >= p->in_height) {
            continue;
        }
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t right = x + p->pad_left - fx, in_x = right / p->stride_width;
            if (right >= 0 && right % p->stride_width == 0 && in_x < p->in_width) {
                to->input = (in_y * p->in_width + in_x) * p->in_channels;
                to->weights = (fy * p->filter_width + fx) * p->in_channels;
                ++to;
            }
        }
    }
    return to;
}

static void four_outputs(const qe_transpose_conv_params *p, const int8_t *input, const tap *taps, const tap *end,
                         int32_t o, int8_t *output)
{
    const int32_t filter = p->filter_height * p->filter_width * p->in_channels;
    const int8_t *weights = p->weights + o * filter;
    const qe_scale scale = qe_scale_load(p->multiplier + o, p->shift + o);
    const qe_range range = qe_range_of(p->output_zero_point, p->low, p->high);
    int32_t rests[4] = {p->bias[o], p->bias[o + 1], p->bias[o + 2], p->bias[o + 3]};
    qe_v4 sums[4];
    sums[0] = sums[1] = sums[2] = sums[3] = qe_v4_zero();
    for (; taps != end; ++taps) {
        qe_dot_eights_4(sums, rests, input + taps->input, weights + taps->weights, filter, p->in_channels,
                        p->input_offset, 0);
    }
    const qe_v4 y = qe_v4_requantize(qe_v4_add(qe_v4_load(rests), qe_v4_totals(sums)), &scale);
    qe_outputs_store(output + o, output + o, y, y, &range);
}

static void one_output(const qe_transpose_conv_params *p, const int8_t *input, const tap *taps, const tap *end,
                       int32_t o, int8_t *output)
{
    const int8_t *weights = p->weights + o * p->filter_height * p->filter_width * p->in_channels;
    int32_t sum = p->bias[o];
    qe_v4 eights = qe_v4_zero();
    for (; taps != end; ++taps) {
        sum += qe_dot_eights(&eights, input + taps->input, weights + taps->weights, p->in_channels, p->input_offset, 0);
    }
    const int32_t scaled = qe_requantize(sum + qe_v4_total(eights), p->multiplier[o], p->shift[o]);
    output[o] = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
}

void qe_transpose_conv_s8_vec(const qe_transpose_conv_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t channels = p->out_channels;
    tap *const taps = (tap *)scratch;
    for (int32_t y = 0; y < p->out_height; ++y) {
        for (int32_t x = 0; x < p->out_width; ++x) {
            const tap *const end = list_taps(p, y, x, taps);
            for (int32_t o = 0; o < channels;) {
                if (channels < 4) {
                    one_output(p, input, taps, end, o, output);
                    o += 1;
                } else {
                    /* The last four end with the last output: some are made a second time. */
                    four_outputs(p, input, taps, end, o < channels - 4 ? o : channels - 4, output);
                    o += 4;
                }
            }
            output += channels;
        }
    }
}

#else

void qe_transpose_conv_s8_vec(const qe_transpose_conv_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    (void)scratch;
    qe_transpose_conv_s8(p, input, output);
}

#endif
