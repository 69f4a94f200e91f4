#include "kubelet/pod-files.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/dns.h"
#include "kubelet/etc-hosts.h"
#include "kubelet/pod-log.h"

#define HOST_FILE_MAX (1 << 20)

void pod_files_done(struct pod_files *f)
{
        free(f->hosts);
        free(f->resolv_conf);
        free(f->hostname);
        free(f->termination_log);
        *f = (struct pod_files){ 0 };
}

/* Same inode as before, since containers have it mounted: rewritten in place, made when absent. */
static int write_in_place(int dir_fd, const char *name, const char *text, mode_t mode)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        size_t n = strlen(text);
        int r;

        if (fd < 0)
                return errno == ENOENT ? fs_replace_at(dir_fd, name, text, n, mode, false) : -errno;
        r = fs_write_all(fd, text, n);
        if (r == 0 && ftruncate(fd, (off_t)n) < 0)
                r = -errno;
        return r;
}

static int put(const struct context *ctx, const struct pod *pod, int dir_fd, const char *name,
               const char *text, char **ret_path, struct err *err)
{
        int r = text ? write_in_place(dir_fd, name, text, 0644) : -ENOMEM;

        if (r == 0) {
                *ret_path = text_printf("%s/pods/%s/%s", ctx->root_dir, pod->uid, name);
                r = *ret_path ? 0 : -ENOMEM;
        }
        return r < 0 ? err_sys(err, r, "write '%s' for the pod", name) : 0;
}

static bool mounts_path(const struct pod_container *c, const char *path)
{
        for (size_t i = 0; i < c->n_mounts; i++)
                if (streq(c->mounts[i].path, path))
                        return true;
        return false;
}

static int write_hosts(const struct context *ctx, const struct pod *pod, int dir_fd,
                       const char *hostname, const char *domain, const char *ip4, const char *ip6,
                       char **ret, struct err *err)
{
        const char *ips[3] = { 0 };
        _cleanup_free_ char *node_hosts = NULL, *text = NULL;
        size_t n = 0;

        if (*ip4)
                ips[n++] = ip4;
        if (*ip6)
                ips[n++] = ip6;
        if (pod->host_network &&
            fs_read_at(AT_FDCWD, "/etc/hosts", HOST_FILE_MAX, &node_hosts, NULL) < 0)
                node_hosts = NULL;
        text = pod_etc_hosts(pod, ips, hostname, domain,
                             pod->host_network ? (node_hosts ? node_hosts : "") : NULL);
        return put(ctx, pod, dir_fd, "etc-hosts", text, ret, err);
}

static int write_resolv_conf(const struct context *ctx, const struct pod *pod, int dir_fd,
                             char **ret, struct err *err)
{
        _cleanup_free_ char *node_text = NULL, *text = NULL;
        _cleanup_strv_ char **warnings = NULL;
        struct dns_node node = {
                .cluster_dns = ctx->config->cluster_dns,
                .cluster_domain = ctx->config->cluster_domain,
        };
        int r;

        if (*ctx->config->resolv_conf &&
            fs_read_at(AT_FDCWD, ctx->config->resolv_conf, HOST_FILE_MAX, &node_text, NULL) < 0)
                log_pod_warn(pod, 0,
                             "The node's resolvConf '%s' cannot be read, the pod goes without it",
                             ctx->config->resolv_conf);
        node.resolv_conf_text = node_text;
        r = pod_resolv_conf(pod, &node, &text, &warnings, err);
        if (r < 0)
                return r;
        STRV_FOREACH (w, warnings)
                pod_event(ctx, pod, NULL, EVENT_WARNING, "DNSConfigForming", "%s", *w);
        return put(ctx, pod, dir_fd, "resolv.conf", text, ret, err);
}

/* A fresh file per instance; 0666 because any user inside may write it. */
static int make_termination_log(const struct context *ctx, const struct pod *pod, int dir_fd,
                                const struct pod_container *c, char **ret, struct err *err)
{
        _cleanup_free_ char *folder = text_printf("containers/%s", c->name), *file = NULL;
        int r = folder ? fs_mkdir_p_at(dir_fd, folder, 0750) : -ENOMEM;

        if (r == 0) {
                file = text_printf("%s/%08" PRIx32, folder, random_u32());
                r = file ? fs_replace_at(dir_fd, file, "", 0, 0666, false) : -ENOMEM;
        }
        if (r == 0) {
                *ret = text_printf("%s/pods/%s/%s", ctx->root_dir, pod->uid, file);
                r = *ret ? 0 : -ENOMEM;
        }
        return r < 0 ? err_sys(err, r, "make the termination log") : 0;
}

int pod_files_write(const struct context *ctx, const struct pod *pod,
                    const struct pod_container *container, const char *ip4, const char *ip6,
                    struct pod_files *ret, struct err *err)
{
        _cleanup_close_ int dir_fd = volumes_pod_dir(ctx->volumes, pod->uid, err);
        _cleanup_(pod_files_done)
        struct pod_files f = { 0 };
        _cleanup_free_ char *hostname = NULL, *domain = NULL, *line = NULL;
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = pod_hostname(pod, ctx->config->cluster_domain, ctx->node_name, &hostname, &domain, err);
        if (r < 0)
                return r;
        if (!mounts_path(container, "/etc/hosts") && (*ip4 || *ip6 || pod->host_network)) {
                r = write_hosts(ctx, pod, dir_fd, hostname, domain, ip4, ip6, &f.hosts, err);
                if (r < 0)
                        return r;
        }
        r = write_resolv_conf(ctx, pod, dir_fd, &f.resolv_conf, err);
        if (r < 0)
                return r;
        line = text_printf("%s\n", hostname);
        r = put(ctx, pod, dir_fd, "hostname", line, &f.hostname, err);
        if (r < 0)
                return r;
        r = make_termination_log(ctx, pod, dir_fd, container, &f.termination_log, err);
        if (r < 0)
                return r;
        *ret = f;
        f = (struct pod_files){ 0 };
        return 0;
}

/* ---- logs ---- */

char *pod_log_folder(const struct context *ctx, const struct pod *pod)
{
        return text_printf("%s/%s_%s_%s", ctx->pod_log_dir, pod->namespace, pod->name, pod->uid);
}

char *pod_log_path(const struct context *ctx, const struct pod *pod, const char *container,
                   uint32_t restart_count)
{
        return text_printf("%s/%s_%s_%s/%s/%" PRIu32 ".log", ctx->pod_log_dir, pod->namespace,
                           pod->name, pod->uid, container, restart_count);
}

static char *link_path(const struct context *ctx, const struct pod *pod, const char *container,
                       const char *id)
{
        return text_printf("%s/%s_%s_%s-%s.log", ctx->container_log_dir, pod->name, pod->namespace,
                           container, id);
}

void pod_log_link(const struct context *ctx, const struct pod *pod, const char *container,
                  const char *id, const char *log_path)
{
        _cleanup_free_ char *link = link_path(ctx, pod, container, id);

        if (link && symlink(log_path, link) < 0 && errno != EEXIST)
                log_container_debug(pod, container, "Failed to link '%s': %s", link,
                                    strerror(errno));
}

void pod_log_remove_instance(const struct context *ctx, const struct pod *pod,
                             const char *container, const char *id, const char *log_path)
{
        _cleanup_free_ char *link = link_path(ctx, pod, container, id), *folder = strdup(log_path);
        char *slash = folder ? strrchr(folder, '/') : NULL;
        _cleanup_strv_ char **names = NULL;

        if (link)
                unlink(link);
        if (!slash)
                return;
        *slash = '\0';
        /* the file and what rotation made of it: "3.log", "3.log.20260131-102030", "….gz" */
        if (fs_list_at(AT_FDCWD, folder, &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *path = text_printf("%s/%s", folder, *name);
                const char *rest = startswith(*name, slash + 1);

                if (path && rest && (*rest == '\0' || *rest == '.'))
                        unlink(path);
        }
}

void pod_logs_remove(const struct context *ctx, const struct pod *pod)
{
        _cleanup_free_ char *folder = pod_log_folder(ctx, pod);
        _cleanup_free_ char *prefix = text_printf("%s_%s_", pod->name, pod->namespace);
        _cleanup_strv_ char **links = NULL;
        int r = folder ? fs_remove_tree_at(AT_FDCWD, folder) : -ENOMEM;

        if (r < 0)
                log_pod_warn(pod, r, "Failed to remove the pod's logs in '%s'",
                             folder ? folder : "?");
        if (!prefix || fs_list_at(AT_FDCWD, ctx->container_log_dir, &links) < 0)
                return;
        STRV_FOREACH (name, links) {
                _cleanup_free_ char *link = text_printf("%s/%s", ctx->container_log_dir, *name);
                struct stat st;

                if (link && startswith(*name, prefix) && stat(link, &st) < 0 && errno == ENOENT)
                        unlink(link); /* its log is gone */
        }
}
