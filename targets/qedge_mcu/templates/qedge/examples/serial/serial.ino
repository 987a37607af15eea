// Runs @name@ for "qedge verify --port" and "qedge bench --port", which send samples and compare every byte.
#include <@name@.h>

#define QE_SERIAL_OWN_CYCLES
#define QE_SERIAL_HZ 1000000u
static int qe_serial_get(void)
{
    const unsigned long start = millis();
    while (Serial.available() == 0) {
        if (millis() - start > 500) {
            return -1; // a frame that stopped half-way is given up
        }
    }
    return Serial.read();
}

static void qe_serial_put(uint8_t byte)
{
    Serial.write(byte);
}

static uint32_t qe_serial_cycles(void)
{
    return micros();
}

#include "qe_serial.h"

static @name@_context context;

void setup()
{
    Serial.begin(115200);
    @name@_init(&context);
}

void loop()
{
    qe_serial_poll(&context);
}
