#ifndef QE_CONV_2D_S8_MVE_H
#define QE_CONV_2D_S8_MVE_H

#include "qe_matrix_s8_mve.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const void *stream;        /* as in qe_matrix_params, with depth = filter_height * filter_width * in_channels */
    uint16_t part;             /* likewise */
    uint16_t outputs;
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width;
    uint8_t filter_height, filter_width;
    uint8_t stride_height, stride_width;
    uint8_t pad_top, pad_left;
    int8_t input_zero_point, output_zero_point;
    int8_t low, high;          /* clamp of the output; used where QE_MVE_CLAMP is defined */
} qe_conv_2d_mve_params;

/* input [in_height][in_width][in_channels], output [out_height][out_width][outputs]; batch 1; no dilation, one
 * group. scratch: depth bytes. */
void qe_conv_2d_s8_mve(const qe_conv_2d_mve_params *p, const int8_t *input, int8_t *output, void *scratch);

QE_EXTERN_C_END

#endif
