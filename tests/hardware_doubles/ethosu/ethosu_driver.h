/* What the example uses of Arm's ethos-u-core-driver, to compile it without one. */
#ifndef ETHOSU_DRIVER_H
#define ETHOSU_DRIVER_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
struct ethosu_driver {
  int unused;
};
int ethosu_init(struct ethosu_driver *drv, void *base_address, const void *fast_memory, size_t fast_memory_size,
                uint32_t secure_enable, uint32_t privilege_enable);
void ethosu_irq_handler(struct ethosu_driver *drv);
#ifdef __cplusplus
}
#endif
#endif
