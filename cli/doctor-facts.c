/*
 * Reads what cli/doctor judges.
 */
#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>

#include <linux/netlink.h>

#include "base/fs.h"
#include "cli/doctor.h"

enum { FILE_MAX = 1 << 20 };

void doctor_facts_done(struct doctor_facts *f)
{
        char *const texts[] = { f->release,     f->cmdline, f->mounts, f->controllers,
                                f->filesystems, f->model,   f->swaps,  f->modules,
                                f->resolv_conf, f->tcp,     f->tcp6,   f->daemon_trouble };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                free(texts[i]);
        for (size_t i = 0; i < f->n_disks; i++)
                free(f->disks[i].path);
        for (size_t i = 0; i < f->n_certificates; i++) {
                free(f->certificates[i].path);
                free(f->certificates[i].trouble);
        }
        strv_free(f->programs);
        strv_free(f->interfaces);
        strv_free(f->remains);
        free(f->disks);
        free(f->certificates);
        json_decref(f->node);
        *f = (struct doctor_facts){ 0 };
}

static char *text_of(int root_fd, const char *path)
{
        char *text = NULL;

        return fs_read_at(root_fd, path, FILE_MAX, &text, NULL) < 0 ? NULL : text;
}

static int64_t number_of(int root_fd, const char *path)
{
        _cleanup_free_ char *line = NULL;
        int64_t v;

        return fs_read_line_at(root_fd, path, &line) == 0 && text_to_i64(line, &v) == 0 ? v : -1;
}

static bool exists(int root_fd, const char *path)
{
        return faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* "/sys/fs/cgroup" or "/sys/fs/cgroup/unified": where the v2 hierarchy is, without its '/'; owned.
 */
static char *cgroup2_mount(const char *mounts)
{
        for (const char *line = mounts; line && *line;
             line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                const char *path = strchr(line, ' '), *end = path ? strchr(path + 1, ' ') : NULL;

                if (end && startswith(end + 1, "cgroup2 "))
                        return strndup(path + 2, (size_t)(end - path - 2));
        }
        return NULL;
}

static void read_programs(int root_fd, struct doctor_facts *f)
{
        static const char *const known[] = { "kubelet",    "kube-proxy",     "k3s",
                                             "containerd", "dockerd",        "crio",
                                             "skiffd",     "skiff-netproxy", NULL };
        _cleanup_strv_ char **pids = NULL;

        if (fs_list_at(root_fd, "proc", &pids) < 0)
                return;
        STRV_FOREACH (pid, pids) {
                _cleanup_free_ char *path = NULL, *comm = NULL;
                uint32_t number;

                if (text_to_u32(*pid, &number) < 0)
                        continue;
                path = text_printf("proc/%s/comm", *pid);
                if (path && fs_read_line_at(root_fd, path, &comm) == 0 &&
                    strv_contains((char *const *)known, comm) && !strv_contains(f->programs, comm))
                        (void)strv_append(&f->programs, comm);
        }
}

static void read_remains(int root_fd, struct doctor_facts *f)
{
        static const char *const paths[] = {
                "run/containerd/containerd.sock",
                "run/crio/crio.sock",
                "run/docker.sock",
                "var/run/dockershim.sock",
                "run/k3s",
                "var/lib/rancher/k3s",
        };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                if (exists(root_fd, paths[i]))
                        (void)strv_consume(&f->remains, text_printf("/%s", paths[i]));
}

static void read_disks(struct doctor_facts *f)
{
        static const char *const paths[] = { "/var/lib/skiff", "/var/lib/kubelet", "/var/log",
                                             "/run" };

        f->disks = calloc(ARRAY_SIZE(paths), sizeof *f->disks);
        for (size_t i = 0; f->disks && i < ARRAY_SIZE(paths); i++) {
                struct doctor_disk *d = &f->disks[f->n_disks];
                struct statvfs v;

                d->path = strdup(paths[i]);
                if (!d->path)
                        return;
                f->n_disks++;
                if (statvfs(paths[i], &v) < 0)
                        continue;
                d->size = (uint64_t)v.f_blocks * v.f_frsize;
                d->free = (uint64_t)v.f_bavail * v.f_frsize;
                d->inodes = v.f_files;
                d->inodes_free = v.f_favail;
        }
}

int certificate_expiry(const char *pem, size_t n, usec_t *ret)
{
        BIO *bio = BIO_new_mem_buf(pem, (int)MIN(n, (size_t)INT32_MAX));
        X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
        struct tm tm;
        int r = -EINVAL;

        if (x && ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1) {
                time_t t = timegm(&tm);

                *ret = t > 0 ? (usec_t)t * USEC_PER_SEC : 0;
                r = 0;
        }
        X509_free(x);
        BIO_free(bio);
        return r;
}

static void read_certificates(int root_fd, struct doctor_facts *f)
{
        static const char *const paths[] = { "var/lib/kubelet/pki/kubelet-client-current.pem",
                                             "var/lib/kubelet/pki/kubelet-server-current.pem",
                                             "var/lib/kubelet/pki/kubelet.crt",
                                             "etc/kubernetes/pki/ca.crt" };

        f->certificates = calloc(ARRAY_SIZE(paths), sizeof *f->certificates);
        for (size_t i = 0; f->certificates && i < ARRAY_SIZE(paths); i++) {
                struct doctor_certificate *c = &f->certificates[f->n_certificates];
                _cleanup_free_ char *text = NULL;
                size_t n;
                int r = fs_read_at(root_fd, paths[i], FILE_MAX, &text, &n);

                if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
                        continue;
                c->path = text_printf("/%s", paths[i]);
                if (!c->path)
                        return;
                f->n_certificates++;
                if (r < 0)
                        c->trouble = strdup(strerror(-r));
                else if (certificate_expiry(text, n, &c->expires) < 0)
                        c->trouble = strdup("no certificate in PEM is in it");
        }
}

/* What is no file: asked of the running kernel. */
static void ask_kernel(struct doctor_facts *f)
{
        struct timex t = { 0 };
        struct utsname u;
        int fd, state = adjtimex(&t);

        f->clock_known = state >= 0;
        f->clock_synchronized = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
        if (uname(&u) == 0)
                f->release = strdup(u.release);
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        f->has_nftables = fd >= 0;
        safe_close(fd);
        read_disks(f);
}

int doctor_facts_read(const char *root, struct doctor_facts *ret)
{
        _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *group = NULL, *path = NULL;
        struct doctor_facts f = { .is_root = geteuid() == 0, .now = now_realtime() };

        if (fd < 0)
                return -errno;
        f.cmdline = text_of(fd, "proc/cmdline");
        f.mounts = text_of(fd, "proc/mounts");
        f.filesystems = text_of(fd, "proc/filesystems");
        f.modules = text_of(fd, "proc/modules");
        f.model = text_of(fd, "proc/device-tree/model");
        f.swaps = text_of(fd, "proc/swaps");
        f.resolv_conf = text_of(fd, "etc/resolv.conf");
        f.tcp = text_of(fd, "proc/net/tcp");
        f.tcp6 = text_of(fd, "proc/net/tcp6");
        f.ip_forward = number_of(fd, "proc/sys/net/ipv4/ip_forward");
        f.inotify_instances = number_of(fd, "proc/sys/fs/inotify/max_user_instances");
        f.inotify_watches = number_of(fd, "proc/sys/fs/inotify/max_user_watches");
        f.pid_max = number_of(fd, "proc/sys/kernel/pid_max");
        f.user_namespaces = number_of(fd, "proc/sys/user/max_user_namespaces");
        f.has_seccomp = exists(fd, "proc/sys/kernel/seccomp/actions_avail");
        group = cgroup2_mount(f.mounts);
        path = group ? text_printf("%s/cgroup.controllers", group) : NULL;
        f.controllers = path ? text_of(fd, path) : NULL;
        (void)fs_list_at(fd, "sys/class/net", &f.interfaces);
        read_programs(fd, &f);
        read_remains(fd, &f);
        read_certificates(fd, &f);
        if (streq(root, "/"))
                ask_kernel(&f);
        *ret = f;
        return 0;
}
