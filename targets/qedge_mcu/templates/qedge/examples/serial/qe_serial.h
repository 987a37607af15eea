/* The protocol by which "qedge verify --port" and "qedge bench --port" run @name@ on this board.
 *
 * A frame is 0xA5 0x5A, type, number, length (2 bytes), payload, CRC-32 of all from type on (4 bytes); numbers are
 * little-endian. The host asks, the board answers with the same type and number; a frame that arrives damaged is
 * dropped, and the host asks again. A question that comes twice with the same number runs nothing twice.
 *
 * Include this file once, behind the functions that it calls:
 *   int qe_serial_get(void);               the next byte, waiting for it; negative: none, begin a new frame
 *   void qe_serial_put(uint8_t byte);
 *   uint32_t qe_serial_cycles(void);       a counter that runs upwards, or 0; here for many cores, see below
 */
#ifndef @NAME@_QE_SERIAL_H
#define @NAME@_QE_SERIAL_H

#include <stdint.h>
#include <string.h>

#include "@name@.h"

#ifdef @NAME@_EXTERNAL_ARENA
#error "the host reads and writes inside the context: compile this example without @NAME@_EXTERNAL_ARENA"
#endif
#ifdef @NAME@_EXTERNAL_INPUT
#error "the host writes the input inside the context: compile this example without @NAME@_EXTERNAL_INPUT"
#endif
#ifndef QE_SERIAL_HZ
#define QE_SERIAL_HZ 0u /* of qe_serial_cycles, 0: not known */
#endif
#ifndef QE_SERIAL_CHUNK
#define QE_SERIAL_CHUNK 256u /* most bytes of a payload, a multiple of 4 of at least 64 */
#endif
#define QE_SERIAL_VERSION 1u

enum {
    QE_SERIAL_INFO = 'I',    /* -> version, flags, chunk (2), context bytes (4), Hz (4), 16 digits of the model's SHA-256, name */
    QE_SERIAL_INIT = 'Z',    /* -> status (4) */
    QE_SERIAL_WRITE = 'W',   /* offset (4), bytes -> nothing */
    QE_SERIAL_READ = 'G',    /* offset (4), count (2) -> bytes */
    QE_SERIAL_RUN = 'R',     /* -> status (4), cycles (4) */
    QE_SERIAL_TRACE = 'T',   /* {step (4), offset (4), count (4)}... -> status (4), CRC-32 behind its step (4) of each */
    QE_SERIAL_PROFILE = 'P', /* first step (4) -> status (4), cycles (4) of that step and the next ones */
    QE_SERIAL_ERROR = 'E'    /* <- a question that is not understood, or asks for bytes outside the context */
};
enum { QE_SERIAL_HAS_STEPS = 1, QE_SERIAL_HAS_CYCLES = 2 };

/* The counters of common cores; define QE_SERIAL_OWN_CYCLES where you bring the function. */
#ifndef QE_SERIAL_OWN_CYCLES
#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
/* The DWT's; nothing where the chip has none. */
static inline uint32_t qe_serial_cycles(void)
{
    static int on;
    if (!on) {
        on = 1;
        *(volatile uint32_t *)0xE000EDFCu |= 1u << 24; /* DEMCR: trace on */
        *(volatile uint32_t *)0xE0001FB0u = 0xC5ACCE55u; /* the lock of some Cortex-M7 */
        *(volatile uint32_t *)0xE0001000u |= 1u;       /* CYCCNT on */
    }
    return *(volatile uint32_t *)0xE0001004u;
}
#elif defined(__riscv) && !defined(ESP_PLATFORM)
static inline uint32_t qe_serial_cycles(void)
{
    unsigned long count;
    /* csrr count, mcycle; spelled so that an assembler without Zicsr takes it */
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1280" : "=r"(count));
    return (uint32_t)count;
}
#else
static inline uint32_t qe_serial_cycles(void)
{
    return 0;
}
#endif
#endif

static struct {
    uint8_t question[QE_SERIAL_CHUNK], answer[QE_SERIAL_CHUNK];
    uint32_t asked, answered; /* bytes */
    uint8_t type, number, answer_type, answer_number;
    uint8_t observed; /* type of the run that is observed, or 0 */
    uint32_t cycles;
} qe_serial;

static inline uint32_t qe_serial_crc(uint32_t crc, const uint8_t *data, uint32_t count)
{
    /* CRC-32 of IEEE 802.3, four bits at a time. */
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc = ~crc;
    for (uint32_t i = 0; i < count; ++i) {
        crc ^= data[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

static inline uint32_t qe_serial_u32(const uint8_t *data)
{
    return (uint32_t)data[0] | ((uint32_t)data[1] << 8) | ((uint32_t)data[2] << 16) | ((uint32_t)data[3] << 24);
}

static inline void qe_serial_add(uint32_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; ++i) {
        qe_serial.answer[qe_serial.answered++] = (uint8_t)(value >> (8u * i));
    }
}

static inline void qe_serial_send(void)
{
    const uint8_t head[6] = {
        0xA5u, 0x5Au, qe_serial.answer_type, qe_serial.answer_number,
        (uint8_t)qe_serial.answered, (uint8_t)(qe_serial.answered >> 8),
    };
    const uint32_t crc = qe_serial_crc(qe_serial_crc(0, head + 2, 4), qe_serial.answer, qe_serial.answered);
    for (uint32_t i = 0; i < 6u; ++i) {
        qe_serial_put(head[i]);
    }
    for (uint32_t i = 0; i < qe_serial.answered; ++i) {
        qe_serial_put(qe_serial.answer[i]);
    }
    for (uint32_t i = 0; i < 4u; ++i) {
        qe_serial_put((uint8_t)(crc >> (8u * i)));
    }
}

/* Wait for a whole frame; return 0 where the one that came is damaged, or the line is silent. */
static inline int qe_serial_receive(void)
{
    uint8_t head[4], tail[4];
    int byte = qe_serial_get(), before = 0;
    while (byte >= 0 && !(before == 0xA5 && byte == 0x5A)) {
        before = byte;
        byte = qe_serial_get();
    }
    for (uint32_t i = 0; i < 4u; ++i) {
        byte = byte < 0 ? byte : qe_serial_get();
        head[i] = (uint8_t)byte;
    }
    qe_serial.asked = (uint32_t)head[2] | ((uint32_t)head[3] << 8);
    if (byte < 0 || qe_serial.asked > QE_SERIAL_CHUNK) {
        return 0;
    }
    for (uint32_t i = 0; i < qe_serial.asked; ++i) {
        byte = byte < 0 ? byte : qe_serial_get();
        qe_serial.question[i] = (uint8_t)byte;
    }
    for (uint32_t i = 0; i < 4u; ++i) {
        byte = byte < 0 ? byte : qe_serial_get();
        tail[i] = (uint8_t)byte;
    }
    qe_serial.type = head[0];
    qe_serial.number = head[1];
    return byte >= 0
        && qe_serial_crc(qe_serial_crc(0, head, 4), qe_serial.question, qe_serial.asked) == qe_serial_u32(tail);
}

static inline int qe_serial_inside(uint32_t offset, uint32_t count)
{
    return offset <= sizeof(@name@_context) && count <= sizeof(@name@_context) - offset;
}

#ifdef QE_OBSERVER
/* What the library calls after each step, when it is compiled with -DQE_OBSERVER=qe_serial_step. */
#ifdef __cplusplus
extern "C"
#endif
void qe_serial_step(void *context, int index);
void qe_serial_step(void *context, int index)
{
    const uint32_t now = qe_serial_cycles();
    if (qe_serial.observed == QE_SERIAL_TRACE) {
        for (uint32_t i = 0; i < qe_serial.asked / 12u; ++i) {
            const uint8_t *entry = qe_serial.question + 12u * i;
            if (qe_serial_u32(entry) == (uint32_t)index) {
                const uint8_t *data = (const uint8_t *)context + qe_serial_u32(entry + 4);
                const uint32_t crc = qe_serial_crc(0, data, qe_serial_u32(entry + 8));
                for (uint32_t k = 0; k < 4u; ++k) {
                    qe_serial.answer[4u + 4u * i + k] = (uint8_t)(crc >> (8u * k));
                }
            }
        }
    } else if (qe_serial.observed == QE_SERIAL_PROFILE) {
        if ((uint32_t)index >= qe_serial_u32(qe_serial.question) && qe_serial.answered + 4u <= QE_SERIAL_CHUNK) {
            qe_serial_add(now - qe_serial.cycles, 4);
        }
    }
    qe_serial.cycles = qe_serial_cycles();
}
#endif

static inline void qe_serial_run(@name@_context *context)
{
    qe_serial.observed = qe_serial.type;
    qe_serial.cycles = qe_serial_cycles();
    const uint32_t start = qe_serial.cycles;
    const int status = @name@_run(context);
    const uint32_t cycles = qe_serial_cycles() - start;
    const uint32_t answered = qe_serial.answered;
    qe_serial.observed = 0;
    qe_serial.answered = 0;
    qe_serial_add((uint32_t)status, 4);
    qe_serial.answered = answered;
    if (qe_serial.type == QE_SERIAL_RUN) {
        qe_serial_add(cycles, 4);
    }
}

/* Fill the answer; the type says what the question was, or QE_SERIAL_ERROR. */
static inline void qe_serial_answer(@name@_context *context)
{
    static const char hash[] = @NAME@_MODEL_SHA256, name[] = "@name@";
    const uint8_t *q = qe_serial.question;
    uint8_t *const memory = (uint8_t *)context;
    const uint32_t asked = qe_serial.asked;
    const uint32_t offset = asked >= 4u ? qe_serial_u32(q) : 0;
    uint32_t flags = 0;
    int understood = 0;
    qe_serial.answer_type = qe_serial.type;
    qe_serial.answer_number = qe_serial.number;
    qe_serial.answered = 0;
#ifdef QE_OBSERVER
    flags |= (uint32_t)QE_SERIAL_HAS_STEPS;
#endif
    switch (qe_serial.type) {
    case QE_SERIAL_INFO:
        understood = 1;
        for (uint32_t i = 0, first = qe_serial_cycles(); i < 10000u; ++i) {
            flags |= qe_serial_cycles() != first ? (uint32_t)QE_SERIAL_HAS_CYCLES : 0u;
        }
        qe_serial_add(QE_SERIAL_VERSION, 1);
        qe_serial_add(flags, 1);
        qe_serial_add(QE_SERIAL_CHUNK, 2);
        qe_serial_add((uint32_t)sizeof(@name@_context), 4);
        qe_serial_add((uint32_t)QE_SERIAL_HZ, 4);
        memcpy(qe_serial.answer + qe_serial.answered, hash, 16);
        qe_serial.answered += 16u;
        for (uint32_t i = 0; i + 1u < sizeof name && qe_serial.answered < QE_SERIAL_CHUNK; ++i) {
            qe_serial_add((uint8_t)name[i], 1);
        }
        break;
    case QE_SERIAL_INIT:
        understood = 1;
        qe_serial_add((uint32_t)@name@_init(context), 4);
        break;
    case QE_SERIAL_WRITE:
        understood = asked >= 4u && qe_serial_inside(offset, asked - 4u);
        if (understood) {
            memcpy(memory + offset, q + 4, asked - 4u);
        }
        break;
    case QE_SERIAL_READ:
        if (asked == 6u) {
            const uint32_t count = (uint32_t)q[4] | ((uint32_t)q[5] << 8);
            understood = count <= QE_SERIAL_CHUNK && qe_serial_inside(offset, count);
            if (understood) {
                memcpy(qe_serial.answer, memory + offset, count);
                qe_serial.answered = count;
            }
        }
        break;
    case QE_SERIAL_RUN:
        understood = 1;
        qe_serial.answered = 4;
        qe_serial_run(context);
        break;
#ifdef QE_OBSERVER
    case QE_SERIAL_TRACE:
        understood = asked % 12u == 0u;
        for (uint32_t i = 0; i < asked / 12u; ++i) {
            understood = understood && qe_serial_inside(qe_serial_u32(q + 12u * i + 4u), qe_serial_u32(q + 12u * i + 8u));
        }
        if (understood) {
            memset(qe_serial.answer, 0, QE_SERIAL_CHUNK);
            qe_serial.answered = 4u + asked / 12u * 4u;
            qe_serial_run(context);
        }
        break;
    case QE_SERIAL_PROFILE:
        understood = asked == 4u;
        if (understood) {
            qe_serial.answered = 4;
            qe_serial_run(context);
        }
        break;
#endif
    default:
        break;
    }
    if (!understood) {
        qe_serial.answer_type = QE_SERIAL_ERROR;
        qe_serial.answered = 0;
    }
}

/* Take one frame and answer it; call it for ever. */
static inline void qe_serial_poll(@name@_context *context)
{
    if (qe_serial_receive()) {
        /* An answer that got lost is sent again; its question is not run again. */
        const int again = qe_serial.answer_type != 0 && qe_serial.number == qe_serial.answer_number
            && (qe_serial.answer_type == qe_serial.type || qe_serial.answer_type == QE_SERIAL_ERROR);
        if (!again || qe_serial.type == QE_SERIAL_INFO) {
            qe_serial_answer(context);
        }
        qe_serial_send();
    }
}

#endif
