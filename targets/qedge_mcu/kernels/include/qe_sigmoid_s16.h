#ifndef QE_SIGMOID_S16_H
#define QE_SIGMOID_S16_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const uint16_t *table; /* [256]: sigmoid(i / 24) in 0.16 fixed point */
    int32_t count;         /* values */
    int32_t multiplier;    /* brings the input to steps of 1 / (3 * 4096) ... */
    uint8_t shift;         /* ... with this shift to the right */
} qe_sigmoid_s16_params;

/* LOGISTIC and TANH of int16 values, between the entries of the table; the output may be the input. */
void qe_logistic_s16(const qe_sigmoid_s16_params *p, const int16_t *input, int16_t *output);
void qe_tanh_s16(const qe_sigmoid_s16_params *p, const int16_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
