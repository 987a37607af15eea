/* Walks two or three arrays at once, dimension by dimension, with a stride of each array's own.
 *
 * A walk is described by `rank` triples {count, step of a, step of b}, innermost first, made when generating:
 * a step is what is added to the offset after one round of its dimension. */
#ifndef QE_WALK_H
#define QE_WALK_H

#include "qe_common.h"

#define QE_WALK_RANK 6

typedef struct {
    int32_t a, b; /* offsets into the two arrays */
    int32_t left[QE_WALK_RANK];
} qe_walk;

static inline void qe_walk_start(qe_walk *w, const int32_t *steps, int32_t rank)
{
    w->a = 0;
    w->b = 0;
    for (int32_t d = 0; d < rank; ++d) {
        w->left[d] = steps[3 * d];
    }
}

/* Move on; return 0 after the last position. */
static inline int qe_walk_next(qe_walk *w, const int32_t *steps, int32_t rank)
{
    for (int32_t d = 0; d < rank; ++d) {
        w->a += steps[3 * d + 1];
        w->b += steps[3 * d + 2];
        w->left[d] -= 1;
        if (w->left[d] != 0) {
            return 1;
        }
        w->left[d] = steps[3 * d];
    }
    return 0;
}

#endif
