#ifndef QE_SELECT_H
#define QE_SELECT_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps;  /* walk over (condition, a), see qe_walk.h */
    const int32_t *others; /* walk over (b, output) */
    int32_t bytes;         /* of a value */
    uint8_t rank, others_rank;
} qe_select_params;

/* output = condition ? a : b, with broadcasting; strides of a, b and the output are in bytes. */
void qe_select(const qe_select_params *p, const uint8_t *condition, const void *a, const void *b, void *output);

QE_EXTERN_C_END

#endif
