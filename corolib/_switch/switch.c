/* Floor 4: the one path every switch takes: leave, swap, arrive.
 *
 * The fast path (switch_transfer to a greenlet that is parked on its lane) calls nothing between the
 * evaluation loop's call and the swap, but PyThreadState_Get before 3.13: each C frame above the swap costs a
 * mispredicted return.
 *
 * The order of things on the slow path is ruled by one danger: nearly every step can run Python code (looking
 * up `run`, packing arguments, dropping a reference), which may switch, start or kill the very greenlets at
 * hand. So all that can fail or run code comes first, the target's state is looked at again after each such
 * step, and from lane_ready to the arrival on the other side nothing is called that could. */
#include <Python.h>

#include <stdlib.h>

#include "switch.h"

#include "check.h"

PyObject *switch_exit;
PyObject *switch_error;
PyObject *switch_empty;
PyTypeObject *switch_type;
PyObject *(*switch_kind)(PyObject *greenlet);

/* Interned once: the interpreter's cache of look-ups goes by the address of the name, so a new string at each
 * start would not only miss but fill it up. */
static PyObject *name_run;

enum cargo_kind { VALUE, ARGUMENTS, EXCEPTION };

/* What travels. EXCEPTION stands for the one that is set. */
struct cargo {
    enum cargo_kind kind;
    PyObject *value;  /* owned; the tuple for ARGUMENTS; NULL for EXCEPTION */
    PyObject *kwargs; /* owned or NULL; only with ARGUMENTS */
};

static const struct cargo exception = {EXCEPTION, NULL, NULL};

/* What switch() returns for these arguments: (), the one, the tuple, the dict, or both. Both stolen. */
static PyObject *pack(PyObject *args, PyObject *kwargs)
{
    PyObject *value = args;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        if (PyTuple_GET_SIZE(args) == 0) {
            Py_DECREF(args);
            return kwargs;
        }
        value = PyTuple_Pack(2, args, kwargs);
        Py_DECREF(args);
    } else if (PyTuple_GET_SIZE(args) == 1) {
        value = Py_NewRef(PyTuple_GET_ITEM(args, 0));
        Py_DECREF(args);
    }
    Py_XDECREF(kwargs);
    return value;
}

/* If the exception that is set is a GreenletExit, clear it and return the instance; else NULL. */
static PyObject *catch_exit(void)
{
    if (!PyErr_ExceptionMatches(switch_exit)) return NULL;
    return PyErr_GetRaisedException();
}

static void drop_cargo(struct cargo *cargo)
{
    Py_CLEAR(cargo->value);
    Py_CLEAR(cargo->kwargs);
}

/* Call the tracer and the hooks on the side that has arrived. Takes and returns the value in flight; one of
 * them that raises is removed, and its exception takes the value's place. */
static PyObject *announce(struct thread *here, struct greenlet *origin, struct greenlet *target,
                          PyObject *value)
{
    PyObject *pending = value == NULL ? PyErr_GetRaisedException() : NULL;
    PyObject *event = PyUnicode_InternFromString(value != NULL ? "switch" : "throw");
    PyObject *pair = PyTuple_Pack(2, origin, target);
    PyObject *hooks = Py_XNewRef(here->hooks), *tracer = Py_XNewRef(here->tracer);
    Py_ssize_t count = hooks != NULL ? PyTuple_GET_SIZE(hooks) : 0;
    bool failed = event == NULL || pair == NULL;

    /* A profiler of the thread must not see what a tracer of switches does. */
    PyThreadState_EnterTracing(here->tstate);
    for (Py_ssize_t i = tracer != NULL ? -1 : 0; i < count && !failed; i++) {
        PyObject *called = i < 0 ? tracer : PyTuple_GET_ITEM(hooks, i);
        PyObject *result = PyObject_CallFunctionObjArgs(called, event, pair, NULL);
        if (result == NULL) {
            failed = true;
            PyObject *error = PyErr_GetRaisedException();
            if (i < 0) {
                if (here->tracer == tracer) thread_set_tracer(here, NULL);
            } else if (thread_remove_hook(here, called) < 0)
                PyErr_Clear();
            PyErr_SetRaisedException(error);
        }
        Py_XDECREF(result);
    }
    PyThreadState_LeaveTracing(here->tstate);
    Py_XDECREF(hooks);
    Py_XDECREF(tracer);
    Py_XDECREF(event);
    Py_XDECREF(pair);
    if (failed) {
        Py_XDECREF(value);
        Py_XDECREF(pending);
        return NULL;
    }
    if (pending != NULL) PyErr_SetRaisedException(pending);
    return value;
}

/* Drop something whose end may run Python code, with the exception in flight, if any, out of its way. */
static __attribute__((noinline)) void drop_last_aside(PyObject *object)
{
    PyObject *pending = PyErr_GetRaisedException();
    Py_DECREF(object);
    if (pending != NULL) PyErr_SetRaisedException(pending);
}

static inline void drop_aside(PyObject *object)
{
    if (Py_REFCNT(object) == 1)
        drop_last_aside(object);
    else
        Py_DECREF(object);
}

/* The forced path of a checking build: the young objects each time, all of them now and then. */
static void collect_now(void)
{
    static unsigned calls;
    if (Py_IsFinalizing()) return; /* nothing can be imported any more */
    PyObject *pending = PyErr_GetRaisedException(), *gc = PyImport_ImportModule("gc");
    PyObject *found = gc != NULL ? PyObject_CallMethod(gc, "collect", "i", calls++ % 256 ? 0 : 2) : NULL;
    if (found == NULL) PyErr_WriteUnraisable(NULL);
    Py_XDECREF(found);
    Py_XDECREF(gc);
    if (pending != NULL) PyErr_SetRaisedException(pending);
}

static __attribute__((noinline, cold)) PyObject *arrive_attended(struct thread *here, struct greenlet *self,
                                                                 struct greenlet *origin, PyObject *value)
{
    if (here->attention & THREAD_TRACED) value = announce(here, origin, self, value);
    drop_aside((PyObject *)origin);
    if (here->attention & THREAD_DOOMED) thread_reap(here);
    if (CHECK_FORCED(collect)) collect_now();
    return value;
}

/* Tell the interpreter which stack we stand on. Until then even a deallocation may go wrong. */
static inline __attribute__((always_inline)) void guard(struct thread *here, const struct greenlet *self)
{
    const struct lane *lane = self->guest.lane;
    if (!TSTATE_GUARDS_STACK || here->guarded == lane) return;
    here->guarded = lane;
    tstate_guard(here->tstate, lane->stack.low, (size_t)(lane->stack.top - lane->stack.low));
}

/* In a checking build: that nothing was lost or damaged while it was parked. */
static inline void check_arrival(struct thread *here, const struct greenlet *self)
{
#ifdef COROLIB_CHECK
    const _PyStackChunk *root = here->tstate->datastack_chunk;
    lane_check(&self->guest);
    tstate_check(here->tstate);
    CHECK(here->current == self && self->face.state == SWITCH_CURRENT && self->thread == here);
    if (self != here->main) {
        while (root->previous != NULL) root = root->previous;
        CHECK(datastack_slab_of((_PyStackChunk *)root)->pool == &here->pool);
    }
#else
    (void)here, (void)self;
#endif
}

/* What the one who has arrived does, on its own stack: returns the value in flight. */
static inline __attribute__((always_inline)) PyObject *arrive(struct thread *here, struct greenlet *self)
{
    PyObject *value = here->value;
    struct greenlet *origin = here->origin;
    tstate_unseal(&self->tstate, &self->seal);
    tstate_enter(&self->tstate, here->tstate, &here->carry);
    guard(here, self);
    tstate_update(&self->tstate, here->tstate);
    check_arrival(here, self);
    if (__builtin_expect(here->attention != 0 || CHECK_FORCED(collect), 0))
        return arrive_attended(here, self, origin, value);
    /* Mostly somebody else still refers to the one we left. If not, this is where it ends: on a stack that is
     * not its own, with everything in place, since this may run any code. */
    if (value != NULL)
        Py_DECREF(origin);
    else
        drop_aside((PyObject *)origin);
    return value;
}

struct thread *switch_thread_of(const struct greenlet *greenlet)
{
    while (greenlet != NULL && greenlet->thread == NULL) greenlet = greenlet->parent;
    return greenlet != NULL ? greenlet->thread : NULL;
}

static void refuse(struct thread *here, struct greenlet *target)
{
    struct thread *theirs = switch_thread_of(target);
    PyErr_Clear(); /* what was being thrown */
    if (theirs == NULL)
        PyErr_SetString(switch_error, "cannot switch to a different thread (which happens to have exited)");
    else
        PyErr_Format(switch_error, "Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R",
                     here->current, theirs->current);
}

/* The current greenlet has ended and is about to leave for good: give back what it used. Runs nothing. */
static void retire(struct thread *here, struct greenlet *self)
{
    _PyStackChunk *root = here->tstate->datastack_chunk;
    CHECK(root->previous == NULL && here->tstate->datastack_top == tstate_root_top(root));
    thread_learn(self, datastack_overflowed(root));
    datastack_give(root);
    thread_link_out(&self->link);
    lane_release(&here->lanes, &self->guest);
    lane_forget(&self->guest);
    tstate_ended(&self->tstate);
    self->thread = NULL;
}

/* Greenlets that run the same code need as much frame memory. */
static unsigned char kind_of(const struct greenlet *target, PyObject *run)
{
    const void *code = run;
    if (run == NULL && switch_kind != NULL) code = run = switch_kind((PyObject *)target);
    if (run != NULL && PyMethod_Check(run)) run = PyMethod_GET_FUNCTION(run);
    if (run != NULL && PyFunction_Check(run))
        code = PyFunction_GET_CODE(run);
    else if (run != NULL && !PyCFunction_Check(run) && !PyType_Check(run))
        code = Py_TYPE(run);
    return (unsigned char)(((uintptr_t)code / 32 * 0x9e3779b1u >> 16) % DATASTACK_KINDS);
}

/* Leave for `target`, which is fresh or suspended and of this thread. 0 when somebody comes back, with
 * *result what they brought (NULL: an exception is set); the references to target, run and what is in the
 * cargo are then used up. -1 with MemoryError or LANE_HELD with `error`, nothing moved and nothing used up. A
 * `finished` greenlet does not come back. */
static int depart(struct thread *here, struct greenlet *target, const struct cargo *cargo, PyObject *run,
                  bool finished, PyObject **result)
{
    struct greenlet *self = here->current;
    bool fresh = target->face.state == SWITCH_FRESH;
    _PyStackChunk *chunk = NULL;
    int status = -1;

    if (fresh) {
        target->kind = kind_of(target, run);
        target->learned = false;
        if ((chunk = datastack_take(&here->pool, target->kind)) == NULL) goto failed;
    }
    status = lane_ready(&here->lanes, &self->guest, &target->guest, thread_lane_limit);
    if (status < 0) goto failed;
    if (fresh) {
        tstate_fresh(&target->tstate, here->tstate, chunk);
        tstate_seal(&target->tstate, &target->seal);
        target->thread = here;
        thread_link_in(&here->started, &target->link);
    }
    here->value = cargo->value;
    here->kwargs = cargo->kwargs;
    here->run = run;
    here->origin = self;
    here->current = target;
    tstate_leave(&self->tstate, here->tstate, &here->carry);
    tstate_seal(&self->tstate, &self->seal);
    if (finished) retire(here, self);
    self->face.state = finished ? SWITCH_DEAD : SWITCH_SUSPENDED;
    target->face.state = SWITCH_CURRENT;
    if (lane_go(&here->lanes, &self->guest, &target->guest) == 0) {
        *result = arrive(here, self);
        return 0;
    }

    /* Our own slice could not be saved: we never left. */
    status = -1;
    here->current = self;
    self->face.state = SWITCH_CURRENT;
    target->face.state = fresh ? SWITCH_FRESH : SWITCH_SUSPENDED;
    if (fresh) {
        thread_link_out(&target->link);
        target->thread = NULL;
        lane_abandon(&here->lanes, &target->guest); /* it may lie there already, ready to start */
        target->guest.sp = NULL;
        tstate_ended(&target->tstate);
    }
failed:
    if (chunk != NULL) datastack_give(chunk);
    if (status == LANE_HELD)
        PyErr_Format(
            switch_error,
            "cannot switch to %R: its stack belongs to a garbage collection that another greenlet has left",
            target);
    else
        PyErr_NoMemory();
    return status;
}

/* What to call: new reference, or NULL with an exception. May run anything, if the type is not ours. */
static PyObject *find_run(struct greenlet *target)
{
    if (Py_TYPE(target) == switch_type && target->run != NULL) return Py_NewRef(target->run);
    return PyObject_GetAttr((PyObject *)target, name_run);
}

/* The same with the exception in flight, if any, out of its way: it is lost only if the look-up fails. */
static PyObject *find_run_aside(struct greenlet *target)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *run = find_run(target);
    if (run == NULL)
        Py_XDECREF(pending);
    else if (pending != NULL)
        PyErr_SetRaisedException(pending);
    return run;
}

/* Give the cargo the shape that a fresh or a suspended target takes. 1: was so already; 0: changed, which may
 * have run code; -1: failed, the cargo is gone. */
static int shape(struct cargo *cargo, enum cargo_kind kind)
{
    if (cargo->kind == kind) return 1;
    if (kind == VALUE)
        cargo->value = pack(cargo->value, cargo->kwargs);
    else {
        PyObject *tuple = PyTuple_Pack(1, cargo->value);
        Py_DECREF(cargo->value);
        cargo->value = tuple;
    }
    cargo->kind = kind;
    cargo->kwargs = NULL;
    return cargo->value != NULL ? 0 : -1;
}

/* Throwing at a fresh greenlet ends it before it has begun. */
static void die_fresh(struct greenlet *target)
{
    PyObject *run = target->run;
    target->run = NULL;
    target->face.state = SWITCH_DEAD;
    if (run != NULL) drop_aside(run);
}

/* Dropping the lower one may run code, so this comes last in a step. */
static void climb(struct greenlet **target, struct greenlet *up)
{
    PyObject *lower = (PyObject *)*target;
    *target = (struct greenlet *)Py_NewRef(up);
    drop_aside(lower);
}

/* Bring the cargo (stolen) to the nearest live greenlet at or above `target` (borrowed). Returns what the
 * current greenlet is resumed with, or NULL with an exception; if it is `finished` it does not return at all:
 * whatever fails on the way becomes an exception for the next one up. */
static PyObject *travel(struct thread *here, struct greenlet *target, struct cargo cargo, bool finished)
{
    PyObject *run, *result = NULL;
    int failures = 0, status;

    Py_INCREF(target);
    for (;;) {
        run = NULL;
        switch ((enum switch_state)target->face.state) {
        case SWITCH_CURRENT:
            if (target != here->current) goto refuse;
            if (cargo.kind == ARGUMENTS && shape(&cargo, VALUE) < 0) goto failed;
            if (here->attention & THREAD_TRACED) cargo.value = announce(here, target, target, cargo.value);
            Py_DECREF(target);
            return cargo.value;

        case SWITCH_SUSPENDED:
            if (target->thread != here) goto refuse;
            if (cargo.kind == ARGUMENTS) {
                if (shape(&cargo, VALUE) < 0) goto failed;
                continue;
            }
            break;

        case SWITCH_FRESH:
            if (switch_thread_of(target) != here) goto refuse;
            if (cargo.kind != EXCEPTION) {
                int shaped = shape(&cargo, target->face.boot != NULL ? VALUE : ARGUMENTS);
                if (shaped < 0) goto failed;
                if (shaped == 0) continue;
            }
            if (target->face.boot == NULL) {
                run = find_run_aside(target);
                if (run == NULL) goto failed;
                if (target->face.state != SWITCH_FRESH || target->face.boot != NULL ||
                    switch_thread_of(target) != here) {
                    /* The look-up has started it, or worse. */
                    drop_aside(run);
                    continue;
                }
            }
            if (cargo.kind == EXCEPTION) {
                die_fresh(target);
                if (run != NULL) drop_aside(run);
                continue;
            }
            break;

        case SWITCH_DEAD:
            if (cargo.kind == EXCEPTION && (cargo.value = catch_exit()) != NULL) cargo.kind = VALUE;
            if (target->parent == NULL) goto refuse;
            climb(&target, target->parent);
            continue;
        }

        status = depart(here, target, &cargo, run, finished, &result);
        if (status == 0) return result;
        Py_XDECREF(run);
        drop_cargo(&cargo);
        if (!finished || status == LANE_HELD) goto failed;
        CHECK(++failures < 100);
        cargo = exception; /* once more: MemoryError is what the target gets */
        continue;

    refuse:
        refuse(here, target);
    failed:
        drop_cargo(&cargo);
        if (!finished) {
            Py_DECREF(target);
            return NULL;
        }
        /* This ends: a refusal leads one step up, and the main greenlet of this thread refuses nobody. */
        cargo = exception;
        climb(&target, target->parent != NULL ? target->parent : here->main);
    }
}

PyObject *switch_call(struct greenlet *target, PyObject *args, PyObject *kwargs)
{
    struct thread *here = thread_here();
    struct cargo cargo = {ARGUMENTS, args, kwargs};
    if (here == NULL) {
        drop_cargo(&cargo);
        return NULL;
    }
    return travel(here, target, cargo, false);
}

static __attribute__((noinline)) PyObject *transfer_slowly(struct greenlet *target, PyObject *value)
{
    struct thread *here = thread_here();
    struct cargo cargo = {VALUE, value, NULL};
    if (here == NULL) {
        drop_cargo(&cargo);
        return NULL;
    }
    if (value == NULL)
        cargo.kind = EXCEPTION;
    else if (target->face.state == SWITCH_FRESH && target->face.boot == NULL) {
        if (!PyTuple_Check(value)) {
            PyErr_Format(PyExc_TypeError,
                         "the first transfer to a greenlet takes a tuple of arguments, not %.200s",
                         Py_TYPE(value)->tp_name);
            Py_DECREF(value);
            return NULL;
        }
        cargo.kind = ARGUMENTS;
    }
    return travel(here, target, cargo, false);
}

PyObject *switch_transfer(PyObject *object, PyObject *value)
{
    struct greenlet *target = (struct greenlet *)object;
    struct thread *here = target->thread;
    struct greenlet *self;

    if (__builtin_expect(target->face.state != SWITCH_SUSPENDED || !tstate_is_current(here->tstate) ||
                             !lane_resident(&target->guest) || CHECK_FORCED(evict) || CHECK_FORCED(scratch),
                         0))
        return transfer_slowly(target, value);
    self = here->current;
    here->value = value;
    here->origin = self;
    here->current = (struct greenlet *)Py_NewRef(target);
    tstate_leave(&self->tstate, here->tstate, &here->carry);
    tstate_seal(&self->tstate, &self->seal);
    self->face.state = SWITCH_SUSPENDED;
    target->face.state = SWITCH_CURRENT;
    lane_swap(&self->guest, &target->guest);
    return arrive(here, self);
}

/* A fresh greenlet is where it begins: what it is called with; NULL if a tracer raised. From now on these are
 * what is being called, kept in the object, where the collector sees them. */
static __attribute__((noinline)) PyObject *begin(struct thread *here, struct greenlet *self)
{
    PyObject *run = here->run, *args = arrive(here, self), *attribute = self->run;
    self->run = run;
    self->args = args;
    if (attribute != NULL) drop_aside(attribute);
    return args;
}

/* run() has returned or raised: the parent gets the result. */
static __attribute__((noinline, noreturn)) void finish(struct greenlet *self, PyObject *kwargs,
                                                       PyObject *result)
{
    PyObject *args = self->args, *run = self->run;
    if (kwargs != NULL) drop_aside(kwargs);
    self->args = self->run = NULL;
    if (args != NULL) drop_aside(args);
    if (run != NULL) drop_aside(run);
    struct thread *here = self->thread;
    struct cargo cargo = {VALUE, result, NULL};
    if (result == NULL && (cargo.value = catch_exit()) == NULL) cargo.kind = EXCEPTION;
    (void)travel(here, self->parent != NULL ? self->parent : here->main, cargo, true);
    CHECK(!"a finished greenlet was resumed");
    abort();
}

/* The first function of a fresh greenlet's stack. Thread-local variables are looked up here, after the swap.
 * It is in every slice that is saved, so what it keeps on the stack is little: the rest is in the other two.
 */
static void body(void)
{
    lane_begin();
    struct thread *here = thread_last;
    struct greenlet *self = here->current;
    PyObject *kwargs = here->kwargs, *result = NULL, *args = begin(here, self);
    if (args != NULL) {
        if (self->face.boot != NULL)
            result = self->face.boot((PyObject *)self, args);
        else if (kwargs != NULL)
            result = PyObject_Call(self->run, args, kwargs);
        else
            result = PyObject_Vectorcall(self->run, PySequence_Fast_ITEMS(args),
                                         (size_t)PyTuple_GET_SIZE(args), NULL);
    }
    finish(self, kwargs, result);
}

int switch_init(void)
{
    thread_entry = body;
    if (name_run == NULL) name_run = PyUnicode_InternFromString("run");
    return name_run != NULL ? 0 : -1;
}
