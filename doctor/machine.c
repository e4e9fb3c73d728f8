/* SPDX-License-Identifier: MIT
 * The machine: kernel, memory, files, disk, clock. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "doctor/doctor.h"

#define MEBIBYTE (1024.0 * 1024.0)
#define MEMORY_LEAST_MIB 900.0
#define DISK_LEAST_MIB 2048.0
#define FILES_LEAST 1024

static void check_kernel(struct doctor *doctor) {
    struct utsname name;

    if (uname(&name) == 0)
        doctor_note(doctor, "machine.kernel", VERDICT_OK, "", "%s %s, %ld cores", name.release, name.machine,
                    sysconf(_SC_NPROCESSORS_ONLN));
}

static void check_memory(struct doctor *doctor) {
    struct sysinfo info;
    double total_mib;

    if (sysinfo(&info) != 0)
        return;
    total_mib = (double)info.totalram * info.mem_unit / MEBIBYTE;
    doctor_note(doctor, "machine.memory", total_mib < MEMORY_LEAST_MIB ? VERDICT_WARN : VERDICT_OK,
                "Set FILEMILL_WORKER_MEMORY_BYTES and FILEMILL_WORKER_SLOTS lower, or give the machine more.",
                "%.0f MiB, of which workers hold up to %.0f MiB of documents", total_mib,
                (double)doctor->settings.worker_memory_bytes / MEBIBYTE);
}

static void check_files(struct doctor *doctor) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    doctor_note(doctor, "machine.files", limit.rlim_max < FILES_LEAST ? VERDICT_WARN : VERDICT_OK,
                "Raise the limit of open files: LimitNOFILE= of the unit, or ulimit -n.",
                "%llu open files a process, %llu at most", (unsigned long long)limit.rlim_cur,
                (unsigned long long)limit.rlim_max);
}

static void check_disk(struct doctor *doctor) {
    const char *path = doctor->settings.state_directory;
    struct statvfs disk;
    double free_mib;

    if (path == NULL || statvfs(path, &disk) != 0) {
        doctor_note(doctor, "machine.disk", VERDICT_WARN,
                    "Start it once: `filemill serve` makes the state directory.", "no state directory yet");
        return;
    }
    free_mib = (double)disk.f_bavail * (double)disk.f_frsize / MEBIBYTE;
    doctor_note(doctor, "machine.disk", free_mib < DISK_LEAST_MIB ? VERDICT_WARN : VERDICT_OK,
                "Free some: an embedded Postgres or store that finds the disk full stops taking files.",
                "%.0f MiB free below the state directory", free_mib);
}

void doctor_machine(struct doctor *doctor) {
    check_kernel(doctor);
    check_memory(doctor);
    check_files(doctor);
    check_disk(doctor);
}
