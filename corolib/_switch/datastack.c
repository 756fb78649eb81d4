/* Floor 2: where Python frames live: the pool of first chunks, the cache of 16 KiB blocks. See datastack.h.
 */
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "datastack.h"

#include "check.h"

/* The interpreter's chunk size (DATA_STACK_CHUNK_SIZE). Other sizes are its object arenas. */
#define BLOCK ((size_t)16384)
/* 2 MiB at most, for the whole process. */
#define KEPT_MAX 128u
/* Slabs without a chunk in use that a thread keeps: a wave of greenlets is often followed by another. */
#define EMPTY_MAX 8u

/* The first chunk of a slab is shorter, by the slab's head. */
static char *first(struct datastack_slab *slab)
{
    return (char *)slab + sizeof *slab;
}

static char *end(struct datastack_slab *slab)
{
    return (char *)slab + DATASTACK_SLAB;
}

static void link_in(struct datastack_slab *head, struct datastack_slab *slab)
{
    slab->newer = head->newer;
    slab->older = head;
    head->newer->older = slab;
    head->newer = slab;
}

static void link_out(struct datastack_slab *slab)
{
    slab->newer->older = slab->older;
    slab->older->newer = slab->newer;
}

static struct datastack_slab *new_slab(struct datastack_pool *pool, unsigned rank)
{
    struct datastack_slab *slab = check_alloc_fails() ? NULL : slab_map();
    if (slab != NULL) {
        *slab = (struct datastack_slab){.pool = pool, .next = first(slab), .rank = rank};
        link_in(&pool->partial[rank], slab);
        pool->empty++;
    }
    return slab;
}

static _PyStackChunk *cut(struct datastack_slab *slab)
{
    _PyStackChunk *chunk = (_PyStackChunk *)slab->next;
    size_t size = DATASTACK_ROOT << slab->rank;
    char *next = (slab->next == first(slab) ? (char *)slab : slab->next) + size;
    chunk->size = (size_t)(next - slab->next);
    slab->next = next;
    return chunk;
}

_PyStackChunk *datastack_take(struct datastack_pool *pool, unsigned kind)
{
    unsigned rank = pool->guesses[kind].rank;
    struct datastack_slab *slab = pool->partial[rank].newer;
    if (slab == &pool->partial[rank] && (slab = new_slab(pool, rank)) == NULL) return NULL;
    _PyStackChunk *chunk = slab->free;
    if (chunk != NULL)
        slab->free = chunk->previous;
    else
        chunk = cut(slab);
    chunk->previous = NULL;
    chunk->top = 0;
    if (slab->out++ == 0) pool->empty--;
    pool->out++;
    pool->bytes += DATASTACK_ROOT << rank;
    if (slab->free == NULL && slab->next == end(slab)) {
        link_out(slab);
        link_in(&pool->full[rank], slab);
    }
    return chunk;
}

void datastack_give(_PyStackChunk *chunk)
{
    struct datastack_slab *slab = datastack_slab_of(chunk);
    struct datastack_pool *pool = slab->pool;
    bool full = slab->free == NULL && slab->next == end(slab);
    chunk->previous = slab->free;
    slab->free = chunk;
    slab->out--;
    if (pool == NULL) {
        if (slab->out == 0) slab_unmap(slab);
        return;
    }
    pool->out--;
    pool->bytes -= DATASTACK_ROOT << slab->rank;
    if (full) {
        link_out(slab);
        link_in(&pool->partial[slab->rank], slab);
    }
    if (slab->out == 0 && pool->empty++ >= EMPTY_MAX) {
        pool->empty--;
        link_out(slab);
        slab_unmap(slab);
    }
}

void datastack_give_chain(_PyStackChunk *chunk)
{
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    while (chunk->previous != NULL) {
        _PyStackChunk *previous = chunk->previous;
        arenas.free(arenas.ctx, chunk, chunk->size);
        chunk = previous;
    }
    datastack_give(chunk);
}

/* One in eight that overflow moves a kind up a class, two at once at the beginning. After a hundred that did
 * not it is tried a class lower, since nobody knows how much of its chunk a greenlet uses; if that was wrong,
 * two more overflow and bring it back, and the next trial is after twice as many. */
#define OVERFLOWED 8
#define UP 16
#define FLOOR (-100)
#define PATIENCE 100u
#define DOUBLINGS_MOST 8u

void datastack_learn(struct datastack_pool *pool, unsigned kind, bool overflowed)
{
    struct datastack_guess *guess = &pool->guesses[kind];
    if (!overflowed) {
        if (guess->score > FLOOR) guess->score--;
        if (++guess->calm < PATIENCE) return;
        if (guess->trial) { /* it was right */
            guess->trial = false;
            guess->doublings = 0;
        }
        if (guess->calm < PATIENCE << guess->doublings) return;
        guess->calm = 0;
        if (guess->rank == 0) return;
        guess->score = 0;
        guess->rank--;
        guess->trial = true;
        return;
    }
    guess->score += OVERFLOWED;
    if (guess->score < UP) return;
    guess->score = 0;
    guess->calm = 0;
    if (guess->rank + 1u < DATASTACK_CLASSES) guess->rank++;
    if (guess->trial && guess->doublings < DOUBLINGS_MOST) guess->doublings++;
    guess->trial = false;
}

void datastack_init(struct datastack_pool *pool)
{
    memset(pool, 0, sizeof *pool);
    for (unsigned rank = 0; rank < DATASTACK_CLASSES; rank++) {
        struct datastack_slab *partial = &pool->partial[rank], *full = &pool->full[rank];
        partial->newer = partial->older = partial;
        full->newer = full->older = full;
    }
}

static void let_go(struct datastack_slab *head)
{
    struct datastack_slab *slab = head->newer;
    while (slab != head) {
        struct datastack_slab *next = slab->newer;
        slab->pool = NULL;
        if (slab->out == 0) slab_unmap(slab);
        slab = next;
    }
}

void datastack_fini(struct datastack_pool *pool)
{
    for (unsigned rank = 0; rank < DATASTACK_CLASSES; rank++) {
        let_go(&pool->partial[rank]);
        let_go(&pool->full[rank]);
    }
    datastack_init(pool);
}

/* Process-wide, like the allocator it stands before. The GIL is held at each call, but interpreters with a
 * GIL of their own (3.12) come here too, hence the lock; who does not get it goes straight to the system. */
static struct {
    atomic_flag busy;
    PyObjectArenaAllocator next;
    void *kept[KEPT_MAX];
    struct datastack_cache_stats stats;
} cache = {.busy = ATOMIC_FLAG_INIT};

static bool try_lock(void)
{
    return !atomic_flag_test_and_set_explicit(&cache.busy, memory_order_acquire);
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&cache.busy, memory_order_release);
}

static void *cached_alloc(void *Py_UNUSED(ctx), size_t size)
{
    if (size == BLOCK && try_lock()) {
        void *block = NULL;
        if (cache.stats.kept > 0) {
            block = cache.kept[--cache.stats.kept];
            cache.stats.hits++;
        } else
            cache.stats.misses++;
        unlock();
        if (block != NULL) return block;
    }
    void *block = cache.next.alloc(cache.next.ctx, size);
#if PY_VERSION_HEX < 0x030c0000
    /* CPython 3.11 calls from Python to Python without a look at whether there was memory for the frame, and
     * then says "error return without exception set". */
    if (block == NULL && size == BLOCK) PyErr_NoMemory();
#endif
    return block;
}

static void cached_free(void *Py_UNUSED(ctx), void *block, size_t size)
{
    if (size == BLOCK && try_lock()) {
        bool kept = cache.stats.kept < KEPT_MAX;
        if (kept) cache.kept[cache.stats.kept++] = block;
        unlock();
        if (kept) return;
    }
    cache.next.free(cache.next.ctx, block, size);
}

void datastack_cache_install(void)
{
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    if (now.alloc == cached_alloc) return;
    cache.next = now;
    PyObjectArenaAllocator ours = {NULL, cached_alloc, cached_free};
    PyObject_SetArenaAllocator(&ours);
}

struct datastack_cache_stats datastack_cache_stats(void)
{
    return cache.stats;
}
