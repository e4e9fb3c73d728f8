/* SPDX-License-Identifier: MIT
 * Seccomp, Landlock, limits, capabilities and namespaces. Filters are compiled once and kept as BPF, rulesets
 * once and kept as descriptors, so that a forked runner only makes about twenty system calls. The kernel
 * headers of the build host may be older than the kernel: Landlock's newer constants are written out here. */
#include "workers/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "workers/sandbox_rules.h"

#define LANDLOCK_FILE_RIGHTS_ABI1 ((UINT64_C(1) << 13) - 1)
#define LANDLOCK_REFER (UINT64_C(1) << 13)     /* ABI 2 */
#define LANDLOCK_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define LANDLOCK_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define LANDLOCK_TCP_BOTH UINT64_C(3)          /* ABI 4: bind and connect */
#define LANDLOCK_SCOPE_BOTH UINT64_C(3)        /* ABI 6: abstract Unix sockets and signals */

#define NOBODY 65534u
#define RUNNER_OPEN_FILES 32
#define FIRST_RULESET 64 /* out of the way of a runner's outputs, which are moved down before it enters */

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* linux/landlock.h of ABI 6; older kernels are given a shorter size. */
struct ruleset_attributes {
    uint64_t files, network, scopes;
};

struct sandbox {
    struct sock_fprog filters[PROFILE_COUNT]; /* len 0: no seccomp here */
    int rulesets[PROFILE_COUNT];              /* -1: no Landlock here */
    int landlock_version;
};

static const unsigned profile_users[PROFILE_COUNT] = {
    [PROFILE_COMPUTE] = USER_COMPUTE,
    [PROFILE_ENGINE_DATA] = USER_DATA,
};

/* --- seccomp ------------------------------------------------------------------------------------------- */

static uint32_t rule_action(int action) {
    if (action == RULE_ALLOW)
        return SCMP_ACT_ALLOW;
    return action == RULE_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO((uint32_t)action);
}

static int add_rule(scmp_filter_ctx context, const struct sandbox_rule *rule) {
    struct scmp_arg_cmp compare[2];
    int number = seccomp_syscall_resolve_name(rule->call);

    if (number == __NR_SCMP_ERROR)
        fatal("sandbox: unknown system call %s", rule->call);
    for (unsigned i = 0; i < rule->check_count; i++) {
        compare[i] = (struct scmp_arg_cmp){.arg = rule->checks[i].argument, .op = SCMP_CMP_MASKED_EQ,
                                           .datum_a = rule->checks[i].mask, .datum_b = rule->checks[i].value};
    }
    return seccomp_rule_add_array(context, rule_action(rule->action), number, rule->check_count, compare);
}

static scmp_filter_ctx compile(unsigned user, uint32_t fallback) {
    scmp_filter_ctx context = seccomp_init(fallback);
    int error = context == NULL ? -ENOMEM : 0;

    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a line of 80 */
    for (size_t i = 0; error == 0 && i < sandbox_rule_count; i++) {
        if ((sandbox_rules[i].users & user) != 0)
            error = add_rule(context, &sandbox_rules[i]);
    }
    if (error != 0)
        fatal("sandbox: filter not compiled: %s", strerror(-error));
    return context;
}

/* libseccomp 2.5 exports to a descriptor only. */
static struct sock_fprog export_filter(scmp_filter_ctx context) {
    struct sock_fprog program = {0};
    struct stat status;
    int fd = memfd_create("filemill-filter", MFD_CLOEXEC);

    if (fd < 0 || seccomp_export_bpf(context, fd) != 0 || fstat(fd, &status) != 0)
        fatal_errno("sandbox: filter not exported");
    program.len = (unsigned short)((size_t)status.st_size / sizeof *program.filter);
    program.filter = memory_new_array(program.len, sizeof *program.filter);
    if (pread(fd, program.filter, (size_t)status.st_size, 0) != (ssize_t)status.st_size)
        fatal_errno("sandbox: filter not read back");
    close(fd);
    return program;
}

static bool has_seccomp(void) {
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* --- Landlock ------------------------------------------------------------------------------------------ */

static int landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

static struct ruleset_attributes ruleset_for(int version, size_t *size) {
    struct ruleset_attributes attributes = {.files = LANDLOCK_FILE_RIGHTS_ABI1};

    *size = sizeof attributes.files;
    attributes.files |= version >= 2 ? LANDLOCK_REFER : 0;
    attributes.files |= version >= 3 ? LANDLOCK_TRUNCATE : 0;
    attributes.files |= version >= 5 ? LANDLOCK_IOCTL_DEV : 0;
    if (version >= 4) {
        attributes.network = LANDLOCK_TCP_BOTH;
        *size += sizeof attributes.network;
    }
    if (version >= 6) {
        attributes.scopes = LANDLOCK_SCOPE_BOTH;
        *size += sizeof attributes.scopes;
    }
    return attributes;
}

static void allow_reading(int ruleset, const char *folder) {
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        .parent_fd = open(folder, O_PATH | O_CLOEXEC | O_DIRECTORY),
    };

    if (rule.parent_fd < 0)
        return; /* not installed here */
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        fatal_errno("sandbox: folder=%s not allowed", folder);
    close(rule.parent_fd);
}

static int open_ruleset(int version, enum processor_profile profile) {
    size_t size;
    struct ruleset_attributes attributes = ruleset_for(version, &size);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);

    if (ruleset < 0)
        fatal_errno("sandbox: Landlock ruleset not made");
    if (profile == PROFILE_ENGINE_DATA) {
        for (size_t i = 0; i < sandbox_data_folder_count; i++)
            allow_reading(ruleset, sandbox_data_folders[i]);
        for (size_t i = 0; i < sandbox_data_variable_count; i++) {
            const char *folder = getenv(sandbox_data_variables[i]);
            if (folder != NULL)
                allow_reading(ruleset, folder);
        }
    }
    int moved = fcntl(ruleset, F_DUPFD_CLOEXEC, FIRST_RULESET);
    if (moved < 0)
        fatal_errno("sandbox: Landlock ruleset not moved");
    close(ruleset);
    return moved;
}

/* --- prepared once ------------------------------------------------------------------------------------- */

struct sandbox *sandbox_new(void) {
    struct sandbox *sandbox = memory_new(sizeof *sandbox);
    bool seccomp = has_seccomp();

    sandbox->landlock_version = landlock_version();
    for (int i = 0; i < PROFILE_COUNT; i++) {
        sandbox->rulesets[i] = -1;
        if (sandbox->landlock_version > 0)
            sandbox->rulesets[i] = open_ruleset(sandbox->landlock_version, (enum processor_profile)i);
        if (seccomp) {
            scmp_filter_ctx context = compile(profile_users[i], SCMP_ACT_KILL_PROCESS);
            sandbox->filters[i] = export_filter(context);
            seccomp_release(context);
        }
    }
    return sandbox;
}

void sandbox_free(struct sandbox *sandbox) {
    if (sandbox == NULL)
        return;
    for (int i = 0; i < PROFILE_COUNT; i++) {
        if (sandbox->rulesets[i] >= 0)
            close(sandbox->rulesets[i]);
        free(sandbox->filters[i].filter);
    }
    free(sandbox);
}

bool sandbox_is_complete(const struct sandbox *sandbox) {
    for (int i = 0; i < PROFILE_COUNT; i++) {
        if (sandbox->filters[i].len == 0 || sandbox->rulesets[i] < 0)
            return false;
    }
    return true;
}

void sandbox_describe(const struct sandbox *sandbox, bool namespaces, char *target) {
    char landlock[24] = "";

    if (sandbox->landlock_version > 0)
        (void)text_format(landlock, sizeof landlock, ",landlock%d", sandbox->landlock_version);
    (void)text_format(target, SANDBOX_LAYERS_SIZE, "%s%s%s", sandbox->filters[0].len > 0 ? ",seccomp" : "",
                      landlock, namespaces ? ",namespaces" : "");
    if (target[0] == '\0')
        (void)text_copy(target, SANDBOX_LAYERS_SIZE, "none");
    else
        memmove(target, target + 1, strlen(target)); /* the leading comma */
}

/* --- the nursery itself -------------------------------------------------------------------------------- */

int sandbox_unshare(void) {
    int flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

    if (geteuid() == 0 && unshare(flags) == 0)
        return 0;
    return unshare(flags | CLONE_NEWUSER);
}

static int set_capabilities(uint32_t low) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low}};

    return (int)syscall(SYS_capset, &header, data);
}

int sandbox_drop_capabilities(void) {
    uint32_t keep = 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    if (geteuid() == 0)
        keep = (1u << CAP_SETUID) | (1u << CAP_SETGID) | (1u << CAP_KILL);
    if (set_capabilities(keep) == 0)
        return 0;
    return keep != 0 ? set_capabilities(0) : -1; /* root in a container may have none of the three */
}

uint64_t sandbox_mapped_bytes(void) {
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- in a runner --------------------------------------------------------------------------------------- */

static int set_limit(int resource, uint64_t soft, uint64_t hard) {
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    return setrlimit((__rlimit_resource_t)resource, &limit);
}

static int set_limits(const struct sandbox_limits *limits) {
    uint64_t memory = limits->mapped_bytes + limits->memory_bytes;

    if (set_limit(RLIMIT_CORE, 0, 0) != 0 || set_limit(RLIMIT_NPROC, 0, 0) != 0 ||
        set_limit(RLIMIT_NOFILE, RUNNER_OPEN_FILES, RUNNER_OPEN_FILES) != 0 ||
        set_limit(RLIMIT_MEMLOCK, 0, 0) != 0 || set_limit(RLIMIT_MSGQUEUE, 0, 0) != 0)
        return -1;
    if (limits->cpu_seconds != 0 && set_limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds + 1) != 0)
        return -1;
    if (limits->file_bytes != 0 && set_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes) != 0)
        return -1;
    /* AddressSanitizer reserves terabytes of address space. */
    if (limits->memory_bytes != 0 && !SANITIZED && set_limit(RLIMIT_AS, memory, memory) != 0)
        return -1;
    return 0;
}

static int drop_identity(void) {
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) != 0)) {
        if (errno != EPERM) /* root without the capability: in a container that took it away */
            return -1;
    }
    return set_capabilities(0);
}

int sandbox_enter(const struct sandbox *sandbox, enum processor_profile profile,
                  const struct sandbox_limits *limits, unsigned keep_below) {
    const struct sock_fprog *filter = &sandbox->filters[profile];

    if (set_limits(limits) != 0 || drop_identity() != 0)
        return -1;
    /* A change of identity clears the death signal, so it is set after it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != limits->parent)
        return -1;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    if (sandbox->rulesets[profile] >= 0 &&
        syscall(SYS_landlock_restrict_self, sandbox->rulesets[profile], 0) != 0)
        return -1;
    if (syscall(SYS_close_range, keep_below, ~0u, 0) != 0)
        return -1;
    if (filter->len > 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter) != 0)
        return -1;
    return 0;
}

/* --- the worker ---------------------------------------------------------------------------------------- */

int sandbox_enter_worker(void) {
    int error;

    if (!has_seccomp()) {
        errno = ENOSYS;
        return -1;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    scmp_filter_ctx context = compile(USER_WORKER, SCMP_ACT_ERRNO(EPERM));
    error = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1); /* ZeroMQ has threads already */
    if (error == 0)
        error = seccomp_load(context);
    seccomp_release(context);
    errno = error < 0 ? -error : 0;
    return error < 0 ? -1 : 0;
}

/* --- for people and tests ------------------------------------------------------------------------------ */

void sandbox_print_policy(enum processor_profile profile, FILE *stream) {
    for (size_t i = 0; i < sandbox_rule_count; i++) {
        const struct sandbox_rule *rule = &sandbox_rules[i];
        if ((rule->users & profile_users[profile]) == 0)
            continue;
        fprintf(stream, "%s %d %d", rule->call, seccomp_syscall_resolve_name(rule->call), rule->action);
        for (unsigned j = 0; j < rule->check_count; j++) {
            fprintf(stream, " arg%u&0x%" PRIx64 "=0x%" PRIx64, rule->checks[j].argument, rule->checks[j].mask,
                    rule->checks[j].value);
        }
        fputc('\n', stream);
    }
}
