/* AArch64, procedure call standard AAPCS64 (Linux, BSD; any ELF system).
 *
 * The picture of a parked stack, upwards from the saved stack pointer:
 *
 *      sp + 0    x29      in a fresh image: 0, so that walks along frame records end
 *      sp + 8    x30      where to go on; in a fresh image: `outermost`
 *      sp + 16   x19      in a fresh image: the entry function
 *      sp + 24   x20
 *      ...
 *      sp + 88   x28
 *      sp + 96   d8       the low halves of v8 to v15; the high halves and all else are the caller's to save
 *      ...
 *      sp + 152  d15
 *      sp + 160  fpcr
 *      sp + 168  unused
 *      sp + 176  the caller's frame; in a fresh image the top of the stack
 *
 * The first two words are a frame record: x29 can point at them while a third stack is in use.
 *
 * fpcr is written only if it differs, since a write may empty the pipeline. fpsr, the sticky exception flags, is
 * not preserved across calls. x18 belongs to the platform and stays with the thread. There is no red zone.
 *
 * It ends in `ret` for the reason given in x86_64_sysv.S; besides, a jump would need a landing pad after each call
 * of arch_swap where branch targets are checked (BTI), and a return needs none.
 *
 * If the build signs return addresses (PAC, -mbranch-protection), this file signs those it parks, which else would
 * be the only bare ones on a stack; while evicted they even lie on the heap. The key is A whatever the build uses, as
 * nobody else reads them. The modifier is the stack pointer at the entry, to which a slice always returns. The
 * address in a fresh image is signed for the top of its stack, where `outermost` begins.
 *
 * The property note claims what the build asked for: BTI (all indirect targets have their landing pad) and PAC. It
 * never claims GCS: with guarded control stacks on, these swaps would fault. The linker gives the library only the
 * marks that all its objects have.
 *
 * Not saved: SME's ZA storage and the pointer to the block for its lazy saving. Code that calls back into Python
 * with ZA in use, and switches there, has to be in a pinned greenlet. */

#if defined(__ARM_FEATURE_BTI_DEFAULT) && __ARM_FEATURE_BTI_DEFAULT
#define BTI 1
#else
#define BTI 0
#endif
#if defined(__ARM_FEATURE_PAC_DEFAULT) && __ARM_FEATURE_PAC_DEFAULT
#define PAC 2
#else
#define PAC 0
#endif

/* All of these do nothing on a processor that does not know them. By number, for old assemblers. */
#define PACIA1716 hint #8  /* sign x17 with x16 */
#define PACIASP hint #25   /* sign x30 with sp; a landing pad for calls, too */
#define AUTIASP hint #29   /* check the signature: what follows faults if it is wrong */
#define BTI_C hint #34     /* a landing pad for calls */

#define FRAME 176

        .text

/* Push the callee-saved state; the stack pointer then is what `save` gets. Leaves fpcr in \control. */
        .macro  park control
#if PAC
        PACIASP
        .cfi_negate_ra_state
#elif BTI
        BTI_C
#endif
        stp     x29, x30, [sp, #-FRAME]!
        .cfi_adjust_cfa_offset FRAME
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mrs     x9, fpcr
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        .ifnc   \control, x9
        mov     \control, x9
        .endif
        .endm

/* Go on at the stack pointer in sp. \control holds the fpcr in force now. */
        .macro  resume control
        ldr     x10, [sp, #160]
        cmp     x10, \control
        b.eq    1f
        msr     fpcr, x10
1:      ldp     x19, x20, [sp, #16]
        .cfi_restore x19
        .cfi_restore x20
        ldp     x21, x22, [sp, #32]
        .cfi_restore x21
        .cfi_restore x22
        ldp     x23, x24, [sp, #48]
        .cfi_restore x23
        .cfi_restore x24
        ldp     x25, x26, [sp, #64]
        .cfi_restore x25
        .cfi_restore x26
        ldp     x27, x28, [sp, #80]
        .cfi_restore x27
        .cfi_restore x28
        ldp     d8, d9, [sp, #96]
        .cfi_restore d8
        .cfi_restore d9
        ldp     d10, d11, [sp, #112]
        .cfi_restore d10
        .cfi_restore d11
        ldp     d12, d13, [sp, #128]
        .cfi_restore d12
        .cfi_restore d13
        ldp     d14, d15, [sp, #144]
        .cfi_restore d14
        .cfi_restore d15
        ldp     x29, x30, [sp], #FRAME
        .cfi_restore x29
        .cfi_restore x30
        .cfi_adjust_cfa_offset -FRAME
#if PAC
        AUTIASP
        .cfi_negate_ra_state
#endif
        ret                             /* where the other side goes on */
        .endm

/* void arch_swap(void **save, void *to) */
        .globl  arch_swap
        .hidden arch_swap
        .type   arch_swap, %function
        .p2align 4
arch_swap:
        .cfi_startproc
        park    x9
        mov     sp, x1
        resume  x9
        .cfi_endproc
        .size   arch_swap, .-arch_swap

/* void arch_swap_through(void **save, void *scratch, void *(*work)(void *), void *argument) */
        .globl  arch_swap_through
        .hidden arch_swap_through
        .type   arch_swap_through, %function
        .p2align 4
arch_swap_through:
        .cfi_startproc
        park    x19                     /* saved above, so free to carry fpcr over the call */
        mov     x29, sp                 /* lets a debugger walk from the scratch stack back to the old one */
        .cfi_def_cfa_register x29
        mov     sp, x1
        mov     x0, x3
        blr     x2
        mov     sp, x0
        .cfi_def_cfa_register sp
        resume  x19
        .cfi_endproc
        .size   arch_swap_through, .-arch_swap_through

/* void *arch_prepare(void *top, void (*entry)(void)) */
        .globl  arch_prepare
        .hidden arch_prepare
        .type   arch_prepare, %function
        .p2align 4
arch_prepare:
        .cfi_startproc
#if BTI
        BTI_C
#endif
        adr     x17, outermost
#if PAC
        mov     x16, x0
        PACIA1716
#endif
        sub     x0, x0, #FRAME
        mrs     x9, fpcr
        stp     xzr, x17, [x0]          /* x29, x30 */
        stp     x1, xzr, [x0, #16]      /* x19, x20 */
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]     /* d8, d9 */
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     x9, xzr, [x0, #160]     /* fpcr */
        ret
        .cfi_endproc
        .size   arch_prepare, .-arch_prepare

/* First instruction of a fresh stack. It has no caller: `.cfi_undefined x30` tells the unwinder to end here. */
        .type   outermost, %function
        .p2align 4
outermost:
        .cfi_startproc
        .cfi_undefined x30
        blr     x19
        brk     #1                      /* entry() does not return */
        .cfi_endproc
        .size   outermost, .-outermost

#if BTI || PAC
        .section .note.gnu.property, "a"
        .p2align 3
        .word   4, 16, 5                /* lengths of name and content; NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .word   0xc0000000, 4           /* GNU_PROPERTY_AARCH64_FEATURE_1_AND, its length */
        .word   BTI | PAC, 0
#endif

        .section .note.GNU-stack, "", %progbits
