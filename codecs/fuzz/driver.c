/* Runs a fuzz target without libFuzzer: every seed, every truncation of the smallest, then random mutations.
 *
 *     shard -runs=20000 FOLDER_OR_FILE...
 *
 * Deterministic: the same seeds give the same inputs. The input that was running when a sanitizer stopped the program
 * is in crash.bin of the working directory. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

typedef struct {
    uint8_t *data;
    size_t size;
} input;

enum { MOST_SEEDS = 256, MOST_BYTES = 1 << 20 };
static input seeds[MOST_SEEDS];
static size_t seed_count;
static const uint8_t *running;
static size_t running_size;
static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t draw(uint32_t below) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 33) % below;
}

static void keep_crash(void) {
    FILE *file = fopen("crash.bin", "wb");
    if (!file) return;
    fwrite(running, 1, running_size, file);
    fclose(file);
    fprintf(stderr, "the input is in crash.bin (%zu bytes)\n", running_size);
}

static void run(const uint8_t *data, size_t size) {
    running = data;
    running_size = size;
    LLVMFuzzerTestOneInput(data, size);
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || seed_count == MOST_SEEDS) {
        fprintf(stderr, "%s: cannot be read, or more than %d seeds\n", path, MOST_SEEDS);
        exit(2);
    }
    uint8_t *data = malloc(MOST_BYTES);
    if (!data) exit(2);
    size_t size = fread(data, 1, MOST_BYTES, file);
    fclose(file);
    seeds[seed_count++] = (input){data, size};
}

static int by_size(const void *a, const void *b) {
    size_t x = ((const input *)a)->size, y = ((const input *)b)->size;
    if (x != y) return x < y ? -1 : 1;
    return memcmp(((const input *)a)->data, ((const input *)b)->data, x);
}

static void load_all(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        load(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.') continue;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name) load(name);
    }
    closedir(folder);
}

static size_t mutate(uint8_t *data, size_t size) {
    for (uint32_t edits = 1u + draw(4); edits > 0 && size > 0; edits--) {
        /* Half of the edits hit the head, where a byte means most. */
        size_t at = draw(2) ? draw((uint32_t)size) : draw(size < 96 ? (uint32_t)size : 96u);
        switch (draw(5)) {
        case 0:
            data[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 1:
            data[at] = (uint8_t)draw(256);
            break;
        case 2:
            data[at] = (uint8_t)(draw(2) ? 0xff : 0x00);
            break;
        case 3:
            size = at;
            break; /* truncate */
        default: { /* copy a run from elsewhere */
            size_t from = draw((uint32_t)size), most = size - (at > from ? at : from);
            memmove(data + at, data + from, draw((uint32_t)most + 1u));
        }
        }
    }
    return size;
}

int main(int argc, char **argv) {
    unsigned long runs = 1000;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtoul(argv[i] + 6, NULL, 10);
        else
            load_all(argv[i]);
    }
    if (seed_count == 0) {
        fprintf(stderr, "no seeds: name a folder or files\n");
        return 2;
    }
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_crash);
    qsort(seeds, seed_count, sizeof *seeds, by_size); /* folders list in any order */
    for (size_t i = 0; i < seed_count; i++) run(seeds[i].data, seeds[i].size);
    for (size_t cut = 0; cut < seeds[0].size; cut++) run(seeds[0].data, cut);
    uint8_t *data = malloc(MOST_BYTES);
    if (!data) return 2;
    for (unsigned long i = 0; i < runs; i++) {
        const input *seed = &seeds[draw((uint32_t)seed_count)];
        memcpy(data, seed->data, seed->size);
        run(data, mutate(data, seed->size));
    }
    free(data);
    for (size_t i = 0; i < seed_count; i++) free(seeds[i].data);
    printf("%zu seeds, every prefix of the smallest, %lu mutations: no complaint\n", seed_count, runs);
    return 0;
}
