/* Floor 2: where Python frames live: the pool of first chunks, the cache of 16 KiB blocks. See datastack.h. */
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "datastack.h"

#include "check.h"

/* 32 chunks; what is not cut yet is not touched, so a thread with few greenlets pays for those alone. */
#define SLAB ((size_t)32 * DATASTACK_ROOT)
/* The interpreter's chunk size (DATA_STACK_CHUNK_SIZE). Other sizes are its object arenas. */
#define BLOCK ((size_t)16384)
/* 2 MiB at most, for the whole process. */
#define KEPT_MAX 128u

struct datastack_slab {
    struct datastack_slab *next;
    void *pad; /* keeps the chunks 16-byte aligned */
};

_PyStackChunk *
datastack_take_slow(struct datastack_pool *pool)
{
    if (pool->next == pool->end) {
        struct datastack_slab *slab = check_alloc_fails() ? NULL : malloc(sizeof *slab + SLAB);
        if (slab == NULL)
            return NULL;
        slab->next = pool->slabs;
        pool->slabs = slab;
        pool->next = (char *)(slab + 1);
        pool->end = pool->next + SLAB;
    }
    _PyStackChunk *chunk = (_PyStackChunk *)pool->next;
    pool->next += DATASTACK_ROOT;
    pool->out++;
    chunk->previous = NULL;
    chunk->size = DATASTACK_ROOT;
    chunk->top = 0;
    return chunk;
}

void
datastack_fini(struct datastack_pool *pool)
{
    if (pool->out == 0) {
        struct datastack_slab *slab = pool->slabs;
        while (slab != NULL) {
            struct datastack_slab *next = slab->next;
            free(slab);
            slab = next;
        }
    }
    *pool = (struct datastack_pool){0};
}

/* Process-wide, like the allocator it stands before. The GIL is held at each call, but interpreters with a GIL of
 * their own (3.12) come here too, hence the lock; who does not get it goes straight to the system. */
static struct {
    atomic_flag busy;
    PyObjectArenaAllocator next;
    void *kept[KEPT_MAX];
    struct datastack_cache_stats stats;
} cache = {.busy = ATOMIC_FLAG_INIT};

static bool
try_lock(void)
{
    return !atomic_flag_test_and_set_explicit(&cache.busy, memory_order_acquire);
}

static void
unlock(void)
{
    atomic_flag_clear_explicit(&cache.busy, memory_order_release);
}

static void *
cached_alloc(void *Py_UNUSED(ctx), size_t size)
{
    if (size == BLOCK && try_lock()) {
        void *block = NULL;
        if (cache.stats.kept > 0) {
            block = cache.kept[--cache.stats.kept];
            cache.stats.hits++;
        }
        else
            cache.stats.misses++;
        unlock();
        if (block != NULL)
            return block;
    }
    return cache.next.alloc(cache.next.ctx, size);
}

static void
cached_free(void *Py_UNUSED(ctx), void *block, size_t size)
{
    if (size == BLOCK && try_lock()) {
        bool kept = cache.stats.kept < KEPT_MAX;
        if (kept)
            cache.kept[cache.stats.kept++] = block;
        unlock();
        if (kept)
            return;
    }
    cache.next.free(cache.next.ctx, block, size);
}

void
datastack_cache_install(void)
{
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    if (now.alloc == cached_alloc)
        return;
    cache.next = now;
    PyObjectArenaAllocator ours = {NULL, cached_alloc, cached_free};
    PyObject_SetArenaAllocator(&ours);
}

struct datastack_cache_stats
datastack_cache_stats(void)
{
    return cache.stats;
}
