#ifndef QE_UPDATE_SLICE_H
#define QE_UPDATE_SLICE_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps;   /* walk over the rows of (update, output) in bytes, see qe_walk.h */
    const int32_t *room;    /* [dimensions]: the largest start along each */
    const int32_t *strides; /* [dimensions]: of the output, in bytes */
    int32_t bytes;          /* of the output */
    int32_t run;            /* bytes that lie together in both */
    uint8_t rank, dimensions;
} qe_update_slice_params;

/* output = operand with update at starts, which are clamped; the output may be the operand. */
void qe_update_slice(const qe_update_slice_params *p, const void *operand, const void *update, const int32_t *starts,
                     void *output);

QE_EXTERN_C_END

#endif
