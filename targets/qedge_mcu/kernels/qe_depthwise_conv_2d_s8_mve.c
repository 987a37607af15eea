/* DEPTHWISE_CONV_2D int8 for Helium: eight channels at a time. */
#include "qe_depthwise_conv_2d_s8_mve.h"

/* The part of a window that lies inside the input. */
typedef struct {
    const int8_t *input, *weights; /* of its first tap */
    int32_t rows, columns;
} clipped;

static clipped clip(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, int32_t y, int32_t x)
{
    const int32_t top = y < 0 ? -y : 0;
    const int32_t left = x < 0 ? -x : 0;
    const int32_t bottom = qe_clamp(p->in_height - y, top, p->filter_height);
    const int32_t right = qe_clamp(p->in_width - x, left, p->filter_width);
    clipped c;
    c.input = input + ((y + top) * p->in_width + x + left) * p->channels;
    c.weights = p->weights + (top * p->filter_width + left) * p->channels;
    c.rows = bottom - top;
    c.columns = right - left;
    return c;
}

#if QE_MVE

/* Sums of the channels 0, 2, 4, 6 (even) and 1, 3, 5, 7 (odd) of eight. */
static void eight_outputs(const qe_depthwise_conv_2d_mve_params *p, clipped c, int32_t channel, int8_t *output)
{
    const int32_t channels = p->channels;
    const int16_t zero_point = p->input_zero_point;
    const int32x4x2_t bias = vld2q_s32(p->bias + channel);
    int32x4_t even = bias.val[0], odd = bias.val[1];
    for (int32_t row = 0; row < c.rows; ++row) {
        const int8_t *x = c.input + row * p->in_width * channels + channel;
        const int8_t *w = c.weights + row * p->filter_width * channels + channel;
        for (int32_t column = c.columns; column > 0; --column) {
            const int16x8_t values = vsubq_n_s16(vldrbq_s16(x), zero_point);
            const int16x8_t taps = vldrbq_s16(w);
            even = vaddq_s32(even, vmullbq_int_s16(values, taps));
            odd = vaddq_s32(odd, vmulltq_int_s16(values, taps));
            x += channels;
            w += channels;
        }
    }
    const int32x4x2_t multiplier = vld2q_s32(p->multiplier + channel);
    const int16x8_t shift = vldrbq_s16(p->shift + channel);
    even = qe_mve_requantize(even, multiplier.val[0], vmovlbq_s16(shift), p->output_zero_point);
    odd = qe_mve_requantize(odd, multiplier.val[1], vmovltq_s16(shift), p->output_zero_point);
    const int16x8_t both = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(even), even), odd);
    vstrbq_s16(output + channel, qe_mve_saturate(both, p->low, p->high));
}

#else

static void eight_outputs(const qe_depthwise_conv_2d_mve_params *p, clipped c, int32_t channel, int8_t *output)
{
    for (int32_t i = channel; i < channel + 8; ++i) {
        int32_t sum = p->bias[i];
        for (int32_t row = 0; row < c.rows; ++row) {
            for (int32_t column = 0; column < c.columns; ++column) {
                const int32_t x = c.input[(row * p->in_width + column) * p->channels + i] - p->input_zero_point;
                sum += x * c.weights[(row * p->filter_width + column) * p->channels + i];
            }
        }
        const int32_t scaled = qe_requantize(sum, p->multiplier[i], p->shift[i]);
        output[i] = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
    }
}

#endif

void qe_depthwise_conv_2d_s8_mve(const qe_depthwise_conv_2d_mve_params *p, const int8_t *input, int8_t *output)
{
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const clipped c =
                clip(p, input, oy * p->stride_height - p->pad_top, ox * p->stride_width - p->pad_left);
            for (int32_t channel = 0; channel < p->channels; channel += 8) {
                eight_outputs(p, c, channel, output);
            }
            output += p->channels;
        }
    }
}
