#ifndef QE_GATHER_H
#define QE_GATHER_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t batches;  /* that input and positions have in common */
    int32_t outer;    /* blocks of a batch before the axis */
    int32_t size;     /* entries along the axis */
    int32_t count;    /* positions of a batch */
    int32_t bytes;    /* of an entry */
} qe_gather_params;

/* output [batches][outer][count] = entries of input [batches][outer][size] at positions [batches][count]. A position
 * outside takes the nearest entry. */
void qe_gather(const qe_gather_params *p, const void *input, const int32_t *positions, void *output);

typedef struct {
    const int32_t *sizes;   /* [depth]: of the dimensions that a position has a coordinate for */
    const int32_t *strides; /* [depth], in bytes */
    int32_t count;          /* positions */
    int32_t bytes;          /* of an entry */
    int32_t depth;          /* coordinates of a position */
} qe_gather_nd_params;

/* The same with positions [count][depth] of several coordinates. */
void qe_gather_nd(const qe_gather_nd_params *p, const void *input, const int32_t *positions, void *output);

QE_EXTERN_C_END

#endif
