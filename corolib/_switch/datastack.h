/* Floor 2: where Python frames live: small first chunks for greenlets, and a cache for the interpreter's own.
 *
 * CPython (3.11 and later) keeps the frames of pure Python calls in chunks of 16 KiB, one chain per thread
 * state, each mapped and unmapped by itself. A greenlet needs a chain of its own. Taking its first chunk from
 * mmap is the dearest part of a short greenlet's life (about 8 us of 8.5), so two cures, which only work
 * together:
 *
 *   - the first chunk is small, from a pool of the thread. Most greenlets never need a second one;
 *   - freed 16 KiB blocks are kept (public PyObject_SetArenaAllocator). Without that, a loop at the very end
 * of the small chunk would map and unmap a 16 KiB chunk at every call: 14 us instead of 45 ns. */
#ifndef COROLIB_SWITCH_DATASTACK_H
#define COROLIB_SWITCH_DATASTACK_H

#include <Python.h>

#include <stdbool.h>

#include "slab.h"

#define DATASTACK_HIDDEN __attribute__((visibility("hidden")))

/* The smallest holds some three plain Python frames; each class is twice the one before. One size for all
 * would be wrong either way: with 1 KiB a parked greenlet that only waits would cost a quarter more, and one
 * that needs a little more than its chunk pays 16 KiB for it as long as it is parked. So what earlier
 * greenlets needed decides, see datastack_learn. */
#define DATASTACK_ROOT ((size_t)512)
#define DATASTACK_CLASSES 5u

/* Chunks are cut from slabs, which are aligned to their size, so that a chunk knows its slab. */
#define DATASTACK_SLAB SLAB_SIZE

/* Kinds of greenlets whose needs are told apart. More than one function may share an entry: then they share a
 * guess. */
#define DATASTACK_KINDS 64u

struct datastack_pool;

struct datastack_slab {
    struct datastack_pool *pool; /* NULL once its thread has ended: it then goes with its last chunk */
    _PyStackChunk *free;         /* given back, chained by `previous` */
    char *next;                  /* the uncut rest: untouched, so it costs nothing yet */
    struct datastack_slab *newer, *older; /* ring of all slabs with a free chunk, or of all full ones */
    unsigned out;                         /* chunks in use */
    unsigned rank;                        /* of its chunks: DATASTACK_ROOT << rank bytes */
};

/* What is thought of one kind of greenlet. */
struct datastack_guess {
    unsigned char rank;
    signed char score;       /* how many overflow of late */
    bool trial;              /* it was moved down, and whether that was right is not known yet */
    unsigned char doublings; /* of the number after which it is tried a class lower */
    unsigned short calm;     /* how many in a row, nearly, did not overflow */
};

/* One per thread. */
struct datastack_pool {
    struct datastack_slab partial[DATASTACK_CLASSES], full[DATASTACK_CLASSES]; /* heads of the rings */
    unsigned empty; /* slabs in `partial` with no chunk in use */
    size_t out;     /* chunks in use */
    size_t bytes;   /* and their size */
    struct datastack_guess guesses[DATASTACK_KINDS];
};

static inline struct datastack_slab *datastack_slab_of(_PyStackChunk *chunk)
{
    return (struct datastack_slab *)((uintptr_t)chunk & ~(uintptr_t)(DATASTACK_SLAB - 1));
}

/* A chunk that looks like the root of a thread's chain, or NULL with no memory (no exception set). `kind` is
 * below DATASTACK_KINDS: what the greenlet is going to do. */
DATASTACK_HIDDEN _PyStackChunk *datastack_take(struct datastack_pool *pool, unsigned kind);

/* A greenlet of this kind needed more than its chunk, or has ended without needing more. */
DATASTACK_HIDDEN void datastack_learn(struct datastack_pool *pool, unsigned kind, bool overflowed);

/* Has the interpreter ever put a chunk on top of this one? It notes how full a chunk is just then. */
static inline bool datastack_overflowed(const _PyStackChunk *root)
{
    return root->top != 0;
}

/* No frame may be left on it that anybody will look at. Its thread may have ended. */
DATASTACK_HIDDEN void datastack_give(_PyStackChunk *chunk);

/* Give a whole chain: the interpreter's own chunks on top of a root. */
DATASTACK_HIDDEN void datastack_give_chain(_PyStackChunk *chunk);

DATASTACK_HIDDEN void datastack_init(struct datastack_pool *pool);

/* The thread ends. Chunks that are still out, of greenlets that ended with it, stay valid. */
DATASTACK_HIDDEN void datastack_fini(struct datastack_pool *pool);

/* Put the cache of 16 KiB blocks in front of the interpreter's arena allocator; idempotent. This is the one
 * thing that the engine changes for the whole process. Safe at any time: cached blocks and the allocator's
 * own are interchangeable. */
DATASTACK_HIDDEN void datastack_cache_install(void);

struct datastack_cache_stats {
    unsigned kept; /* blocks in the cache now */
    unsigned long long hits, misses;
};
DATASTACK_HIDDEN struct datastack_cache_stats datastack_cache_stats(void);

#endif
