/* Floor 2: where Python frames live: small first chunks for greenlets, and a cache for the interpreter's own.
 *
 * CPython (3.11 and later) keeps the frames of pure Python calls in chunks of 16 KiB, one chain per thread state, each mapped
 * and unmapped by itself. A greenlet needs a chain of its own. Taking its first chunk from mmap is the dearest
 * part of a short greenlet's life (about 8 us of 8.5), so two cures, which only work together:
 *
 *   - the first chunk is small, from a pool of the thread. Most greenlets never need a second one;
 *   - freed 16 KiB blocks are kept (public PyObject_SetArenaAllocator). Without that, a loop at the very end of
 *     the small chunk would map and unmap a 16 KiB chunk at every call: 14 us instead of 45 ns. */
#ifndef COROLIB_SWITCH_DATASTACK_H
#define COROLIB_SWITCH_DATASTACK_H

#include <Python.h>

#define DATASTACK_HIDDEN __attribute__((visibility("hidden")))

/* Some eight plain Python frames. With 2 KiB a parked greenlet would cost half as much again. */
#define DATASTACK_ROOT ((size_t)1024)

struct datastack_slab;

/* One per thread. */
struct datastack_pool {
    _PyStackChunk *free;         /* chained by `previous` */
    struct datastack_slab *slabs; /* where chunks are cut from, the newest first */
    char *next, *end;            /* the uncut rest of the newest slab: untouched, so it costs nothing yet */
    size_t out;                  /* chunks in use */
};

/* A chunk that looks like the root of a thread's chain, or NULL with no memory (no exception set). */
DATASTACK_HIDDEN _PyStackChunk *datastack_take_slow(struct datastack_pool *pool);

static inline _PyStackChunk *
datastack_take(struct datastack_pool *pool)
{
    _PyStackChunk *chunk = pool->free;
    if (chunk == NULL)
        return datastack_take_slow(pool);
    pool->free = chunk->previous;
    chunk->previous = NULL;
    pool->out++;
    return chunk;
}

/* No frame may be left on it. */
static inline void
datastack_give(struct datastack_pool *pool, _PyStackChunk *chunk)
{
    chunk->previous = pool->free;
    pool->free = chunk;
    pool->out--;
}

/* The thread ends. If chunks are still out (greenlets that died with their thread, whose frame objects may be in
 * somebody's hands), the slabs stay allocated for good: leaking them is safe, freeing them is not. */
DATASTACK_HIDDEN void datastack_fini(struct datastack_pool *pool);

/* Put the cache of 16 KiB blocks in front of the interpreter's arena allocator; idempotent. This is the one thing
 * that the engine changes for the whole process. Safe at any time: cached blocks and the allocator's own are
 * interchangeable. */
DATASTACK_HIDDEN void datastack_cache_install(void);

struct datastack_cache_stats {
    unsigned kept;          /* blocks in the cache now */
    unsigned long long hits, misses;
};
DATASTACK_HIDDEN struct datastack_cache_stats datastack_cache_stats(void);

#endif
