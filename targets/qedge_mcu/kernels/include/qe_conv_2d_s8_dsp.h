#ifndef QE_CONV_2D_S8_DSP_H
#define QE_CONV_2D_S8_DSP_H

#include "qe_dot_dsp.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const void *weights; /* as below; the input's zero point is folded into the biases */
    uint32_t depth;      /* inputs of a window, rounded up to a multiple of 4 */
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;    /* clamp of the output; used where QE_DSP_CLAMP is defined */
    uint8_t pixels;      /* at a time: 3, or 2 in two thirds of the memory */
} qe_conv_2d_dsp_params;

/* Make all channels of up to three, or two, pixels, which lie behind each other from output on.
 *
 * The weights are, for each pair of channels: depth / 4 times two words of lanes (qe_dot_dsp.h), then four words:
 *   bias_a << 8 | (shift_a - 1), multiplier_a, bias_b << 8 | (shift_b - 1), multiplier_b
 * where shift is to the right and at least 1. columns, for each four k: words 02 of each pixel,
 * then words 13 of each.
 * The signed functions tell ties of negative sums apart, the others are for outputs that are clamped at their zero
 * point (qe_dsp.h); QE_DOT_3X2_SIGNED, QE_DOT_3X2_PLAIN and their like say which ones a model uses. */
void qe_dot_3x2_signed_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels);
void qe_dot_3x2_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels);
void qe_dot_2x2_signed_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels);
void qe_dot_2x2_dsp(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels);

/* Write words (at least 1) of each of rows (at least 1) of the pixels as columns; row_bytes lie between the first bytes
 * of two rows. */
void qe_expand_3_dsp(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t words,
                     uint32_t rows, uint32_t row_bytes);
void qe_expand_2_dsp(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, uint32_t words, uint32_t rows,
                     uint32_t row_bytes);

#if !QE_DSP_ASM
/* What these do, in portable C, for count pixels. */
static inline void qe_expand_pixels(uint32_t *columns, const int8_t *const *pixels, uint32_t count, uint32_t words,
                                    uint32_t rows, uint32_t row_bytes)
{
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t i = row * row_bytes; i < row * row_bytes + 4u * words; i += 4) {
            for (uint32_t pixel = 0; pixel < count; ++pixel) {
                columns[pixel] = qe_lanes02(qe_load4(pixels[pixel] + i));
                columns[count + pixel] = qe_lanes13(qe_load4(pixels[pixel] + i));
            }
            columns += 2u * count;
        }
    }
}

static inline void qe_dot_pixels(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t there,
                                 int32_t count)
{
    const uint32_t *weights = (const uint32_t *)p->weights;
    const int32_t offset = 2 * p->output_zero_point + 1;
    for (uint32_t pair = 0; pair < p->out_channels / 2u; ++pair) {
        const uint32_t *words = weights + p->depth / 2u;
        for (int32_t pixel = 0; pixel < count && pixel < there; ++pixel) {
            int8_t *out = output + pixel * p->out_channels + 2u * pair;
            uint32_t low = 0, both = 0;
            for (uint32_t k = 0; k < p->depth / 2u; ++k) {
                const uint32_t x = columns[(uint32_t)count * k + (uint32_t)pixel];
                low = qe_dual_mac(x, qe_lanes02(weights[k]), low);
                both = qe_dual_mac(x, weights[k], both);
            }
            out[0] = qe_dsp_output(low, words, offset);
            out[1] = qe_dsp_output(qe_upper(both, low), words + 2, offset);
        }
        weights = words + 4;
    }
}
#endif

/* input [in_height][in_width][in_channels], output [out_height][out_width][out_channels]; batch 1; no dilation,
 * one group. The k of a window are, of every row, its whole words, then of all rows the first byte that is left over, the
 * second and the third, filled up to a word; QE_CONV_2D_REST says that there are such bytes. scratch: 2 * pixels *
 * depth bytes of columns, then, which the 1x1 kernel does not need, what is left over of the rows of each window, and,
 * where a window reaches outside the input, a row of each. */
void qe_conv_2d_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch);

/* The same for a 1x1 filter with stride 1. */
void qe_conv_2d_1x1_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
