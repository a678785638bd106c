/* A plugin of QEMU's user mode (7.2, API version 1) that counts guest instructions, by slot and kind.

Each thread counts into the slot that it has entered last; 0 until then. A guest enters one by
isatty(-1000000 - slot), which is an ioctl on a file that cannot be; isatty(-2000000) writes what all
threads have counted since the process began to the file named by the process's number in the folder
of the argument `folder`: a line `slot entries total multiply-adds other-SIMD memory branches` for
each slot in use, then `end`. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of qemu/qemu-plugin.h, which Debian does not package. */
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_t)(unsigned, void *);
typedef void (*syscall_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                          uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_t, int, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { TOTAL, MULTIPLY_ADD, SIMD, MEMORY, BRANCH, KINDS, SLOTS = 65536, IOCTL = 29 };
enum { FIRST = 1000000, DUMP = 2000000 };

struct slot { uint64_t entries, counts[KINDS]; };
struct thread { struct thread *next; struct slot slots[SLOTS]; };

static struct thread *threads;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread struct thread *mine;
static __thread struct slot *now;
static const char *folder = ".";

static void begin(void) {
    mine = calloc(1, sizeof *mine); /* pages that no slot uses are never touched */
    if (!mine) abort();
    now = mine->slots;
    pthread_mutex_lock(&lock);
    mine->next = threads;
    threads = mine;
    pthread_mutex_unlock(&lock);
}

static void executed(unsigned vcpu, void *data) {
    const uint64_t *counts = data;
    if (!now) begin();
    for (int kind = 0; kind < KINDS; kind++) now->counts[kind] += counts[kind];
}

static int kind_of(uint32_t w) {
    if ((w & 0xBFA0FC00) == 0x0E20CC00 || (w & 0xBF80F400) == 0x0F801000 || /* FMLA, single, double */
        (w & 0xBFE0FC00) == 0x0E400C00 || (w & 0xBFC0F400) == 0x0F001000 || /* FMLA, half */
        (w & 0x9F20FC00) == 0x0E009400 || (w & 0x9F00F400) == 0x0F00E000 || /* SDOT, UDOT */
        (w & 0x9F20FC00) == 0x0E208000 || (w & 0x9F00F400) == 0x0F002000)   /* SMLAL, UMLAL */
        return MULTIPLY_ADD;
    if ((w & 0x0A000000) == 0x08000000) return MEMORY; /* of vectors as well */
    if ((w & 0x0E000000) == 0x0E000000) return SIMD;
    if ((w & 0x1C000000) == 0x14000000) return BRANCH;
    return TOTAL;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    uint64_t *counts = calloc(KINDS, sizeof *counts);
    if (!counts) abort();
    counts[TOTAL] = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < counts[TOTAL]; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        int kind = kind_of(word);
        if (kind != TOTAL) counts[kind]++;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, counts);
}

static void dump(void) {
    char name[512];
    snprintf(name, sizeof name, "%s/%d", folder, (int)getpid());
    FILE *file = fopen(name, "a");
    if (!file) return;
    pthread_mutex_lock(&lock);
    for (int slot = 0; slot < SLOTS; slot++) {
        struct slot sum = {0};
        for (struct thread *each = threads; each; each = each->next) {
            sum.entries += each->slots[slot].entries;
            for (int kind = 0; kind < KINDS; kind++)
                sum.counts[kind] += each->slots[slot].counts[kind];
        }
        if (!sum.counts[TOTAL]) continue;
        fprintf(file, "%d %lu", slot, sum.entries);
        for (int kind = 0; kind < KINDS; kind++) fprintf(file, " %lu", sum.counts[kind]);
        fputc('\n', file);
    }
    pthread_mutex_unlock(&lock);
    fputs("end\n", file);
    fclose(file);
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t fd, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    int64_t code = -(int64_t)(int32_t)fd;
    if (number != IOCTL || code < FIRST) return;
    if (code == DUMP) {
        dump();
    } else if (code < FIRST + SLOTS) {
        if (!mine) begin();
        now = &mine->slots[code - FIRST];
        now->entries++;
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments) {
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "folder=", 7)) folder = strdup(arguments[i] + 7);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
