#ifndef QE_SPACE_TO_BATCH_H
#define QE_SPACE_TO_BATCH_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t batches;               /* of the unblocked side */
    int32_t in_height, in_width;
    int32_t out_height, out_width;
    int32_t block_height, block_width;
    int32_t top, left;             /* padding, or what is cropped */
    int32_t bytes;                 /* of a pixel */
    int32_t fill;                  /* byte that pads */
} qe_space_to_batch_params;

/* input [batches][in_height][in_width], output [block_height][block_width][batches][out_height][out_width]. */
void qe_space_to_batch(const qe_space_to_batch_params *p, const void *input, void *output);

/* input [block_height][block_width][batches][in_height][in_width], output [batches][out_height][out_width]. */
void qe_batch_to_space(const qe_space_to_batch_params *p, const void *input, void *output);

QE_EXTERN_C_END

#endif
