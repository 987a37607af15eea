/* Says once what @name@ takes the sensor's reading for, and prints it with -DQE_PRINT. read_sensor is yours. */
#include "classify.h"

#ifdef QE_PRINT
#include <stdio.h>
#define SAY(...) printf(__VA_ARGS__)
#else
#define SAY(...) ((void)0)
#endif

static @name@_context context;

static void read_sensor(@sensor_type@ *values)
{
    for (int32_t i = 0; i < @sensor_count@; ++i) {
        values[i] = 0; /* your camera, microphone or sensor goes here */
    }
}

int main(void)
{
    float score = 0.0f;
    int32_t best;
    if (@name@_init(&context) != @NAME@_OK) {
        return -1;
    }
    best = classify(&context, &score);
    if (best >= 0) {
        SAY("%s %ld %f\n", @class_name@, (long)best, (double)score);
    }
    return best >= 0 ? 0 : -1;
}
