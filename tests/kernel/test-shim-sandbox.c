/* What a sandbox's containers share: network, host name, sysctls, /dev/shm, PID namespace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_outcome o;
static struct rig_message m;
static struct rig_exec_outcome e;
static const struct rig_container sleeper = { .argv = (const char *const[]){ "sleep", "1000",
                                                                             NULL } };

static void run_ok(const char *script, struct rig_container c)
{
        c.argv = rig_sh(script);
        rig_run(&c, &o);
        CHECK_STR(o.text, "");
        CHECK_INT(o.exit_code, 0);
}

static const char *start(struct rig_container c)
{
        const char *id = rig_new_id();

        CHECK_INT(rig_create(id, &c, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        return id;
}

/* In the rig's network namespace, which is the host's to the shim. */
static int host(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int host(const char *fmt, ...)
{
        char command[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(command, sizeof command, fmt, ap);
        va_end(ap);
        return system(command);
}

static bool have_ipv6(void)
{
        return access("/proc/net/if_inet6", F_OK) == 0;
}

TEST(the_host_name_and_a_loopback_device_are_the_sandbox_s_own)
{
        rig_up(&(struct rig_sandbox){ .hostname = "web-0" });
        run_ok("hostname; ip -4 -o addr show lo | awk '{print $4}'; ls /sys/class/net; ping -c1 -W1 "
               "127.0.0.1 >/dev/null && echo up",
               (struct rig_container){ 0 });
        CHECK_STR(o.out, "web-0\n127.0.0.1/8\nlo\nup\n");
        rig_down();
}

TEST(a_link_joins_sandbox_and_host_without_arp)
{
        rig_up(&(struct rig_sandbox){ .link = true });
        CHECK_INT(host("ip link set lo up; ip addr add 192.168.77.1/32 dev lo"), 0);
        run_ok("ip -4 -o addr show eth0 | awk '{print $4}'; ip route; cat /sys/class/net/eth0/mtu "
               "/sys/class/net/eth0/address; ping -c1 -W2 192.168.77.1 >/dev/null && echo reached",
               (struct rig_container){ 0 });
        CHECK_STR(o.out, "10.244.1.7/32\ndefault via 169.254.1.1 dev eth0 \n"
                         "169.254.1.1 dev eth0 scope link \n1400\n02:00:00:00:00:02\nreached\n");
        CHECK_INT(host("ip route | grep -q '^10.244.1.7 dev %s .*scope link'", rig_host_link), 0);
        CHECK_INT(host("ip neigh | grep -q '^10.244.1.7 dev %s lladdr 02:00:00:00:00:02 PERMANENT'",
                       rig_host_link),
                  0);
        CHECK_INT(host("test $(cat /proc/sys/net/ipv4/conf/%s/rp_filter) = 1", rig_host_link), 0);
        if (have_ipv6())
                CHECK_INT(host("test $(cat /proc/sys/net/ipv6/conf/%s/disable_ipv6) = 1",
                               rig_host_link),
                          0);
        {
                const char *id = start(sleeper);

                CHECK_INT(host("busybox ping -c1 -W2 10.244.1.7 >/dev/null"), 0);
                CHECK_INT(rig_request(SHIM_KILL, id, 9, NULL, 0, NULL), 0);
        }
        rig_down();
        for (int n = 0; n < 1000 && host("ip link show %s >/dev/null 2>&1", rig_host_link) == 0;
             n++)
                usleep(10000);
        CHECK(host("ip link show %s >/dev/null 2>&1", rig_host_link) != 0);
        CHECK_INT(host("ip addr del 192.168.77.1/32 dev lo"), 0);
}

TEST(ipv6_addresses_work_at_once_without_duplicate_address_detection)
{
        if (!have_ipv6())
                SKIP("no IPv6");
        rig_up(&(struct rig_sandbox){ .link = true, .ipv6 = true });
        CHECK_INT(host("ip link set lo up; ip -6 addr add fd77::1/128 dev lo"), 0);
        run_ok("ip -6 route | grep default; ping -6 -c1 -W2 fd77::1 >/dev/null && echo reached; "
               "ip -6 -o addr show eth0 | grep -c 'fd00::7/128.*tentative'; true",
               (struct rig_container){ 0 });
        CHECK_CONTAINS(o.out, "default via fe80::1 dev eth0");
        CHECK_CONTAINS(o.out, "reached\n0\n");
        CHECK_INT(host("test $(cat /proc/sys/net/ipv6/conf/%s/accept_ra) = 0", rig_host_link), 0);
        CHECK_INT(host("ip -6 addr del fd77::1/128 dev lo"), 0);
        rig_down();
}

TEST(a_link_that_cannot_be_made_is_told_with_its_kind)
{
        CHECK(system("true") == 0);
        rig_up(&(struct rig_sandbox){ .link = true });
        {
                char next[16];
                unsigned n;

                CHECK_INT(sscanf(rig_host_link, "veth-%u", &n), 1);
                snprintf(next, sizeof next, "veth-%u", n + 1);
                CHECK_INT(host("ip link add %s type veth peer name veth-peer", next), 0);
                rig_down();
                rig_start(&(struct rig_sandbox){ .link = true }, &m);
                CHECK_INT(m.m.verb, SHIM_FAILED);
                CHECK_INT(m.m.request, 0);
                CHECK_INT(m.m.value, -EEXIST);
                CHECK_INT(m.m.kind, ERR_SANDBOX_NETWORK);
                CHECK_CONTAINS(m.text, next);
                CHECK_INT(host("ip link del %s", next), 0);
        }
        CHECK(waitpid(rig_shim, NULL, 0) == rig_shim);
        rig_shim = 0;
}

TEST(sysctls_of_the_sandbox_s_namespaces_are_set_and_no_others)
{
        rig_up(&(struct rig_sandbox){ .sysctl = { "net/ipv4/ip_unprivileged_port_start", "0" } });
        run_ok("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", (struct rig_container){ 0 });
        CHECK_STR(o.out, "0\n");
        rig_down();
        rig_up(&(struct rig_sandbox){ .sysctl = { "kernel/shm_rmid_forced", "1" } });
        rig_down();
        CHECK_INT(host("test $(cat /proc/sys/kernel/shm_rmid_forced) = 0"), 0);

        {
                static const struct rig_sandbox refused[] = {
                        { .sysctl = { "kernel/core_pattern", "|/bin/x" } },
                        { .sysctl = { "net/ipv4/ip_forward", "1" }, .flags = PLAN_HOST_NETWORK },
                        { .sysctl = { "kernel/sem", "1" }, .flags = PLAN_HOST_IPC },
                        { .sysctl = { "net/../kernel/core_pattern", "x" } },
                        { .sysctl = { "net//ipv4", "x" } },
                        { .sysctl = { "net/ipv4/ip_forward", "1\nkernel.core_pattern=x" } },
                        { .sysctl = { "net/no/such/thing", "1" } },
                };

                for (size_t n = 0; n < sizeof refused / sizeof *refused; n++) {
                        rig_start(&refused[n], &m);
                        CHECK_INT(m.m.verb, SHIM_FAILED);
                        CHECK_INT(m.m.kind, ERR_SANDBOX);
                        CHECK(waitpid(rig_shim, NULL, 0) == rig_shim);
                        rig_shim = 0;
                }
        }
}

TEST(dev_shm_is_one_for_the_sandbox_and_of_the_planned_size)
{
        const char *id;

        rig_up(&(struct rig_sandbox){ 0 });
        id = start(sleeper);
        rig_exec(id, rig_sh("echo shared > /dev/shm/file; ln -s /etc /dev/shm/link"), 25000, 100,
                 &e);
        CHECK_INT(e.exit_code, 0);
        run_ok("cat /dev/shm/file; df -k /dev/shm | awk 'END{print $2}'",
               (struct rig_container){ 0 });
        CHECK_STR(o.out, "shared\n8192\n");
        rig_down();
        rig_up(&(struct rig_sandbox){ 0 });
        run_ok("ls /dev/shm | wc -l", (struct rig_container){ 0 });
        CHECK_STR(o.out, "0\n");
        rig_down();
}

TEST(containers_of_a_shared_pid_namespace_see_each_other_and_a_pause_that_reaps)
{
        const char *id;

        rig_up(&(struct rig_sandbox){ .flags = PLAN_SHARED_PID });
        id = start((struct rig_container){ .argv = rig_sh("sleep 777"), .shared_pid = true });
        run_ok("cat /proc/1/comm; ps | grep -c 'sleep 77[7]'; (sleep 0.1 & ) ; sleep 1.5; "
               "cat /proc/[0-9]*/stat | grep -c ') Z '; cat /proc/1/status | grep -E '^(Uid|CapEff|CapPrm)'; "
               "readlink /proc/1/exe || echo hidden; ls /proc/1/fd 2>/dev/null | wc -l",
               (struct rig_container){ .shared_pid = true });
        CHECK_STR(o.out, "pause\n1\n0\nUid:\t65535\t65535\t65535\t65535\n"
                         "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nhidden\n0\n");
        rig_exec(id, rig_sh("echo $$ | grep -c ."), 25000, 100, &e);
        CHECK_STR(e.output, "1\n");
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 128 + SIGTERM);
        rig_down();
}

/* Looks, as a tracer in the PID namespace of @pid could, for processes whose root is the host's. */
static _Noreturn void watch_roots(pid_t pid, int told)
{
        char path[512];
        struct stat host, seen;
        int ns;

        snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
        ns = open(path, O_RDONLY | O_CLOEXEC);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ns < 0 || stat("/", &host) < 0 || unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || setns(ns, CLONE_NEWPID) < 0)
                _exit(1);
        if (fork() > 0) {
                wait(NULL);
                _exit(0);
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (mount("proc", rig_path("watched"), "proc", 0, NULL) < 0 ||
            write(told, "r", 1) != 1) /* ready */
                _exit(1);
        for (;;) {
                DIR *dir = opendir(rig_path("watched"));
                struct dirent *entry;

                while (dir && (entry = readdir(dir))) {
                        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
                            atoi(entry->d_name) == getpid())
                                continue;
                        snprintf(path, sizeof path, "%s/%s/root/", rig_path("watched"),
                                 entry->d_name);
                        if (stat(path, &seen) == 0 && seen.st_dev == host.st_dev &&
                            seen.st_ino == host.st_ino && write(told, "L", 1) != 1)
                                _exit(1);
                }
                closedir(dir);
        }
}

/*
 * What prepares a container stands in the host's mount namespace, and must never be seen from
 * within the sandbox: who may trace there would walk out by /proc/<pid>/root (INV-09).
 */
TEST(nobody_in_a_shared_pid_namespace_sees_a_process_that_has_the_host_s_root)
{
        const char *id, *quick[] = { "true", NULL };
        struct rig_container c = { .argv = quick, .shared_pid = true };
        char found[64] = "";
        int told[2];
        pid_t watcher, pid;

        rig_up(&(struct rig_sandbox){ .flags = PLAN_SHARED_PID });
        id = start((struct rig_container){ .argv = rig_sh("sleep 1000"), .shared_pid = true });
        pid = (pid_t)m.m.value;
        CHECK(pid > 0);
        mkdir(rig_path("watched"), 0755);
        CHECK_INT(pipe(told), 0);
        watcher = fork();
        if (watcher == 0)
                watch_roots(pid, told[1]);
        close(told[1]);
        CHECK_INT(read(told[0], found, 1), 1);
        CHECK_STR(found, "r");
        for (int n = 0; n < 150; n++) {
                rig_run(&c, &o);
                CHECK_INT(o.r, 0);
                if (n < 50)
                        rig_exec(id, quick, 25000, 0, &e);
        }
        kill(watcher, SIGKILL);
        waitpid(watcher, NULL, 0);
        while (read(told[0], found, sizeof found - 1) > 0)
                CHECK(!strchr(found, 'L'));
        close(told[0]);
        rmdir(rig_path("watched"));
        rig_down();
}

TEST(what_a_container_leaves_in_a_shared_pid_namespace_dies_with_it)
{
        const char *watcher, *id;

        rig_up(&(struct rig_sandbox){ .flags = PLAN_SHARED_PID });
        watcher = start((struct rig_container){ .argv = rig_sh("sleep 1000"), .shared_pid = true });
        id = start((struct rig_container){ .argv = rig_sh("setsid sleep 888 & sleep 0.1; exit 6"),
                                           .shared_pid = true });
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 6);
        rig_exec(watcher,
                 rig_sh("for i in $(seq 200); do ps | grep -q 'sleep 88[8]' || exit 0; "
                        "usleep 50000; done; exit 1"),
                 25000, 100, &e);
        CHECK_INT(e.exit_code, 0);
        rig_down();
}

TEST(a_sandbox_whose_first_process_dies_ends_and_records_its_containers)
{
        char text[512], command[128];
        const char *id;
        int status;

        rig_up(&(struct rig_sandbox){ .flags = PLAN_SHARED_PID });
        id = start((struct rig_container){ .argv = rig_sh("sleep 1000"), .shared_pid = true });
        snprintf(command, sizeof command,
                 "kill -9 $(cat /proc/%d/task/%d/children | cut -d' ' -f1)", rig_shim, rig_shim);
        CHECK_INT(system(command), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 137);
        CHECK_INT(waitpid(rig_shim, &status, 0), rig_shim);
        rig_shim = 0;
        CHECK(rig_read(rig_path("containers/%s/exit", id), text, sizeof text) > 0);
}

TEST(a_shim_that_is_killed_takes_the_first_process_of_its_namespace_along)
{
        _cleanup_close_ int first = -1;
        struct pollfd p;
        char path[64], text[32];

        rig_up(&(struct rig_sandbox){ .flags = PLAN_SHARED_PID });
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", rig_shim, rig_shim);
        CHECK(rig_read(path, text, sizeof text) > 0);
        first = (int)syscall(SYS_pidfd_open, (pid_t)strtol(text, NULL, 10), 0);
        CHECK(first >= 0);
        kill(rig_shim, SIGKILL);
        waitpid(rig_shim, NULL, 0);
        rig_shim = 0;
        p = (struct pollfd){ .fd = first, .events = POLLIN };
        CHECK_INT(poll(&p, 1, 5000), 1);
}

TEST(the_host_s_namespaces_are_used_where_the_sandbox_says_so)
{
        char ours[64], wanted[512];
        size_t n = 0;
        static const char *const names[] = { "net", "ipc", "uts", "pid" };

        for (int k = 0; k < 4; k++) {
                char path[64];
                ssize_t len;

                snprintf(path, sizeof path, "/proc/self/ns/%s", names[k]);
                len = readlink(path, ours, sizeof ours - 1);
                CHECK(len > 0);
                ours[len] = '\0';
                n += (size_t)snprintf(wanted + n, sizeof wanted - n, "%s\n", ours);
        }
        rig_up(&(struct rig_sandbox){ .flags = PLAN_HOST_NETWORK | PLAN_HOST_IPC | PLAN_HOST_UTS |
                                               PLAN_HOST_PID });
        run_ok("for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; ls /proc/self/fd",
               (struct rig_container){ .shared_pid = true });
        snprintf(wanted + n, sizeof wanted - n, "0\n1\n2\n3\n");
        /* our namespaces may have changed when the rig was made: compare what it has now */
        CHECK_INT(strlen(o.out), strlen(wanted));
        run_ok("ls /proc | grep -c '^[0-9]'", (struct rig_container){ .shared_pid = true });
        CHECK(atoi(o.out) > 3);
        rig_down();
}

TEST(a_plan_that_is_none_ends_the_shim_with_a_sentence)
{
        /* a host name beside the host's own namespace */
        rig_start(&(struct rig_sandbox){ .hostname = "x", .flags = PLAN_HOST_UTS }, &m);
        CHECK_INT(m.m.verb, SHIM_FAILED);
        CHECK_CONTAINS(m.text, "host name beside the host's");
        CHECK(waitpid(rig_shim, NULL, 0) == rig_shim);
        rig_shim = 0;
}

TEST(the_shim_is_not_dumpable_and_holds_only_what_it_needs)
{
        struct stat st;
        char path[64];

        rig_up(&(struct rig_sandbox){ 0 });
        snprintf(path, sizeof path, "/proc/%d/mem", rig_shim);
        CHECK_INT(stat(path, &st), 0);
        snprintf(path, sizeof path, "ls /proc/%d/fd | wc -l", rig_shim);
        {
                FILE *p = popen(path, "r");
                char text[16];

                CHECK(p && fgets(text, sizeof text, p));
                pclose(p);
                /* streams 3, listener, connection, records, epoll, signals, null, mount namespace
                 */
                CHECK(atoi(text) <= 11);
        }
        rig_down();
}
