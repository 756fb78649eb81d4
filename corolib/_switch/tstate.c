/* Floor 2: the frames of a greenlet that died with its thread. */
#include "tstate.h"

void tstate_abandon(struct tstate *s)
{
    void **frame;
    tstate_forget(s);
    if (s->chunk == NULL) return;
    /* Whoever has a frame object may look at the frame at any time: then the memory must stay. */
    for (frame = (void **)s->frame; frame != NULL; frame = frame[TSTATE_FRAME_PREVIOUS])
        if (frame[TSTATE_FRAME_OBJECT] != NULL) goto leaked;
    /* The frame of a generator lies in the generator: it must not lead to memory that is given back. */
    frame = (void **)s->frame;
    while (frame != NULL) {
        void **previous = frame[TSTATE_FRAME_PREVIOUS];
        frame[TSTATE_FRAME_PREVIOUS] = NULL;
        frame = previous;
    }
    datastack_give_chain(s->chunk);
leaked:
    s->chunk = NULL;
    s->frame = NULL;
}
