/*
 * Preloaded into User-Mode Linux on machines whose CPU has AMX.
 *
 * UML 6.1 keeps 2.7 kB of extended state (XSAVE area) per process and hands that back by
 * PTRACE_SETREGSET; with AMX the kernel's area is 11 kB, and a shorter one is refused with EFAULT:
 * the guest dies at its first process. The short state is laid over the start of the whole one
 * here.
 */
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

/* UML traces from one thread of one process at a time, so one buffer does. */
static char whole[65536] __attribute__((aligned(64)));

static long raw_ptrace(long request, pid_t pid, void *addr, void *data)
{
        return syscall(SYS_ptrace, request, pid, addr, data);
}

static long set_xstate(pid_t pid, void *addr, const struct iovec *given)
{
        struct iovec area = { whole, sizeof whole };

        if (raw_ptrace(PTRACE_GETREGSET, pid, addr, &area) < 0)
                return -1;
        if (given->iov_len >= area.iov_len)
                return raw_ptrace(PTRACE_SETREGSET, pid, addr, (void *)given);
        memcpy(whole, given->iov_base, given->iov_len);
        return raw_ptrace(PTRACE_SETREGSET, pid, addr, &area);
}

long ptrace(enum __ptrace_request request, ...)
{
        va_list arguments;
        void *addr, *data;
        pid_t pid;

        va_start(arguments, request);
        pid = va_arg(arguments, pid_t);
        addr = va_arg(arguments, void *);
        data = va_arg(arguments, void *);
        va_end(arguments);
        switch ((int)request) {
        case PTRACE_PEEKTEXT:
        case PTRACE_PEEKDATA:
        case PTRACE_PEEKUSER: {
                long word; /* the system call stores it, libc's function returns it */

                return raw_ptrace(request, pid, addr, &word) < 0 ? -1 : word;
        }
        case PTRACE_SETREGSET:
                if ((long)addr == NT_X86_XSTATE)
                        return set_xstate(pid, addr, data);
        }
        return raw_ptrace(request, pid, addr, data);
}
