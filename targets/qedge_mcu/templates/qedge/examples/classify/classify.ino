// Says on the serial port what @name@ takes the sensor's reading for. read_sensor is yours.
#include <@name@.h>

#include "classify.h"

static @name@_context context;
#if defined(@NAME@_EXTERNAL_ARENA)
static uint64_t arena[(@NAME@_ARENA_BYTES + 7) / 8]; /* which other models may use by turns */
#endif

static void read_sensor(@sensor_type@ *values)
{
    for (int32_t i = 0; i < @sensor_count@; ++i) {
        values[i] = 0; // your camera, microphone or sensor goes here
    }
}

void setup()
{
    Serial.begin(115200);
#if defined(@NAME@_EXTERNAL_ARENA)
    @name@_set_arena(&context, arena);
#endif
    @name@_init(&context);
}

void loop()
{
    float score = 0;
    const int32_t best = classify(&context, &score);
    if (best < 0) {
        Serial.println("the model does not run");
        return;
    }
    Serial.print(@class_name@);
    Serial.print(" ");
    Serial.print(best);
    Serial.print(" ");
    Serial.println(score);
}
