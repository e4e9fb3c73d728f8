/* SPDX-License-Identifier: MIT
 * The system call policy. What engines try without needing it is answered with an errno, so that they fall
 * back; what no engine has a reason to try ends the process. Nothing here may open for writing, make a
 * socket, a process or a thread, or map executable memory, in any runner profile. */
#include "workers/sandbox_rules.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define ANY_RUNNER (USER_COMPUTE | USER_DATA)
#define ANYONE (ANY_RUNNER | USER_WORKER)

#define ALLOW(name, who) {.call = #name, .users = (who), .action = RULE_ALLOW}
#define ANSWER(name, who, error) {.call = #name, .users = (who), .action = (error)}
#define ENDS(name) {.call = #name, .users = USER_WORKER, .action = RULE_KILL}
#define WHEN(name, who, what, index, bits, wanted)                                                           \
    {.call = #name, .users = (who), .action = (what), .check_count = 1, .checks = {{index, bits, wanted}}}
#define WHEN_BOTH(name, who, what, index, wanted, index2, wanted2)                                           \
    {.call = #name, .users = (who), .action = (what), .check_count = 2,                                      \
     .checks = {{index, UINT64_MAX, wanted}, {index2, UINT64_MAX, wanted2}}}

#define THREAD_FLAGS                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |       \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

const struct sandbox_rule sandbox_rules[] = {
    /* memory: never executable */
    ALLOW(brk, ANYONE),
    ALLOW(munmap, ANYONE),
    ALLOW(mremap, ANYONE),
    ALLOW(madvise, ANYONE),
    WHEN(mmap, ANYONE, RULE_ALLOW, 2, PROT_EXEC, 0),
    WHEN(mprotect, ANYONE, RULE_ALLOW, 2, PROT_EXEC, 0),

    /* descriptors that are open already */
    ALLOW(read, ANYONE),
    ALLOW(pread64, ANYONE),
    ALLOW(readv, ANYONE),
    ALLOW(write, ANYONE),
    ALLOW(pwrite64, ANYONE),
    ALLOW(writev, ANYONE),
    ALLOW(lseek, ANYONE),
    ALLOW(ftruncate, ANYONE),
    ALLOW(fstat, ANYONE),
    ALLOW(close, ANYONE),
    ALLOW(fadvise64, ANYONE),
    WHEN(fcntl, ANYONE, RULE_ALLOW, 1, UINT64_MAX, F_GETFD),
    WHEN(fcntl, ANYONE, RULE_ALLOW, 1, UINT64_MAX, F_SETFD),
    WHEN(fcntl, ANYONE, RULE_ALLOW, 1, UINT64_MAX, F_GETFL),
    WHEN(ioctl, ANY_RUNNER, ENOTTY, 1, UINT64_MAX, TCGETS), /* stdio asks whether it writes to a terminal */

    /* files by name: refused in compute, read-only (and by Landlock only engine data) with data */
    ANSWER(open, USER_COMPUTE, EACCES),
    ANSWER(openat, USER_COMPUTE, EACCES),
    ANSWER(stat, USER_COMPUTE, EACCES),
    ANSWER(lstat, USER_COMPUTE, EACCES),
    ANSWER(newfstatat, USER_COMPUTE, EACCES),
    ANSWER(statx, USER_COMPUTE, EACCES),
    ANSWER(access, USER_COMPUTE, EACCES),
    ANSWER(faccessat, USER_COMPUTE, EACCES),
    ANSWER(faccessat2, USER_COMPUTE, EACCES),
    ANSWER(readlink, USER_COMPUTE, EACCES),
    ANSWER(readlinkat, USER_COMPUTE, EACCES),
    ANSWER(getcwd, ANY_RUNNER, EACCES),
    ANSWER(openat2, ANY_RUNNER, ENOSYS),
    ANSWER(open, USER_DATA, EACCES), /* glibc opens with openat */
    WHEN(openat, USER_DATA | USER_WORKER, RULE_ALLOW, 2, O_ACCMODE | O_CREAT | O_TRUNC, 0),
    WHEN(openat, USER_DATA, EACCES, 2, O_WRONLY, O_WRONLY),
    WHEN(openat, USER_DATA, EACCES, 2, O_RDWR, O_RDWR),
    WHEN(openat, USER_DATA, EACCES, 2, O_CREAT, O_CREAT),
    WHEN(openat, USER_DATA, EACCES, 2, O_TRUNC, O_TRUNC),
    ALLOW(stat, USER_DATA | USER_WORKER),
    ALLOW(lstat, USER_DATA | USER_WORKER),
    ALLOW(newfstatat, USER_DATA | USER_WORKER),
    ALLOW(statx, USER_DATA | USER_WORKER),
    ALLOW(access, USER_DATA | USER_WORKER),
    ALLOW(faccessat, USER_DATA | USER_WORKER),
    ALLOW(faccessat2, USER_DATA | USER_WORKER),
    ALLOW(readlink, USER_DATA | USER_WORKER),
    ALLOW(readlinkat, USER_DATA | USER_WORKER),
    ALLOW(getdents64, USER_DATA | USER_WORKER),
    ALLOW(statfs, USER_DATA | USER_WORKER),
    ALLOW(fstatfs, USER_DATA | USER_WORKER),
    ANSWER(mkdir, USER_DATA, EACCES), /* fontconfig would like to write its cache */
    ANSWER(unlink, USER_DATA, EACCES),
    ANSWER(rename, USER_DATA, EACCES),
    ANSWER(link, USER_DATA, EACCES),
    ANSWER(chmod, USER_DATA, EACCES),

    /* time, randomness, waiting, oneself */
    ALLOW(clock_gettime, ANYONE),
    ALLOW(clock_getres, ANYONE),
    ALLOW(clock_nanosleep, ANYONE),
    ALLOW(nanosleep, ANYONE),
    ALLOW(gettimeofday, ANYONE),
    ALLOW(time, ANYONE),
    ALLOW(getrandom, ANYONE),
    ALLOW(futex, ANYONE),
    ALLOW(sched_yield, ANYONE),
    ALLOW(sched_getaffinity, ANYONE),
    ALLOW(getpid, ANYONE),
    ALLOW(gettid, ANYONE),
    ALLOW(getuid, ANYONE),
    ALLOW(geteuid, ANYONE),
    ALLOW(getgid, ANYONE),
    ALLOW(getegid, ANYONE),
    ALLOW(getrusage, ANYONE),
    ALLOW(sysinfo, ANYONE),
    ALLOW(uname, ANYONE),
    ALLOW(rt_sigprocmask, ANYONE),
    ALLOW(rt_sigaction, ANYONE),
    ALLOW(rt_sigreturn, ANYONE),
    ALLOW(sigaltstack, ANYONE),
    ALLOW(restart_syscall, ANYONE),
    ALLOW(exit, ANYONE),
    ALLOW(exit_group, ANYONE),
    WHEN_BOTH(prlimit64, ANYONE, RULE_ALLOW, 0, 0, 2, 0), /* reading one's own limits */
    ANSWER(kill, ANY_RUNNER, EPERM),
    ANSWER(tkill, ANY_RUNNER, EPERM),
    ANSWER(tgkill, ANY_RUNNER, EPERM), /* abort() goes on to a trap, which is a crash as it should be */
    ANSWER(clone, ANY_RUNNER, EAGAIN), /* engines are told that there is one processor: this is the net below */
    ANSWER(clone3, ANYONE, ENOSYS),

#ifdef __SANITIZE_ADDRESS__
    ALLOW(set_robust_list, ANY_RUNNER),
    ALLOW(pipe2, ANY_RUNNER), /* whether memory may be read is tried with a pipe */
    /* to look for leaks at the end, and to write them down */
    ALLOW(open, USER_WORKER),
    ALLOW(clone, USER_WORKER),
    ALLOW(ptrace, USER_WORKER),
    ALLOW(getdents, USER_WORKER),
    ALLOW(tgkill, USER_WORKER),
    ALLOW(prctl, USER_WORKER),
#endif

    /* the worker: sockets, events, threads of the resolver, memory files */
    WHEN(socket, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, AF_UNIX),
    WHEN(socket, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, AF_INET),
    WHEN(socket, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, AF_INET6),
    WHEN(socket, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, AF_NETLINK), /* getaddrinfo asks for own addresses */
    WHEN(socketpair, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, AF_UNIX),
    ALLOW(connect, USER_WORKER),
    ALLOW(bind, USER_WORKER),
    ALLOW(getsockname, USER_WORKER),
    ALLOW(getpeername, USER_WORKER),
    ALLOW(getsockopt, USER_WORKER),
    ALLOW(setsockopt, USER_WORKER),
    ALLOW(sendto, USER_WORKER),
    ALLOW(sendmsg, USER_WORKER),
    ALLOW(sendmmsg, USER_WORKER),
    ALLOW(recvfrom, USER_WORKER),
    ALLOW(recvmsg, USER_WORKER),
    ALLOW(recvmmsg, USER_WORKER),
    ALLOW(shutdown, USER_WORKER),
    ALLOW(poll, USER_WORKER),
    ALLOW(ppoll, USER_WORKER),
    ALLOW(select, USER_WORKER),
    ALLOW(pselect6, USER_WORKER),
    ALLOW(epoll_create1, USER_WORKER),
    ALLOW(epoll_ctl, USER_WORKER),
    ALLOW(epoll_wait, USER_WORKER),
    ALLOW(epoll_pwait, USER_WORKER),
    ALLOW(epoll_pwait2, USER_WORKER),
    ALLOW(eventfd2, USER_WORKER),
    ALLOW(signalfd4, USER_WORKER),
    ALLOW(timerfd_create, USER_WORKER),
    ALLOW(timerfd_settime, USER_WORKER),
    ALLOW(pipe2, USER_WORKER),
    ALLOW(dup, USER_WORKER),
    ALLOW(memfd_create, USER_WORKER),
    ALLOW(wait4, USER_WORKER),
    ALLOW(waitid, USER_WORKER),
    WHEN(fcntl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, F_SETFL),
    WHEN(fcntl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, F_ADD_SEALS),
    WHEN(fcntl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, F_GET_SEALS),
    WHEN(fcntl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, F_DUPFD_CLOEXEC),
    WHEN(ioctl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, FIONBIO),
    WHEN(ioctl, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, FIONREAD),
    WHEN(clone, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, THREAD_FLAGS),
    WHEN(prctl, USER_WORKER, RULE_ALLOW, 0, UINT64_MAX, PR_SET_NAME),
    ALLOW(set_robust_list, USER_WORKER),
    ALLOW(rseq, USER_WORKER),
    ALLOW(sched_getparam, USER_WORKER),
    ALLOW(sched_getscheduler, USER_WORKER),
    /* ZeroMQ's threads set their own policy as they start, and abort when they can't: only to the usual one. */
    WHEN(sched_setscheduler, USER_WORKER, RULE_ALLOW, 1, UINT64_MAX, SCHED_OTHER),
    ALLOW(getppid, USER_WORKER),
    ALLOW(getcwd, USER_WORKER),
    /* what a worker that was taken over would want next */
    ENDS(execve),
    ENDS(execveat),
    ENDS(fork),
    ENDS(vfork),
#ifndef __SANITIZE_ADDRESS__
    ENDS(ptrace),
#endif
    ENDS(process_vm_readv),
    ENDS(process_vm_writev),
    ENDS(pidfd_getfd),
    ENDS(unshare),
    ENDS(setns),
    ENDS(mount),
    ENDS(pivot_root),
    ENDS(chroot),
    ENDS(bpf),
    ENDS(io_uring_setup),
    ENDS(userfaultfd),
    ENDS(perf_event_open),
    ENDS(keyctl),
    ENDS(add_key),
    ENDS(init_module),
    ENDS(finit_module),
    ENDS(kexec_load),
    ENDS(personality),
};
const size_t sandbox_rule_count = sizeof sandbox_rules / sizeof sandbox_rules[0];

const char *const sandbox_data_folders[] = {
    "/usr/share/fonts",      "/usr/local/share/fonts", "/usr/share/fontconfig", "/etc/fonts",
    "/var/cache/fontconfig", "/usr/share/poppler",     "/usr/share/color",      "/usr/share/tesseract-ocr",
    "/usr/share/dictd",
};
const size_t sandbox_data_folder_count = sizeof sandbox_data_folders / sizeof sandbox_data_folders[0];

const char *const sandbox_data_variables[] = {"FILEMILL_OCR_DATA"};
const size_t sandbox_data_variable_count = sizeof sandbox_data_variables / sizeof sandbox_data_variables[0];
