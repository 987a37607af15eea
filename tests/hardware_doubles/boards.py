"""Doubles of microcontroller boards: unicorn runs the firmware's image, these answer for the chip's registers.

Written after the chips' reference manuals: what is not clocked or still in reset must not be used, rates follow
from the dividers that the firmware wrote, and sound arrives the way the firmware set up the converter and the DMA.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import unicorn
from unicorn import arm_const

PERIPHERALS, PERIPHERALS_BYTES = 0x4000_0000, 0x1100_0000


class Board:
    """A chip whose firmware polls: runs an image until its sound has been heard.

    ``samples`` are what the converter gives, 12 bits each; ``text`` is what the serial port has sent.
    """

    CPU = arm_const.UC_CPU_ARM_CORTEX_M4
    FLASH, FLASH_BYTES, RAM, RAM_BYTES = 0x0800_0000, 2 << 20, 0x2000_0000, 640 << 10

    def __init__(self, image: bytes, samples: Iterable[int]) -> None:
        self.registers: dict[int, int] = {}
        self.text = ""
        self.problem: Exception | None = None
        self._samples = iter(samples)
        self._core = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._core.ctl_set_cpu_model(self.CPU)
        self._core.mem_map(self.FLASH, self.FLASH_BYTES)
        self._core.mem_write(self.FLASH, image)
        self._core.mem_map(self.RAM, self.RAM_BYTES)
        self._core.mem_write(self.RAM, b"\xa5" * self.RAM_BYTES)
        self._core.mem_map(0xE000_E000, 0x1000)
        self._core.mmio_map(PERIPHERALS, PERIPHERALS_BYTES, self._on_read, None, self._on_write, None)

    def run(self, seconds: float = 120) -> None:
        """Start at the vector table; return when there is no more sound."""
        stack, reset = (int.from_bytes(self._core.mem_read(self.FLASH + i, 4), "little") for i in (0, 4))
        self._core.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._core.emu_start(reset | 1, 0, timeout=int(seconds * 1e6))
        if self.problem:
            raise self.problem

    def get(self, address: int) -> int:
        return self.registers.get(address, 0)

    def read(self, address: int) -> int:
        """Return what the register holds; chips override it for those that change by themselves."""
        return self.get(address)

    def write(self, address: int, value: int) -> None:
        self.registers[address] = value

    def arrive(self, address: int) -> None:
        """Put the next sample where the DMA would, or stop when there is none."""
        sample = next(self._samples, None)
        if sample is None:
            self._core.emu_stop()
        else:
            self._core.mem_write(address, sample.to_bytes(2, "little"))

    def _on_read(self, core: unicorn.Uc, offset: int, size: int, _: object) -> int:
        try:
            assert size == 4, f"a read of {size} bytes at {PERIPHERALS + offset:#x}"
            return self.read(PERIPHERALS + offset)
        except Exception as problem:
            return self._fail(problem)

    def _on_write(self, core: unicorn.Uc, offset: int, size: int, value: int, _: object) -> None:
        try:
            assert size == 4, f"a write of {size} bytes at {PERIPHERALS + offset:#x}"
            self.write(PERIPHERALS + offset, value & 0xFFFF_FFFF)
        except Exception as problem:
            self._fail(problem)

    def _fail(self, problem: Exception) -> int:
        self.problem = self.problem or problem
        self._core.emu_stop()
        return 0


class Pico2(Board):
    """RP2350: clocks, resets, pads, UART0, ADC and DMA channel 0."""

    CPU = arm_const.UC_CPU_ARM_CORTEX_M33
    FLASH, FLASH_BYTES, RAM_BYTES = 0x1000_0000, 4 << 20, 520 << 10
    CLOCKS, RESETS, IO, PADS, XOSC = 0x4001_0000, 0x4002_0000, 0x4002_8000, 0x4003_8000, 0x4004_8000
    PLL_SYS, PLL_USB, UART, ADC, DMA = 0x4005_0000, 0x4005_8000, 0x4007_0000, 0x400A_0000, 0x5000_0000
    RESET_BIT: ClassVar = {ADC: 0, DMA: 2, IO: 6, PADS: 9, PLL_SYS: 14, PLL_USB: 15, UART: 26}
    CRYSTAL = 12_000_000

    def __init__(self, image: bytes, samples: Iterable[int]) -> None:
        super().__init__(image, samples)
        self.registers |= {self.RESETS: 0x1FFF_FFFF, self.PADS + 0x4: 0x116, self.PADS + 0x6C: 0x116}
        self.registers |= {self.PLL_SYS + 4: 0x2D, self.PLL_USB + 4: 0x2D, self.CLOCKS + 0x3C: 0x41}

    def _awake(self, address: int) -> None:
        bit = self.RESET_BIT.get(address & ~0x3FFF)
        assert bit is None or not self.get(self.RESETS) >> bit & 1, f"{address:#x} is still in reset"

    def _locked(self, pll: int) -> bool:
        return bool(self._stable() and self.get(pll + 8) and not self.get(pll + 4) & 0x21)

    def _stable(self) -> bool:
        return self.get(self.XOSC) == 0xFAB << 12 | 0xAA0

    def pll_hertz(self, pll: int) -> float:
        assert self._locked(pll)
        assert not self.get(pll + 4) & 8, "the divider of the PLL is off"
        divide = self.get(pll + 0xC)
        oscillator = self.CRYSTAL / self.get(pll) * self.get(pll + 8)
        assert 750e6 <= oscillator <= 1600e6
        return oscillator / (divide >> 16 & 7) / (divide >> 12 & 7)

    def core_hertz(self) -> float:
        assert self.get(self.CLOCKS + 0x3C) & 0xE1 == 1, "the core does not run from PLL_SYS"
        return self.pll_hertz(self.PLL_SYS)

    def baud(self) -> float:
        assert self.get(self.CLOCKS + 0x48) & 0x8E0 == 0x880, "the peripheral clock is not the crystal"
        return self.CRYSTAL / 16 / (self.get(self.UART + 0x24) + self.get(self.UART + 0x28) / 64)

    def sample_rate(self) -> float:
        assert self.get(self.CLOCKS + 0x6C) & 0x8E0 == 0x800, "the ADC's clock is not PLL_USB"
        assert abs(self.pll_hertz(self.PLL_USB) - 48e6) < 1
        return 48e6 / (1 + self.get(self.ADC + 0x10) / 256)

    def read(self, address: int) -> int:
        self._awake(address)
        if address == self.RESETS + 8:
            return ~self.get(self.RESETS) & 0x1FFF_FFFF
        if address == self.XOSC + 4:
            return self._stable() << 31
        if address in (self.PLL_SYS, self.PLL_USB):
            return self._locked(address) << 31 | self.get(address)
        if address == self.CLOCKS + 0x38:
            return 1 << (self.get(self.CLOCKS + 0x30) & 3)
        if address == self.CLOCKS + 0x44:
            return 1 << (self.get(self.CLOCKS + 0x3C) & 1)
        if address == self.ADC:
            return self.get(address) | (self.get(address) & 1) << 8
        if address == self.DMA + 4:
            self._convert()
        return self.get(address)

    def write(self, address: int, value: int) -> None:
        plain, how = address & ~0x3000, address >> 12 & 3
        self._awake(plain)
        before = self.get(plain)
        self.registers[plain] = (value, before ^ value, before | value, before & ~value)[how]
        if plain == self.UART:
            assert self.get(self.UART + 0x30) & 0x101 == 0x101, "the transmitter is off"
            assert self.get(self.UART + 0x2C) & 0x60 == 0x60, "not 8 bits"
            assert self.get(self.IO + 4) & 31 == 2, "GP0 is not UART0's"
            assert not self.get(self.PADS + 4) & 0x180, "GP0 is isolated or off"
            self.text += chr(value & 0xFF)

    def _convert(self) -> None:
        control, count = self.get(self.DMA + 0xC), self.get(self.DMA + 8)
        assert self.get(self.DMA) == self.ADC + 0xC, "the DMA does not read the ADC's FIFO"
        assert count >> 28 == 0xF, "the DMA ends"
        assert control & 1, "the DMA is off"
        assert control >> 17 & 63 == 48, "the ADC does not pace the DMA"
        assert control >> 2 & 3 == 1, "not 16 bits"
        assert control & 0x1050 == 0x1040, "it is the written address that must grow and wrap"
        assert self.get(self.ADC) & 0xF00D == 0x9, "the ADC does not run on channel 0"
        assert self.get(self.ADC + 8) & 9 == 9, "the ADC does not ask for the DMA"
        assert self.get(self.PADS + 0x6C) & 0x1CC == 0x80, "GP26 is not analogue"
        wrap = 1 << (control >> 8 & 15)
        at = self.get(self.DMA + 4)
        self.arrive(at)
        self.registers[self.DMA + 4] = at // wrap * wrap + (at + 2) % wrap


class NucleoL4R5(Board):
    """STM32L4R5: RCC, PWR, flash, GPIO, LPUART1, TIM6, ADC1, DMA1 channel 1 and its multiplexer."""

    TIM6, PWR, LPUART, DMA, DMAMUX = 0x4000_1000, 0x4000_7000, 0x4000_8000, 0x4002_0000, 0x4002_0800
    RCC, FLASH_REGISTERS, GPIOA, GPIOG, ADC = 0x4002_1000, 0x4002_2000, 0x4800_0000, 0x4800_1800, 0x5004_0000
    ENABLED_BY: ClassVar = {
        TIM6: (0x58, 4), PWR: (0x58, 28), LPUART: (0x5C, 0), DMA: (0x48, 0), DMAMUX: (0x48, 2),
        GPIOA: (0x4C, 0), GPIOG: (0x4C, 6), ADC: (0x4C, 13),
    }  # fmt: skip
    HSI = 16_000_000

    def __init__(self, image: bytes, samples: Iterable[int]) -> None:
        super().__init__(image, samples)
        self.registers |= {self.RCC: 0x63, self.PWR: 0x200, self.PWR + 0x80: 0x100, self.ADC + 8: 1 << 29}
        self.registers |= {self.GPIOA: 0xABFF_FFFF, self.GPIOG: 0xFFFF_FFFF}
        self._length = 0

    def _awake(self, address: int) -> None:
        for base, (register, bit) in self.ENABLED_BY.items():
            if 0 <= address - base < 0x400:
                assert self.get(self.RCC + register) >> bit & 1, f"{address:#x} has no clock"

    def core_hertz(self) -> float:
        setting = self.get(self.RCC + 0xC)
        assert setting & 3 == 2, "the PLL's source is not HSI16"
        assert setting >> 24 & 1, "the PLL's output R is off"
        into = self.HSI / (1 + (setting >> 4 & 15))
        assert 2.66e6 <= into <= 16e6
        oscillator = into * (setting >> 8 & 127)
        assert 64e6 <= oscillator <= 344e6
        prescaler = self.get(self.RCC + 8) >> 4 & 15
        return oscillator / (2 + 2 * (setting >> 25 & 3)) / (1 if prescaler < 8 else 2 << (prescaler - 8))

    def baud(self) -> float:
        assert self.get(self.RCC + 0x88) >> 10 & 3 == 2, "LPUART1 does not run from HSI16"
        return 256 * self.HSI / self.get(self.LPUART + 0xC)

    def sample_rate(self) -> float:
        return self.core_hertz() / (1 + self.get(self.TIM6 + 0x28)) / (1 + self.get(self.TIM6 + 0x2C))

    def read(self, address: int) -> int:
        self._awake(address)
        value = self.get(address)
        if address == self.RCC:
            value |= (value >> 8 & 1) << 10 | (value >> 24 & 1 & value >> 8) << 25
        if address == self.RCC + 8:
            value |= (value & 3) << 2
        if address == self.LPUART + 0x1C:
            return 1 << 7
        if address == self.DMA + 0xC:
            self._convert()
            value = self.get(address)
        return value

    def write(self, address: int, value: int) -> None:
        self._awake(address)
        if address == self.RCC + 8 and value & 3 == 3:
            assert self.get(self.RCC) >> 24 & 1, "the PLL is off"
            assert not self.get(self.PWR + 0x80) >> 8 & 1, "not in boost mode"
            assert self.get(self.FLASH_REGISTERS) & 15 >= 5, "too few wait states"
        if address == self.ADC + 8:
            assert not value >> 29 & 1, "in deep power-down"
            if value >> 31 & 1:
                assert self.get(address) >> 28 & 1, "calibrated without its regulator"
                value &= ~(1 << 31)
            if value & 1:
                self.registers[self.ADC] = 1
        elif address == self.ADC:
            value = self.get(address) & ~value
        if address == self.DMA + 0xC:
            self._length = value
        self.registers[address] = value
        if address == self.LPUART + 0x28:
            assert self.get(self.LPUART) & 9 == 9, "the transmitter is off"
            assert self.get(self.PWR + 4) >> 9 & 1, "port G has no supply"
            assert self.get(self.GPIOG) >> 14 & 3 == 2, "PG7 has no alternate function"
            assert self.get(self.GPIOG + 0x20) >> 28 == 8, "PG7 is not LPUART1's"
            self.text += chr(value & 0xFF)

    def _convert(self) -> None:
        control, convert = self.get(self.DMA + 8), self.get(self.ADC + 0xC)
        assert control & 1, "the DMA is off"
        assert control & 0xFF0 == 0x5A0, "not 16 bits from one place to many, round and round"
        assert self.get(self.DMA + 0x10) == self.ADC + 0x40, "the DMA does not read the ADC"
        assert self.get(self.DMAMUX) == 5, "the ADC does not pace the DMA"
        assert convert & 3 == 3, "the ADC does not ask for the DMA for ever"
        assert convert >> 10 & 3 == 1, "no trigger"
        assert convert >> 6 & 15 == 13, "the trigger is not TIM6"
        assert not convert >> 13 & 1, "it converts without a trigger"
        assert self.get(self.ADC + 0x30) == 8 << 6, "not channel 8 alone"
        assert self.get(self.ADC + 8) & 5 == 5, "the ADC does not run"
        assert self.get(self.TIM6) & 1, "the timer stands"
        assert self.get(self.TIM6 + 4) >> 4 & 7 == 2, "the timer does not trigger"
        assert self.get(self.GPIOA) >> 6 & 3 == 3, "PA3 is not analogue"
        left = self.get(self.DMA + 0xC)
        self.arrive(self.get(self.DMA + 0x14) + 2 * (self._length - left))
        self.registers[self.DMA + 0xC] = left - 1 or self._length
