/* Where the words of an example go, and how often it runs: for ever on a board of the Pico SDK, ESP-IDF or Zephyr;
 * elsewhere once, and its words need -DQE_PRINT and a printf. A program includes this and defines qe_program. */
#ifndef QE_BOARD_H
#define QE_BOARD_H

#if defined(ESP_PLATFORM)
#include <freertos/FreeRTOS.h>
#include <freertos/task.h>
#define QE_PAUSE() vTaskDelay(pdMS_TO_TICKS(1000))
#elif defined(LIB_PICO_STDIO)
#include <pico/stdlib.h>
#define QE_PAUSE() sleep_ms(1000)
#elif defined(__ZEPHYR__)
#include <zephyr/kernel.h>
#define QE_PAUSE() k_msleep(1000)
#endif

#if defined(QE_PRINT) || defined(QE_PAUSE)
#include <stdio.h>
#define SAY(...) printf(__VA_ARGS__)
#else
#define SAY(...) ((void)0)
#endif

static int qe_program(void);

#if defined(QE_PAUSE)
static void qe_forever(void)
{
    for (;;) {
        const int status = qe_program();
        if (status != 0) {
            SAY("status %d\n", status);
        }
        QE_PAUSE();
    }
}
#endif

#if defined(ESP_PLATFORM)
void app_main(void);
void app_main(void)
{
    qe_forever();
}
#else
int main(void)
{
#if defined(LIB_PICO_STDIO)
    stdio_init_all();
#endif
#if defined(QE_PAUSE)
    qe_forever();
#endif
    return qe_program();
}
#endif

#endif
