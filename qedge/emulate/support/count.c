/* QEMU plug-in (API version 1): counts every instruction whose execution starts.
 *
 * Arguments: marker=ADDRESS, out=PATH. Each time the instruction at the marker runs, the count since the last
 * time is appended to the file as a line; the marker itself does not count. Loops that MVE closes with LE count
 * once an iteration. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned int, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, qemu_plugin_vcpu_tb_trans_cb_t);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, qemu_plugin_vcpu_udata_cb_t, int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

int qemu_plugin_version = 1;
static uint64_t count, marker;
static const char *path;

static void report(unsigned int cpu, void *data) {
  (void)cpu;
  (void)data;
  FILE *file = fopen(path, "a");
  if (file != NULL) {
    fprintf(file, "%llu\n", (unsigned long long)count);
    fclose(file);
  }
  count = 0;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    if (qemu_plugin_insn_vaddr(instruction) == marker) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, report, 0, NULL);
    } else {
      qemu_plugin_register_vcpu_insn_exec_inline(instruction, 0, &count, 1);
    }
  }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "marker=", 7) == 0) marker = strtoull(argv[i] + 7, NULL, 0);
    if (strncmp(argv[i], "out=", 4) == 0) path = strdup(argv[i] + 4);
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  return 0;
}
