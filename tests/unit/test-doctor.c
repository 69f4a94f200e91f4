#include "cli/doctor.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "tests/check.h"

static struct strbuf told;

static int note(enum doctor_level level, const char *area, const char *what, const char *help,
                _unused_ void *userdata)
{
        if (level != DOCTOR_OK)
                strbuf_addf(&told, "%s: %s: %s -> %s\n", doctor_level_names[level], area, what,
                            help);
        return 0;
}

/* A machine that lacks nothing. */
static struct doctor_facts fine(void)
{
        return (struct doctor_facts){
                .release = "6.1.0-18-amd64",
                .cmdline = "root=/dev/sda1 ro quiet\n",
                .mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
                .controllers = "cpuset cpu io memory hugetlb pids rdma misc\n",
                .filesystems = "nodev\tsysfs\nnodev\toverlay\n",
                .swaps = "Filename\tType\n",
                .resolv_conf = "search x\nnameserver 10.0.0.2\n",
                .tcp = "  sl  local_address rem_address   st\n",
                .tcp6 = "",
                .ip_forward = 1,
                .inotify_instances = 8192,
                .inotify_watches = 524288,
                .pid_max = 4194304,
                .user_namespaces = 1000,
                .has_seccomp = true,
                .has_nftables = true,
                .clock_known = true,
                .clock_synchronized = true,
                .node = json_pack("{s:s, s:s}", "name", "n", "apiServer", "connected"),
                .now = 1000 * USEC_PER_SEC,
        };
}

/* What is not fine of @f, whose node it takes. */
static const char *judged(struct doctor_facts f)
{
        strbuf_done(&told);
        CHECK(doctor_judge(&f, note, NULL) == 0);
        json_decref(f.node);
        return told.data ? told.data : "";
}

TEST(a_machine_that_lacks_nothing_has_no_findings)
{
        CHECK_STR(judged(fine()), "");
}

TEST(an_old_kernel_is_a_problem)
{
        struct doctor_facts f = fine();

        f.release = "5.10.0-28-amd64";
        CHECK(startswith(judged(f), "problem: kernel: Linux 5.10.0-28-amd64 -> "));
}

TEST(a_raspberry_pi_is_told_the_line_and_its_file)
{
        struct doctor_facts f = fine();

        f.controllers = "cpuset cpu io pids\n";
        f.model = "Raspberry Pi 4 Model B Rev 1.4";
        CHECK_STR(
                judged(f),
                "problem: cgroups: no controller 'memory': memory limits do not apply, no eviction "
                "by memory -> add 'cgroup_enable=memory cgroup_memory=1' to the one line of "
                "/boot/firmware/cmdline.txt (/boot/cmdline.txt before Debian 12) and reboot\n");
}

TEST(a_hybrid_hierarchy_is_told_the_way_out)
{
        struct doctor_facts f = fine();

        f.controllers = "cpuset cpu memory\n";
        f.mounts = "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n"
                   "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        CHECK(strstr(judged(f), "no controller 'pids'"));
        CHECK(strstr(judged((f.node = fine().node, f)), "systemd.unified_cgroup_hierarchy=1"));
        f = fine();
        f.controllers = "cpuset cpu pids io\n";
        f.cmdline = "ro cgroup_disable=memory\n";
        CHECK(strstr(judged(f), "take 'cgroup_disable=memory' from the kernel's command line"));
}

TEST(settings_are_told_with_the_file_they_belong_in)
{
        struct doctor_facts f = fine();

        f.ip_forward = 0;
        f.inotify_instances = 128;
        f.swaps = "Filename\tType\n/dev/sda2 partition\n";
        f.clock_synchronized = false;
        judged(f);
        CHECK(strstr(told.data, "problem: sysctl: net.ipv4.ip_forward = 0 -> write "
                                "'net.ipv4.ip_forward = 1' to /etc/sysctl.d/90-skiff.conf"));
        CHECK(strstr(told.data, "warning: sysctl: fs.inotify.max_user_instances = 128"));
        CHECK(strstr(told.data, "warning: swap: swap is on"));
        CHECK(strstr(told.data, "warning: clock: not synchronized"));
}

TEST(certificates_are_told_before_they_expire)
{
        struct doctor_certificate c[] = { { "/a", NULL, 999 * USEC_PER_SEC },
                                          { "/b", NULL, 2000 * USEC_PER_SEC },
                                          { "/c", "no certificate in PEM is in it", 0 },
                                          { "/d", NULL, 100000000 * USEC_PER_SEC } };
        struct doctor_facts f = fine();

        f.certificates = c;
        f.n_certificates = ARRAY_SIZE(c);
        judged(f);
        CHECK(strstr(told.data, "problem: certificates: /a expired at 1970-01-01T00:16:39Z"));
        CHECK(strstr(told.data, "warning: certificates: /b expires at"));
        CHECK(strstr(told.data, "problem: certificates: /c: no certificate"));
        CHECK(!strstr(told.data, "/d"));
}

TEST(full_disks_and_resolvers_that_pods_cannot_reach_are_told)
{
        struct doctor_disk d[] = { { "/var/lib/skiff", 3, 100, 50, 100 },
                                   { "/run", 50, 100, 8, 100 } };
        struct doctor_facts f = fine();

        f.disks = d;
        f.n_disks = 2;
        f.resolv_conf = "nameserver 127.0.0.53\n";
        judged(f);
        CHECK(strstr(told.data, "problem: disk: /var/lib/skiff: 3B of 100B free"));
        CHECK(strstr(told.data, "warning: disk: /run"));
        CHECK(strstr(told.data, "set resolvConf: /run/systemd/resolve/resolv.conf"));
}

TEST(a_port_is_taken_when_the_listener_is_not_ours)
{
        char *ours[] = { "skiffd", NULL };
        struct doctor_facts f = fine();

        f.tcp = "  sl  local_address rem_address   st tx_queue\n"
                "   0: 00000000:280A 00000000:0000 0A 00000000:00000000\n"
                "   1: 0100007F:2808 0100007F:1234 01 00000000:00000000\n";
        CHECK(startswith(judged(f), "problem: ports: port 10250 (the kubelet's API) is taken"));
        CHECK(!strstr(told.data, "10248"));
        f = fine();
        f.tcp = "   0: 00000000:280A 00000000:0000 0A 00000000:00000000\n";
        f.programs = ours;
        CHECK_STR(judged(f), "");
}

TEST(other_runtimes_are_told)
{
        char *programs[] = { "containerd", "kubelet", NULL }, *links[] = { "cni0", "eth0", NULL };
        struct doctor_facts f = fine();

        f.programs = programs;
        f.interfaces = links;
        judged(f);
        CHECK(strstr(told.data, "problem: others: kubelet runs"));
        CHECK(strstr(told.data, "warning: others: containerd runs"));
        CHECK(strstr(told.data, "network interface 'cni0'"));
        CHECK(!strstr(told.data, "eth0"));
}

TEST(a_daemon_that_does_not_answer_is_a_problem)
{
        struct doctor_facts f = fine();

        json_decref(f.node);
        f.node = NULL;
        f.daemon_trouble = "nobody there";
        CHECK(startswith(judged(f), "problem: skiffd: it does not answer: nobody there -> "));
        strbuf_done(&told);
}

TEST(facts_come_from_files)
{
        char root[] = "/tmp/skiff-doctor-XXXXXX";
        static const char *const files[][2] = {
                { "proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n" },
                { "sys/fs/cgroup/cgroup.controllers", "cpu memory\n" },
                { "proc/sys/net/ipv4/ip_forward", "1\n" },
                { "proc/12/comm", "containerd\n" },
                { "run/crio/crio.sock", "" },
                { "var/lib/kubelet/pki/kubelet.crt", "rubbish" },
        };
        struct doctor_facts f = { 0 };
        int fd;

        CHECK(mkdtemp(root));
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(fd >= 0);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *folder =
                        strndup(files[i][0], (size_t)(strrchr(files[i][0], '/') - files[i][0]));

                CHECK(fs_mkdir_p_at(fd, folder, 0755) == 0);
                CHECK(fs_replace_at(fd, files[i][0], files[i][1], strlen(files[i][1]), 0644,
                                    false) == 0);
        }
        CHECK(doctor_facts_read(root, &f) == 0);
        CHECK_STR(f.controllers, "cpu memory\n");
        CHECK(f.ip_forward == 1 && f.pid_max == -1);
        CHECK(f.programs && streq(f.programs[0], "containerd"));
        CHECK(f.remains && streq(f.remains[0], "/run/crio/crio.sock"));
        CHECK(f.n_certificates == 1 &&
              streq(f.certificates[0].path, "/var/lib/kubelet/pki/kubelet.crt"));
        CHECK(f.certificates[0].trouble != NULL);
        doctor_facts_done(&f);
        close(fd);
        CHECK(fs_remove_tree_at(AT_FDCWD, root) == 0);
}
