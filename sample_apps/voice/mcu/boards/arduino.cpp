// board.h on Arduino cores: a microphone amplifier on A0, keywords on the serial monitor.
// Raspberry Pi Pico 2 (arduino-pico: the ADC with DMA) and STM32 Nucleo (STM32duino: a timer interrupt).
#include <Arduino.h>

extern "C" {
#include "../board.h"
}

static constexpr int sample_rate = 16000;
static constexpr int full_scale_bits = 12;

// Slow enough to follow the amplifier's bias, fast enough to settle in a quarter of a second.
static int32_t bias_q12 = (1 << (full_scale_bits - 1)) << 12;

static int16_t centred(int32_t raw)
{
    bias_q12 += raw - (bias_q12 >> 12);
    const int32_t value = (raw - (bias_q12 >> 12)) * (1 << (15 - full_scale_bits + 1));
    return static_cast<int16_t>(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

#if defined(ARDUINO_ARCH_RP2040)
#include <ADCInput.h>

static ADCInput microphone(A0);

static void start_microphone()
{
    analogReadResolution(full_scale_bits);
    microphone.setBuffers(32, 64); // 128 ms: longer than one run of the model
    microphone.begin(sample_rate);
}

static int32_t next_raw()
{
    return microphone.read(); // waits
}
#elif defined(ARDUINO_ARCH_STM32)
static volatile uint16_t ring[2048]; // 128 ms: longer than one run of the model
static volatile uint32_t written;
static uint32_t taken;

static void take_sample()
{
    ring[written % 2048] = static_cast<uint16_t>(analogRead(A0));
    written = written + 1;
}

static void start_microphone()
{
    analogReadResolution(full_scale_bits);
    static HardwareTimer timer(TIM6);
    timer.setOverflow(sample_rate, HERTZ_FORMAT);
    timer.attachInterrupt(take_sample);
    timer.resume();
}

static int32_t next_raw()
{
    while (taken == written) {
    }
    return ring[taken++ % 2048];
}
#else
#error "add a way to take 16,000 samples a second on this board"
#endif

extern "C" void board_init(void)
{
    Serial.begin(115200);
    start_microphone();
}

extern "C" int board_record(int16_t *pcm, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        pcm[i] = centred(next_raw());
    }
    return 1;
}

extern "C" void board_print(const char *text)
{
    Serial.print(text);
}
