/* Stand-in for libedgetpu.so.1: the external-delegate entry points of TensorFlow Lite and nothing else.
 *
 * It claims the operators `edgetpu-custom-op` as the real one does. What they compute it asks of a helper process
 * (EDGETPU_DOUBLE_HELPER, see device.py), which runs the model that the stand-in compiler put into the package; so
 * the real load path of a runtime runs, and gives real results, without hardware.
 *
 *   cc -shared -fPIC -O1 -o libedgetpu.so.1 libedgetpu.c
 *
 * No TFLite header is needed: the structs below are the prefixes that tflite-runtime 2.5 to ai-edge-litert 2.3 share.
 *
 * Environment:
 *   EDGETPU_DOUBLE_DEVICES        devices that are plugged in: "usb" (default), "usb,pci", "" for none
 *   EDGETPU_DOUBLE_REFUSE         refuse to open, with this reason
 *   EDGETPU_DOUBLE_PREPARE_FAILS  refuse the model when it is prepared
 *   EDGETPU_DOUBLE_PREPARE_KILLS  die of a segmentation fault when the model is prepared
 *   EDGETPU_DOUBLE_FAIL_AT        file with a number: that many inferences from now, the device goes away;
 *                                 the file is then removed, so that it happens once
 *   EDGETPU_DOUBLE_FAIL_HOW       "error" (default), "abort" or "hang"
 *   EDGETPU_DOUBLE_LOG            append a line an event to this file
 *   EDGETPU_DOUBLE_RUNTIME        runtime version to report (default 14)
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int Status;
enum { kOk = 0, kError = 1 };

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Node Node;
typedef struct Registration Registration;
typedef struct Delegate Delegate;

typedef struct {
  int32_t type;
  void *data;
  IntArray *dims;
  float scale;
  int32_t zero_point;
  int32_t allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  Delegate *delegate;
  int buffer_handle;
  uint8_t data_is_stale, is_variable;
  int32_t quantization_type;
  void *quantization_params;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

struct Node {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data, *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
  Delegate *delegate;
};

struct Registration {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace_operator;
};

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  Status (*ResizeTensor)(Context *, Tensor *, IntArray *);
  void (*ReportError)(Context *, const char *, ...);
  Status (*AddTensors)(Context *, int, int *);
  Status (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *, Delegate *);
};

struct Delegate {
  void *data;
  Status (*Prepare)(Context *, Delegate *);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *opaque_builder;
  char device[16];
};

typedef struct { pid_t pid; int to, from; } Helper;
typedef struct { IntArray *nodes; int size; void *old_delegate; IntArray *inputs, *outputs; } DelegateParams;

static void say(const char *format, ...) {
  const char *path = getenv("EDGETPU_DOUBLE_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  va_list args;
  va_start(args, format);
  vfprintf(file, format, args);
  va_end(args);
  fputc('\n', file);
  fclose(file);
}

static int send_all(int to, const void *data, size_t size) {
  const char *at = data;
  while (size) {
    ssize_t n = write(to, at, size);
    if (n <= 0) return -1;
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

static int receive_all(int from, void *data, size_t size) {
  char *at = data;
  while (size) {
    ssize_t n = read(from, at, size);
    if (n <= 0) return -1;
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

static Helper *start_helper(const void *package, uint32_t size) {
  const char *command = getenv("EDGETPU_DOUBLE_HELPER");
  int down[2], up[2];
  if (!command || pipe(down) || pipe(up)) return NULL;
  Helper *helper = calloc(1, sizeof *helper);
  helper->pid = fork();
  if (helper->pid == 0) {
    dup2(down[0], 0);
    dup2(up[1], 1);
    for (int fd = 3; fd < 256; fd++) close(fd);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  close(down[0]);
  close(up[1]);
  helper->to = down[1];
  helper->from = up[0];
  if (send_all(helper->to, &size, sizeof size) || send_all(helper->to, package, size)) { free(helper); return NULL; }
  return helper;
}

static void kernel_free(Context *context, void *state) {
  (void)context;
  Helper *helper = state;
  if (!helper) return;
  close(helper->to);
  close(helper->from);
  waitpid(helper->pid, NULL, 0);
  free(helper);
}

static void *kernel_init(Context *context, const char *buffer, size_t length) {
  (void)context;
  (void)length;
  /* For a delegate kernel the buffer is a TfLiteDelegateParams; the package is in the node it replaces, which
   * delegate_prepare left in `pending`. */
  (void)buffer;
  extern const void *pending;
  extern int pending_size;
  return start_helper(pending, (uint32_t)pending_size);
}

const void *pending;
int pending_size;

static Status kernel_prepare(Context *context, Node *node) {
  (void)context;
  (void)node;
  return kOk;
}

/* Return 1 when this inference is the one that fails. */
static int fails_now(void) {
  const char *path = getenv("EDGETPU_DOUBLE_FAIL_AT");
  FILE *file = path ? fopen(path, "r+") : NULL;
  long left = 0;
  if (!file) return 0;
  if (fscanf(file, "%ld", &left) != 1) left = 0;
  rewind(file);
  fprintf(file, "%-8ld", left - 1);
  fclose(file);
  if (left > 0) return 0;
  unlink(path);
  return 1;
}

static Status kernel_invoke(Context *context, Node *node) {
  if (fails_now()) {
    const char *how = getenv("EDGETPU_DOUBLE_FAIL_HOW");
    say("fails: %s", how ? how : "error");
    if (how && !strcmp(how, "abort")) {
      fprintf(stderr, "F driver/usb/usb_driver.cc:857] transfer on tag 1 failed. Abort. (stand-in)\n");
      abort();
    }
    if (how && !strcmp(how, "hang")) for (;;) pause();
    context->ReportError(context, "USB transfer error 2 [LibUsbDataOutCallback] (stand-in)");
    return kError;
  }
  say("invoke");
  Helper *helper = node->user_data;
  if (!helper) { context->ReportError(context, "stand-in without a helper"); return kError; }
  for (int i = 0; i < node->inputs->size; i++) {
    Tensor *t = &context->tensors[node->inputs->data[i]];
    if (send_all(helper->to, t->data, t->bytes)) { context->ReportError(context, "helper is gone"); return kError; }
  }
  for (int i = 0; i < node->outputs->size; i++) {
    Tensor *t = &context->tensors[node->outputs->data[i]];
    if (receive_all(helper->from, t->data, t->bytes)) { context->ReportError(context, "helper is gone"); return kError; }
  }
  return kOk;
}

static Status delegate_prepare(Context *context, Delegate *delegate) {
  if (getenv("EDGETPU_DOUBLE_PREPARE_KILLS")) raise(SIGSEGV);
  if (getenv("EDGETPU_DOUBLE_PREPARE_FAILS")) {
    context->ReportError(context, "Internal: Unsupported data type in custom op handler: 0 (stand-in)");
    return kError;
  }
  IntArray *plan;
  if (context->GetExecutionPlan(context, &plan)) return kError;
  int found = 0, count = plan->size;
  int *mine = malloc(sizeof(int) * (size_t)(count + 1));
  for (int i = 0; i < count; i++) {
    Node *node;
    Registration *registration;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration)) return kError;
    if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
      mine[found++] = plan->data[i];
  }
  Status status = kOk;
  for (int i = 0; i < found && status == kOk; i++) {
    Node *node;
    Registration *registration;
    context->GetNodeAndRegistration(context, mine[i], &node, &registration);
    pending = node->custom_initial_data;
    pending_size = node->custom_initial_data_size;
    IntArray *one = malloc(sizeof(int) * 2);
    one->size = 1;
    one->data[0] = mine[i];
    Registration kernel;
    memset(&kernel, 0, sizeof kernel);
    kernel.init = kernel_init;
    kernel.free = kernel_free;
    kernel.prepare = kernel_prepare;
    kernel.invoke = kernel_invoke;
    kernel.custom_name = "EdgeTpuDelegateForCustomOp";
    kernel.version = 1;
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, one, delegate);
    free(one);
  }
  say("prepared %d of %d nodes on %s", found, count, delegate->device);
  free(mine);
  return status;
}

/* The grammar of libedgetpu: "", ":N", usb, usb:N, pci, pci:N. Anything else, or no such device: no delegate. */
static int find_device(const char *wanted, char *name, size_t size) {
  const char *plugged = getenv("EDGETPU_DOUBLE_DEVICES");
  const char *colon = strchr(wanted, ':');
  size_t length = colon ? (size_t)(colon - wanted) : strlen(wanted);
  char kind[4] = "", list[128];
  long index = -1;
  if (length > 3) return 0;
  memcpy(kind, wanted, length);
  if (kind[0] && strcmp(kind, "usb") && strcmp(kind, "pci")) return 0;
  if (colon) {
    char *end;
    index = strtol(colon + 1, &end, 10);
    if (*end || end == colon + 1 || index < 0) return 0;
  }
  snprintf(list, sizeof list, "%s", plugged ? plugged : "usb");
  long i = 0;
  for (char *item = strtok(list, ","); item; item = strtok(NULL, ","))
    if (!kind[0] || !strcmp(kind, item)) {
      if (index < 0 || i == index) { snprintf(name, size, "%s:%ld", item, i); return 1; }
      i++;
    }
  return 0;
}

EXPORT Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  const char *wanted = "", *refusal = getenv("EDGETPU_DOUBLE_REFUSE");
  /* Python declares the count as a C int, so its upper half is undefined. */
  for (int i = 0; i < (int)count; i++) {
    say("option %s=%s", keys[i], values[i]);
    if (!strcmp(keys[i], "device")) wanted = values[i];
  }
  if (refusal) {
    if (report) report(refusal);
    return NULL;
  }
  Delegate *delegate = calloc(1, sizeof *delegate);
  if (!find_device(wanted, delegate->device, sizeof delegate->device)) {
    say("no device '%s'", wanted);
    free(delegate);
    return NULL;
  }
  signal(SIGPIPE, SIG_IGN);
  delegate->Prepare = delegate_prepare;
  delegate->flags = 1; /* kTfLiteDelegateFlagsAllowDynamicTensors */
  say("opened %s", delegate->device);
  return delegate;
}

EXPORT void tflite_plugin_destroy_delegate(Delegate *delegate) {
  if (delegate) say("closed %s", delegate->device);
  free(delegate);
}

EXPORT const char *edgetpu_version(void) {
  static char label[64];
  const char *runtime = getenv("EDGETPU_DOUBLE_RUNTIME");
  snprintf(label, sizeof label, "BuildLabel(stand-in), RuntimeVersion(%s)", runtime ? runtime : "14");
  return label;
}
