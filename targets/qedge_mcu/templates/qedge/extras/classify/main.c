/* Says what @name@ takes the sensor's reading for. read_sensor is yours. */
#include "classify.h"

#include "../qe_board.h"

static @name@_context context;
#if defined(@NAME@_EXTERNAL_ARENA)
static uint64_t arena[(@NAME@_ARENA_BYTES + 7) / 8]; /* which other models may use by turns */
#endif

static void read_sensor(@sensor_type@ *values)
{
    for (int32_t i = 0; i < @sensor_count@; ++i) {
        values[i] = 0; /* your camera, microphone or sensor goes here */
    }
}

static int qe_program(void)
{
    static int started;
    float score = 0.0f;
    int32_t best;
#if defined(@NAME@_EXTERNAL_ARENA)
    @name@_set_arena(&context, arena);
#endif
    if (!started && @name@_init(&context) != @NAME@_OK) {
        return -1;
    }
    started = 1;
    best = classify(&context, &score);
    if (best >= 0) {
        SAY("%s %ld %f\n", @class_name@, (long)best, (double)score);
    }
    return best >= 0 ? 0 : -1;
}
