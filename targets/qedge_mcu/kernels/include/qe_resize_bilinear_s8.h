#ifndef QE_RESIZE_BILINEAR_S8_H
#define QE_RESIZE_BILINEAR_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t scale_y, scale_x; /* input pixels for one output pixel, in 1/1024 */
    int32_t start_y, start_x; /* where output pixel 0 lies, in 1/1024 */
    uint16_t in_height, in_width, out_height, out_width, channels;
} qe_resize_bilinear_params;

/* input [in_height][in_width][channels], output [out_height][out_width][channels]; batch 1. */
void qe_resize_bilinear_s8(const qe_resize_bilinear_params *p, const int8_t *input, int8_t *output);

QE_EXTERN_C_END

#endif
