#include "cli/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "cli/output.h"

#define CERTIFICATE_SOON_USEC (14 * 24 * 60 * USEC_PER_MINUTE)

const char *const doctor_level_names[_DOCTOR_LEVEL_MAX] = {
        [DOCTOR_OK] = "ok", [DOCTOR_WARNING] = "warning", [DOCTOR_PROBLEM] = "problem"
};

struct judge {
        const struct doctor_facts *f;
        doctor_fn fn;
        void *userdata;
        int r; /* the first failure */
};

static void tell(struct judge *j, enum doctor_level level, const char *area, const char *what,
                 const char *help)
{
        if (j->r == 0)
                j->r = j->fn(level, area, what, level == DOCTOR_OK ? NULL : help, j->userdata);
}

/* The same; takes the texts, NULL is -ENOMEM. */
static void tell_taken(struct judge *j, enum doctor_level level, const char *area, char *what,
                       const char *help)
{
        if (!what && j->r == 0)
                j->r = -ENOMEM;
        else
                tell(j, level, area, what, help);
        free(what);
}

/* A word of a list that blanks or line ends separate. */
static bool has_word(const char *text, const char *word)
{
        size_t n = strlen(word);

        for (const char *p = text; p && (p = strstr(p, word)); p += n)
                if ((p == text || strchr(" \t\n,", p[-1])) && (!p[n] || strchr(" \t\n,", p[n])))
                        return true;
        return false;
}

/* ---- the kernel ---- */

static void judge_kernel(struct judge *j)
{
        const struct doctor_facts *f = j->f;
        uint32_t major = 0, minor = 0;
        const char *dot = f->release ? strchr(f->release, '.') : NULL;
        _cleanup_free_ char *a = dot ? strndup(f->release, (size_t)(dot - f->release)) : NULL,
                            *b = dot ? strndup(dot + 1, strspn(dot + 1, "0123456789")) : NULL;
        bool known = a && b && text_to_u32(a, &major) == 0 && text_to_u32(b, &minor) == 0;

        tell_taken(j,
                   known && (major < 6 || (major == 6 && minor < 1)) ? DOCTOR_PROBLEM : DOCTOR_OK,
                   "kernel", text_printf("Linux %s", f->release ? f->release : "?"),
                   "Skiff needs Linux 6.1 or newer: install the distribution's newer kernel");
        tell(j, f->has_seccomp ? DOCTOR_OK : DOCTOR_PROBLEM, "kernel",
             f->has_seccomp ? "seccomp filters" : "no seccomp filters",
             "use a kernel with CONFIG_SECCOMP_FILTER");
        if (f->filesystems)
                tell(j,
                     has_word(f->filesystems, "overlay") || has_word(f->modules, "overlay")
                             ? DOCTOR_OK
                             : DOCTOR_WARNING,
                     "kernel", "overlay file system",
                     "'modprobe overlay', and write 'overlay' to /etc/modules-load.d/skiff.conf; "
                     "when there is no such module use a kernel with CONFIG_OVERLAY_FS");
        tell(j, f->has_nftables ? DOCTOR_OK : DOCTOR_PROBLEM, "kernel",
             f->has_nftables ? "nftables" : "no nftables",
             "'modprobe nf_tables', or use a kernel with CONFIG_NF_TABLES: host ports and Services "
             "need it");
        if (f->user_namespaces == 0)
                tell(j, DOCTOR_WARNING, "kernel", "user.max_user_namespaces is 0",
                     "write 'user.max_user_namespaces = 65536' to /etc/sysctl.d/90-skiff.conf and "
                     "run 'sysctl --system': pods with hostUsers: false need it");
}

/* ---- cgroups ---- */

static const struct {
        const char *name, *meaning;
} controllers[] = { { "cpu", "CPU weights and limits do not apply" },
                    { "cpuset", "containers cannot be pinned to CPUs" },
                    { "memory", "memory limits do not apply, no eviction by memory" },
                    { "pids", "limits on the number of processes do not apply" },
                    { "io", "no pressure of I/O is told" },
                    { "hugetlb", "limits of huge pages do not apply" } };

static bool is_hybrid(const char *mounts)
{
        for (const char *line = mounts; line && *line;
             line = strchr(line, '\n'), line = line ? line + 1 : NULL)
                if (memmem(line, strcspn(line, "\n"), " cgroup rw", strlen(" cgroup rw")))
                        return true;
        return false;
}

/* The line to add and the file it belongs in. */
static char *controller_help(const struct doctor_facts *f, const char *name)
{
        _cleanup_free_ char *disabled = text_printf("cgroup_disable=%s", name);

        if (disabled && has_word(f->cmdline, disabled))
                return text_printf("take '%s' from the kernel's command line: in "
                                   "GRUB_CMDLINE_LINUX of /etc/default/grub, then 'update-grub' "
                                   "and reboot",
                                   disabled);
        if (f->model && strstr(f->model, "Raspberry Pi"))
                return text_printf("add 'cgroup_enable=%s%s' to the one line of "
                                   "/boot/firmware/cmdline.txt (/boot/cmdline.txt before Debian "
                                   "12) and reboot",
                                   name, streq(name, "memory") ? " cgroup_memory=1" : "");
        if (is_hybrid(f->mounts))
                return strdup("cgroup v1 holds it: add 'systemd.unified_cgroup_hierarchy=1' to "
                              "GRUB_CMDLINE_LINUX in /etc/default/grub, then 'update-grub' and "
                              "reboot");
        return text_printf("use a kernel with it ('zgrep CGROUP /boot/config-$(uname -r)')");
}

static void judge_cgroups(struct judge *j)
{
        const struct doctor_facts *f = j->f;

        if (!f->controllers) {
                tell(j, DOCTOR_PROBLEM, "cgroups", "no cgroup v2 hierarchy is mounted",
                     "add 'systemd.unified_cgroup_hierarchy=1' to GRUB_CMDLINE_LINUX in "
                     "/etc/default/grub, then 'update-grub' and reboot");
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
                const char *name = controllers[i].name;
                bool is_needed = i < 4;
                _cleanup_free_ char *help = NULL;

                if (has_word(f->controllers, name)) {
                        tell_taken(j, DOCTOR_OK, "cgroups", text_printf("controller '%s'", name),
                                   NULL);
                        continue;
                }
                help = controller_help(f, name);
                tell_taken(j,
                           streq(name, "memory") ? DOCTOR_PROBLEM
                           : is_needed           ? DOCTOR_WARNING
                                                 : DOCTOR_OK,
                           "cgroups",
                           text_printf("no controller '%s': %s", name, controllers[i].meaning),
                           help ? help : "");
        }
}

/* ---- sysctls, swap, clock ---- */

static void judge_sysctl(struct judge *j, const char *name, int64_t value, int64_t least,
                         enum doctor_level level, const char *why)
{
        _cleanup_free_ char *help = text_printf("write '%s = %" PRId64
                                                "' to /etc/sysctl.d/90-skiff.conf and run 'sysctl "
                                                "--system': %s",
                                                name, least, why);

        if (value < 0)
                return;
        tell_taken(j, value < least ? level : DOCTOR_OK, "sysctl",
                   text_printf("%s = %" PRId64, name, value), help ? help : why);
}

static void judge_settings(struct judge *j)
{
        const struct doctor_facts *f = j->f;
        const char *second_line = f->swaps ? strchr(f->swaps, '\n') : NULL;

        judge_sysctl(j, "net.ipv4.ip_forward", f->ip_forward, 1, DOCTOR_PROBLEM,
                     "packets of pods are not forwarded otherwise");
        judge_sysctl(j, "fs.inotify.max_user_instances", f->inotify_instances, 512, DOCTOR_WARNING,
                     "programs in pods that watch files run out of it");
        judge_sysctl(j, "fs.inotify.max_user_watches", f->inotify_watches, 65536, DOCTOR_WARNING,
                     "programs in pods that watch files run out of it");
        judge_sysctl(j, "kernel.pid_max", f->pid_max, 32768, DOCTOR_WARNING,
                     "many pods need many process ids");
        if (f->swaps)
                tell(j, second_line && second_line[1] ? DOCTOR_WARNING : DOCTOR_OK, "swap",
                     second_line && second_line[1] ? "swap is on" : "no swap",
                     "'swapoff -a' and take it from /etc/fstab; or set failSwapOn: false in the "
                     "configuration");
        if (f->clock_known)
                tell(j, f->clock_synchronized ? DOCTOR_OK : DOCTOR_WARNING, "clock",
                     f->clock_synchronized ? "synchronized" : "not synchronized",
                     "'apt install systemd-timesyncd' (or chrony): certificates and tokens are "
                     "refused when clocks differ");
}

/* ---- disks ---- */

static void judge_disks(struct judge *j)
{
        for (size_t i = 0; i < j->f->n_disks; i++) {
                const struct doctor_disk *d = &j->f->disks[i];
                char free_text[32], size_text[32];
                enum doctor_level level;

                if (!d->size)
                        continue;
                level = d->free < d->size / 20 || (d->inodes && d->inodes_free < d->inodes / 20)
                                ? DOCTOR_PROBLEM
                        : d->free < d->size / 10 || (d->inodes && d->inodes_free < d->inodes / 10)
                                ? DOCTOR_WARNING
                                : DOCTOR_OK;
                tell_taken(j, level, "disk",
                           text_printf("%s: %s of %s free, %" PRIu64 " inodes free", d->path,
                                       size_format(d->free, free_text),
                                       size_format(d->size, size_text), d->inodes_free),
                           "free some: 'skiff images' and 'skiff image rm', 'journalctl "
                           "--vacuum-size=200M', old files below /var/log");
        }
}

/* ---- DNS ---- */

static void judge_dns(struct judge *j)
{
        size_t n = 0;
        bool has_loopback = false;

        if (!j->f->resolv_conf) {
                tell(j, DOCTOR_WARNING, "DNS", "no /etc/resolv.conf",
                     "name a resolver in it, or images cannot be pulled by name");
                return;
        }
        for (const char *line = j->f->resolv_conf; line && *line;
             line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                const char *rest = startswith(line, "nameserver");

                if (!rest || (*rest != ' ' && *rest != '\t'))
                        continue;
                rest += strspn(rest, " \t");
                n++;
                has_loopback |= startswith(rest, "127.") || startswith(rest, "::1");
        }
        if (n == 0)
                tell(j, DOCTOR_WARNING, "DNS", "/etc/resolv.conf names no resolver",
                     "add a line 'nameserver ADDRESS'");
        else if (has_loopback)
                tell(j, DOCTOR_WARNING, "DNS",
                     "/etc/resolv.conf names a resolver at a loopback address, which pods cannot "
                     "reach",
                     "set resolvConf: /run/systemd/resolve/resolv.conf (with systemd-resolved), or "
                     "another file, in the configuration");
        else if (n > 3)
                tell(j, DOCTOR_WARNING, "DNS", "/etc/resolv.conf names more than 3 resolvers",
                     "leave three: the others are not asked");
        else
                tell_taken(j, DOCTOR_OK, "DNS", text_printf("%zu resolver%s", n, n == 1 ? "" : "s"),
                           NULL);
}

/* ---- certificates, skiffd, the API server ---- */

static void judge_certificates(struct judge *j)
{
        for (size_t i = 0; i < j->f->n_certificates; i++) {
                const struct doctor_certificate *c = &j->f->certificates[i];
                char time[TIME_TEXT_MAX];
                enum doctor_level level = c->trouble || c->expires <= j->f->now ? DOCTOR_PROBLEM
                                          : c->expires <= j->f->now + CERTIFICATE_SOON_USEC
                                                  ? DOCTOR_WARNING
                                                  : DOCTOR_OK;

                tell_taken(j, level, "certificates",
                           c->trouble ? text_printf("%s: %s", c->path, c->trouble)
                                      : text_printf("%s %s %s", c->path,
                                                    c->expires <= j->f->now ? "expired at"
                                                                            : "expires at",
                                                    time_format(c->expires, time)),
                           "let the cluster issue a new one ('kubeadm certs renew' and 'kubeadm "
                           "kubeconfig' make them; with rotateCertificates skiffd asks by itself)");
        }
}

static void judge_daemon(struct judge *j)
{
        const json_t *node = j->f->node;
        const char *api = json_text_at(node, "apiServer"), *why = json_text_at(node, "notReady");

        if (!node) {
                tell_taken(j, DOCTOR_PROBLEM, "skiffd",
                           text_printf("it does not answer: %s",
                                       j->f->daemon_trouble ? j->f->daemon_trouble : "?"),
                           "'systemctl status skiffd' and 'journalctl -u skiffd' say why; "
                           "'systemctl enable --now skiffd' starts it");
                return;
        }
        tell_taken(j, why ? DOCTOR_PROBLEM : DOCTOR_OK, "skiffd",
                   text_printf("node %s, %s", json_text_at(node, "name"), why ? why : "ready"),
                   "see 'skiff status'");
        if (!api)
                return;
        tell_taken(j, streq(api, "not reachable") ? DOCTOR_PROBLEM : DOCTOR_OK, "API server",
                   strdup(api),
                   "check the address in the kubeconfig, the network to it, and its certificate: "
                   "'journalctl -u skiffd' says what failed");
}

/* ---- ports ---- */

/* Somebody listens on @port: a line of /proc/net/tcp with state 0A. */
static bool is_listened(const char *table, uint16_t port)
{
        char sign[8];

        snprintf(sign, sizeof sign, ":%04X ", port);
        for (const char *line = table; line && *line;
             line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                const char *at = memmem(line, MIN(strcspn(line, "\n"), (size_t)60), sign, 6);

                /* "  0: 00000000:280A 00000000:0000 0A": local, remote, state */
                if (at && at < strchr(line, ':') + 45) {
                        const char *state = strchr(at + 1, ' ');

                        state = state ? strchr(state + 1, ' ') : NULL;
                        if (state && startswith(state + 1, "0A"))
                                return true;
                }
        }
        return false;
}

static void judge_ports(struct judge *j)
{
        static const struct {
                uint16_t port;
                const char *ours, *what;
        } ports[] = { { 10250, "skiffd", "the kubelet's API" },
                      { 10248, "skiffd", "the kubelet's /healthz" },
                      { 10256, "skiff-netproxy", "health checks of kube-proxy" },
                      { 10249, "skiff-netproxy", "kube-proxy's metrics" } };
        bool all_fine = true;

        for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
                if (!is_listened(j->f->tcp, ports[i].port) &&
                    !is_listened(j->f->tcp6, ports[i].port))
                        continue;
                if (strv_contains(j->f->programs, ports[i].ours))
                        continue;
                all_fine = false;
                tell_taken(j, DOCTOR_PROBLEM, "ports",
                           text_printf("port %u (%s) is taken, and %s does not run", ports[i].port,
                                       ports[i].what, ports[i].ours),
                           "'ss -lntp' says by whom: stop it, or change the port in the "
                           "configuration");
        }
        if (all_fine && j->f->tcp)
                tell(j, DOCTOR_OK, "ports", "10248, 10249, 10250, 10256 are free, or Skiff's",
                     NULL);
}

/* ---- others ---- */

static void judge_others(struct judge *j)
{
        static const struct {
                const char *program, *help;
                enum doctor_level level;
        } others[] = {
                { "kubelet",
                  "'systemctl disable --now kubelet': two kubelets of one node fight "
                  "over its pods",
                  DOCTOR_PROBLEM },
                { "kube-proxy",
                  "remove its DaemonSet or unit where skiff-netproxy runs; the rules "
                  "of one hide the other's",
                  DOCTOR_WARNING },
                { "k3s", "'systemctl disable --now k3s k3s-agent': it brings a kubelet of its own",
                  DOCTOR_PROBLEM },
                { "containerd",
                  "Skiff does not need it: 'systemctl disable --now containerd' when "
                  "nothing else does",
                  DOCTOR_WARNING },
                { "dockerd",
                  "Skiff does not need it; its firewall rules may drop forwarded "
                  "packets ('iptables -P FORWARD ACCEPT')",
                  DOCTOR_WARNING },
                { "crio", "Skiff does not need it: 'systemctl disable --now crio'",
                  DOCTOR_WARNING },
        };
        bool all_fine = true;

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strv_contains(j->f->programs, others[i].program)) {
                        all_fine = false;
                        tell_taken(j, others[i].level, "others",
                                   text_printf("%s runs", others[i].program), others[i].help);
                }
        STRV_FOREACH (path, j->f->remains) {
                all_fine = false;
                tell_taken(j, DOCTOR_WARNING, "others", text_printf("%s is left there", *path),
                           "it is another runtime's: remove it when that is no longer used");
        }
        STRV_FOREACH (name, j->f->interfaces)
                if (streq(*name, "cni0") || streq(*name, "docker0") || startswith(*name, "flannel"))
                        tell_taken(j, DOCTOR_WARNING, "others",
                                   text_printf("network interface '%s'", *name),
                                   "when nothing uses it any more: 'ip link delete NAME'; its "
                                   "routes may take pods' packets");
        if (all_fine)
                tell(j, DOCTOR_OK, "others", "no other container runtime", NULL);
}

int doctor_judge(const struct doctor_facts *f, doctor_fn fn, void *userdata)
{
        struct judge j = { f, fn, userdata, 0 };

        judge_kernel(&j);
        judge_cgroups(&j);
        judge_settings(&j);
        judge_disks(&j);
        judge_dns(&j);
        judge_certificates(&j);
        judge_daemon(&j);
        judge_ports(&j);
        judge_others(&j);
        return j.r;
}
