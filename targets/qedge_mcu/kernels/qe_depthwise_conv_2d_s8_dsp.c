/* DEPTHWISE_CONV_2D int8 for the DSP extension: any filter, stride and padding, four channels at a time. */
#include "qe_depthwise_conv_2d_s8_dsp.h"

/* The part of a window that lies inside the input. */
typedef struct {
    const int8_t *input, *weights; /* of its first tap */
    int32_t rows, columns;
} clipped;

static clipped clip(const qe_depthwise_conv_2d_dsp_params *p, const int8_t *input, int32_t y, int32_t x)
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

static void four_sums(const qe_depthwise_conv_2d_dsp_params *p, clipped c, int32_t channel, int32_t sums[4])
{
    const int32_t channels = p->channels;
    const uint32_t offset = (uint32_t)(uint16_t)(int16_t)-p->input_zero_point * 0x00010001u;
    int32_t a = 0, b = 0, d = 0, e = 0;
    for (int32_t row = 0; row < c.rows; ++row) {
        const int8_t *x = c.input + row * p->in_width * channels + channel;
        const int8_t *w = c.weights + row * p->filter_width * channels + channel;
        for (int32_t column = c.columns; column > 0; --column) {
            const uint32_t values = qe_load4(x), taps = qe_load4(w);
            const uint32_t values02 = qe_add_lanes02(offset, values), taps02 = qe_lanes02(taps);
            const uint32_t values13 = qe_add_lanes13(offset, values), taps13 = qe_lanes13(taps);
            a = qe_mac_low(values02, taps02, a);
            b = qe_mac_low(values13, taps13, b);
            d = qe_mac_high(values02, taps02, d);
            e = qe_mac_high(values13, taps13, e);
            x += channels;
            w += channels;
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = d;
    sums[3] = e;
}

void qe_depthwise_conv_2d_s8_dsp(const qe_depthwise_conv_2d_dsp_params *p, const int8_t *input, int8_t *output)
{
    const int32_t offset = 2 * p->output_zero_point + 1;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const clipped c =
                clip(p, input, oy * p->stride_height - p->pad_top, ox * p->stride_width - p->pad_left);
            const uint32_t *words = p->requantize;
            for (int32_t channel = 0; channel < p->channels; channel += 4) {
                int32_t sums[4];
                four_sums(p, c, channel, sums);
                for (int32_t i = 0; i < 4; ++i) {
                    const int32_t doubled = 2 * (sums[i] + ((int32_t)words[0] >> 5));
                    const int32_t shift = (int32_t)(words[0] & 31u);
                    *output = qe_dsp_requantize(doubled, (int32_t)words[1], shift, offset);
#ifdef QE_DSP_CLAMP
                    *output = qe_clamp_s8(*output, p->low, p->high);
#endif
                    ++output;
                    words += 2;
                }
            }
        }
    }
}
