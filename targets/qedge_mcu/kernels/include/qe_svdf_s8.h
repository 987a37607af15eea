#ifndef QE_SVDF_S8_H
#define QE_SVDF_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int8_t *features; /* [filters][inputs] */
    const void *times;      /* [filters][memory], of the state's type */
    const int32_t *bias;    /* [filters / rank] */
    int32_t feature_multiplier, output_multiplier;
    int32_t state_zero_point;
    uint16_t batches, inputs, filters, rank, memory;
    int16_t input_zero_point;
    int8_t feature_shift, output_shift;
    int8_t output_zero_point;
    uint8_t wide;           /* 1: the state is int16, 0: int8 */
} qe_svdf_params;

/* input [batches][inputs], output [batches][filters / rank], state [batches][filters][memory] with the newest last. */
void qe_svdf_s8(const qe_svdf_params *p, const int8_t *input, void *state, int8_t *output);

QE_EXTERN_C_END

#endif
