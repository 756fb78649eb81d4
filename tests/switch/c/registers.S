/* For tests: code that keeps known values in all callee-saved registers and control words over a call, and code that
 * breaks every rule. What C code would put there is the compiler's choice, so this is assembler. See registers.h for
 * the order of the values. */

        .text

#if defined(__x86_64__)

/* void registers_hold(const uint64_t *in, uint64_t *out, void (*function)(void *), void *argument) */
        .globl  registers_hold
        .hidden registers_hold
        .type   registers_hold, @function
registers_hold:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $24, %rsp
        .cfi_adjust_cfa_offset 24
        movq    %rsi, (%rsp)
        stmxcsr 8(%rsp)
        fnstcw  12(%rsp)
        movq    (%rdi), %rbx
        movq    8(%rdi), %rbp
        movq    16(%rdi), %r12
        movq    24(%rdi), %r13
        movq    32(%rdi), %r14
        movq    40(%rdi), %r15
        ldmxcsr 48(%rdi)
        fldcw   56(%rdi)
        movq    %rcx, %rdi
        call    *%rdx
        movq    (%rsp), %rax
        movq    %rbx, (%rax)
        movq    %rbp, 8(%rax)
        movq    %r12, 16(%rax)
        movq    %r13, 24(%rax)
        movq    %r14, 32(%rax)
        movq    %r15, 40(%rax)
        stmxcsr 48(%rax)
        fnstcw  56(%rax)
        ldmxcsr 8(%rsp)
        fldcw   12(%rsp)
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   registers_hold, .-registers_hold

/* void registers_spoil(void *unused) */
        .globl  registers_spoil
        .hidden registers_spoil
        .type   registers_spoil, @function
registers_spoil:
        .cfi_startproc
        endbr64
        notq    %rbx
        notq    %rbp
        notq    %r12
        notq    %r13
        notq    %r14
        notq    %r15
        stmxcsr -8(%rsp)
        xorl    $0x6000, -8(%rsp)       /* rounding */
        ldmxcsr -8(%rsp)
        fnstcw  -8(%rsp)
        xorw    $0x0c00, -8(%rsp)       /* rounding */
        fldcw   -8(%rsp)
        ret
        .cfi_endproc
        .size   registers_spoil, .-registers_spoil

        .section .note.GNU-stack, "", @progbits

#elif defined(__aarch64__)

/* void registers_hold(const uint64_t *in, uint64_t *out, void (*function)(void *), void *argument) */
        .globl  registers_hold
        .hidden registers_hold
        .type   registers_hold, %function
registers_hold:
        .cfi_startproc
        hint    #34                     /* bti c */
        stp     x29, x30, [sp, #-176]!
        .cfi_def_cfa_offset 176
        .cfi_offset x29, -176
        .cfi_offset x30, -168
        mov     x29, sp
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
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        stp     x9, x1, [sp, #160]
        ldp     x19, x20, [x0]
        ldp     x21, x22, [x0, #16]
        ldp     x23, x24, [x0, #32]
        ldp     x25, x26, [x0, #48]
        ldp     x27, x28, [x0, #64]
        ldp     d8, d9, [x0, #80]
        ldp     d10, d11, [x0, #96]
        ldp     d12, d13, [x0, #112]
        ldp     d14, d15, [x0, #128]
        ldr     x9, [x0, #144]
        msr     fpcr, x9
        mov     x0, x3
        blr     x2
        ldp     x9, x1, [sp, #160]
        stp     x19, x20, [x1]
        stp     x21, x22, [x1, #16]
        stp     x23, x24, [x1, #32]
        stp     x25, x26, [x1, #48]
        stp     x27, x28, [x1, #64]
        stp     d8, d9, [x1, #80]
        stp     d10, d11, [x1, #96]
        stp     d12, d13, [x1, #112]
        stp     d14, d15, [x1, #128]
        mrs     x10, fpcr
        str     x10, [x1, #144]
        msr     fpcr, x9
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x29, x30, [sp], #176
        .cfi_restore x29
        .cfi_restore x30
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   registers_hold, .-registers_hold

/* void registers_spoil(void *unused) */
        .globl  registers_spoil
        .hidden registers_spoil
        .type   registers_spoil, %function
registers_spoil:
        .cfi_startproc
        hint    #34
        mvn     x19, x19
        mvn     x20, x20
        mvn     x21, x21
        mvn     x22, x22
        mvn     x23, x23
        mvn     x24, x24
        mvn     x25, x25
        mvn     x26, x26
        mvn     x27, x27
        mvn     x28, x28
        not     v8.8b, v8.8b
        not     v9.8b, v9.8b
        not     v10.8b, v10.8b
        not     v11.8b, v11.8b
        not     v12.8b, v12.8b
        not     v13.8b, v13.8b
        not     v14.8b, v14.8b
        not     v15.8b, v15.8b
        mrs     x9, fpcr
        eor     x9, x9, #0xc00000       /* rounding */
        msr     fpcr, x9
        ret
        .cfi_endproc
        .size   registers_spoil, .-registers_spoil

        .section .note.GNU-stack, "", %progbits

#else
#error "list this machine's callee-saved registers here and in registers.h"
#endif
