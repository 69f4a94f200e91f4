#include "runtime/seccomp-store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <openssl/evp.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/seccomp-compile.h"

enum {
        DIGEST_SIZE = 32,
        KEY_SIZE = 2 * DIGEST_SIZE + 1,
        PROGRAM_MAX = BPF_MAXINSNS * sizeof(struct sock_filter),
        OPEN_MAX_PROGRAMS = 64, /* a node has a handful of profiles */
        CPU_SECONDS_MAX = 20,
};

struct seccomp_store {
        struct runtime *rt;   /* borrowed */
        int dir_fd;           /* <run_dir>/seccomp */
        struct map *programs; /* key -> struct program *; owned */
        struct list builds;
};

struct program {
        int fd; /* sealed memfd */
};

struct waiter {
        struct list_node node;
        seccomp_done_fn done;
        void *userdata;
};

/* A child that compiles; it writes the program, or the sentence why not, into .result_fd. */
struct build {
        struct list_node node;
        struct seccomp_store *store; /* borrowed */
        char key[KEY_SIZE];
        pid_t pid;
        int pidfd, result_fd;
        sd_event_source *source;
        struct list waiters;
};

static void program_free(void *userdata)
{
        struct program *p = userdata;

        safe_close(p->fd);
        free(p);
}

static void build_free(struct build *b)
{
        list_remove(&b->node);
        sd_event_source_disable_unref(b->source);
        if (b->pid > 0) {
                kill(b->pid, SIGKILL);
                waitpid(b->pid, NULL, 0);
        }
        safe_close(b->pidfd);
        safe_close(b->result_fd);
        free(b);
}

static int digest(const void *data, size_t n, uint8_t out[DIGEST_SIZE])
{
        return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

static void describe_rule(struct strbuf *b, const struct oci_seccomp_rule *rule)
{
        STRV_FOREACH (name, rule->names)
                strbuf_addf(b, "%zu:%s ", strlen(*name), *name); /* "a b" is not "a", "b" */
        strbuf_addf(b, "=%x,%d", rule->action, rule->errno_ret);
        for (size_t i = 0; i < rule->n_args; i++)
                strbuf_addf(b, ",%u:%d:%" PRIx64 ":%" PRIx64, rule->args[i].index, rule->args[i].op,
                            rule->args[i].value, rule->args[i].value_two);
        strbuf_add(b, "\n");
}

/* The profile, and whatever else decides how its program looks. */
static int make_key(const struct oci_seccomp *profile, char key[static KEY_SIZE])
{
        const struct scmp_version *v = seccomp_version();
        _cleanup_strbuf_ struct strbuf b = { 0 };
        uint8_t sum[DIGEST_SIZE];
        int r;

        strbuf_addf(&b, "%s/%u.%u.%u\n%x,%d\n", SKIFF_VERSION, v->major, v->minor, v->micro,
                    profile->default_action, profile->default_errno_ret);
        STRV_FOREACH (architecture, profile->architectures)
                strbuf_addf(&b, "%s\n", *architecture);
        STRV_FOREACH (flag, profile->flags)
                strbuf_addf(&b, "%s\n", *flag);
        for (size_t i = 0; i < profile->n_rules; i++)
                describe_rule(&b, &profile->rules[i]);
        r = b.failed ? -ENOMEM : digest(b.data, b.len, sum);
        if (r == 0)
                hex_encode(sum, sizeof sum, key);
        return r;
}

static int keep(struct seccomp_store *s, const char *key, int fd)
{
        struct program *p;
        int r;

        if (map_size(s->programs) >= OPEN_MAX_PROGRAMS) { /* they are in the files too */
                map_free_with(s->programs, program_free);
                s->programs = map_new();
        }
        p = s->programs ? malloc(sizeof *p) : NULL;
        if (!p)
                return -ENOMEM;
        p->fd = fd;
        r = map_put(s->programs, key, p, NULL);
        if (r < 0)
                free(p);
        return r;
}

/* ---- files: the program, and behind it its digest ---- */

static int load(struct seccomp_store *s, const char *key, int *ret_fd)
{
        _cleanup_free_ char *data = NULL;
        uint8_t sum[DIGEST_SIZE];
        size_t n;
        int r = fs_read_at(s->dir_fd, key, PROGRAM_MAX + DIGEST_SIZE, &data, &n);

        if (r < 0)
                return r;
        if (n <= DIGEST_SIZE || digest(data, n - DIGEST_SIZE, sum) < 0 ||
            memcmp(sum, data + n - DIGEST_SIZE, DIGEST_SIZE) != 0)
                return -EBADMSG; /* compiled anew, then replaced */
        r = fs_sealed_memfd("seccomp", data, n - DIGEST_SIZE);
        if (r < 0)
                return r;
        *ret_fd = r;
        return 0;
}

static void save(struct seccomp_store *s, const char *key, const char *data, size_t n)
{
        _cleanup_free_ char *file = malloc(n + DIGEST_SIZE);
        int r = file ? digest(data, n, (uint8_t *)file + n) : -ENOMEM;

        if (r == 0) {
                memcpy(file, data, n);
                r = fs_replace_at(s->dir_fd, key, file, n + DIGEST_SIZE, 0600, false);
        }
        if (r < 0)
                log_warn(r, "Failed to keep a seccomp program, it is compiled again when needed");
}

/* ---- the child ---- */

/* Runs in a forked child, in skiffd's namespaces, with the result as its only descriptor. */
static _Noreturn void compile_in_child(const struct oci_seccomp *profile, int result_fd)
{
        struct rlimit cpu = { CPU_SECONDS_MAX, CPU_SECONDS_MAX };
        struct sock_filter *program;
        struct err err = { 0 };
        size_t n;
        int r;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CPU, &cpu);
        /* a lock of skiffd's must not live on in here */
        if (dup2(result_fd, 3) < 0 || syscall(SYS_close_range, 4, ~0U, 0) < 0)
                _exit(2);
        r = seccomp_compile(profile, &program, &n, &err);
        if (r < 0) {
                fs_write_all(3, err_text(&err), strlen(err_text(&err)));
                _exit(1);
        }
        _exit(fs_write_all(3, program, n * sizeof *program) < 0 ? 2 : 0);
}

static void tell(struct build *b, int r, int fd, const struct err *err)
{
        struct list waiting;
        struct list_node *n;

        list_init(&waiting);
        while ((n = list_pop(&b->waiters)))
                list_append(&waiting, n);
        build_free(b);
        while ((n = list_pop(&waiting))) {
                struct waiter *w = CONTAINER_OF(n, struct waiter, node);

                w->done(r, fd, err, w->userdata);
                free(w);
        }
}

static int take_program(struct build *b, const char *data, size_t n, struct err *err)
{
        int fd, r;

        if (n == 0 || n % sizeof(struct sock_filter))
                return err_set_kind(err, -EIO, ERR_CONTAINER_CONFIG,
                                    "the seccomp compiler wrote no whole program");
        fd = fs_sealed_memfd("seccomp", data, n);
        if (fd < 0)
                return err_sys(err, fd, "make a memfd");
        r = keep(b->store, b->key, fd);
        if (r < 0) {
                safe_close(fd);
                return err_sys(err, r, "keep a seccomp program");
        }
        save(b->store, b->key, data, n);
        return fd;
}

static int on_child_end(_unused_ sd_event_source *source, _unused_ int fd,
                        _unused_ uint32_t revents, void *userdata)
{
        struct build *b = userdata;
        _cleanup_free_ char *data = NULL;
        _cleanup_err_ struct err err = { 0 };
        size_t n = 0;
        int status = 0, r;

        waitpid(b->pid, &status, 0);
        b->pid = 0;
        if (lseek(b->result_fd, 0, SEEK_SET) < 0 ||
            fs_read_fd(b->result_fd, PROGRAM_MAX, &data, &n) < 0)
                n = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                r = take_program(b, data, n, &err);
        else if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && n)
                r = err_set_kind(&err, -EINVAL, ERR_CONTAINER_CONFIG, "%s", data);
        else
                r = err_set_kind(&err, -EIO, ERR_CONTAINER_CONFIG,
                                 "the seccomp compiler ended with status %#x", status);
        tell(b, r < 0 ? r : 0, r, &err);
        return 0;
}

static int start_build(struct seccomp_store *s, const char *key, const struct oci_seccomp *profile,
                       struct build **ret)
{
        struct build *b = calloc(1, sizeof *b);
        int r;

        if (!b)
                return -ENOMEM;
        b->store = s;
        b->pidfd = b->result_fd = -1;
        list_init(&b->waiters);
        memcpy(b->key, key, KEY_SIZE);
        b->result_fd = memfd_create("seccomp-result", MFD_CLOEXEC);
        r = b->result_fd < 0 ? -errno : 0;
        if (r == 0) {
                b->pid = fork();
                if (b->pid == 0)
                        compile_in_child(profile, b->result_fd);
                r = b->pid < 0 ? -errno : 0;
        }
        if (r == 0) {
                b->pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
                r = b->pidfd < 0 ? -errno
                                 : sd_event_add_io(s->rt->event, &b->source, b->pidfd, EPOLLIN,
                                                   on_child_end, b);
        }
        if (r < 0) {
                build_free(b);
                return r;
        }
        list_append(&s->builds, &b->node);
        *ret = b;
        return 0;
}

/* ---- interface ---- */

int seccomp_store_new(struct runtime *rt, struct seccomp_store **ret, struct err *err)
{
        _cleanup_(seccomp_store_freep)
        struct seccomp_store *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "open the seccomp programs");
        *s = (struct seccomp_store){ .rt = rt, .dir_fd = -1, .programs = map_new() };
        list_init(&s->builds);
        r = s->programs ? fs_mkdir_p_at(rt->run_fd, "seccomp", 0700) : -ENOMEM;
        if (r == 0) {
                s->dir_fd = openat(rt->run_fd, "seccomp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = s->dir_fd < 0 ? -errno : 0;
        }
        if (r < 0)
                return err_sys(err, r, "open '%s/seccomp'", rt->options.run_dir);
        *ret = TAKE_PTR(s);
        return 0;
}

struct seccomp_store *seccomp_store_free(struct seccomp_store *s)
{
        struct build *b, *next;

        if (!s)
                return NULL;
        LIST_FOREACH_SAFE (b, next, &s->builds, node)
                tell(b, -ECANCELED, -1, NULL);
        map_free_with(s->programs, program_free);
        safe_close(s->dir_fd);
        free(s);
        return NULL;
}

static struct build *find_build(struct seccomp_store *s, const char *key)
{
        struct build *b;

        LIST_FOREACH (b, &s->builds, node)
                if (streq(b->key, key))
                        return b;
        return NULL;
}

static int wait_for(struct seccomp_store *s, const char *key, const struct oci_seccomp *profile,
                    seccomp_done_fn done, void *userdata)
{
        struct waiter *w = calloc(1, sizeof *w);
        struct build *b = find_build(s, key);
        int r = w ? 0 : -ENOMEM;

        if (r == 0 && !b)
                r = start_build(s, key, profile, &b);
        if (r < 0) {
                free(w);
                return r;
        }
        w->done = done;
        w->userdata = userdata;
        list_append(&b->waiters, &w->node);
        return 0;
}

int seccomp_store_get(struct seccomp_store *s, const struct oci_seccomp *profile,
                      seccomp_done_fn done, void *userdata, int *ret_fd, struct err *err)
{
        struct program *p;
        char key[KEY_SIZE];
        int r = make_key(profile, key), fd;

        if (r < 0)
                return err_sys(err, r, "name the seccomp profile");
        p = map_get(s->programs, key);
        if (p) {
                *ret_fd = p->fd;
                return 1;
        }
        r = load(s, key, &fd);
        if (r == 0) {
                r = keep(s, key, fd);
                if (r < 0) {
                        safe_close(fd);
                        return err_sys(err, r, "keep a seccomp program");
                }
                *ret_fd = fd;
                return 1;
        }
        r = wait_for(s, key, profile, done, userdata);
        return r < 0 ? err_sys(err, r, "start the seccomp compiler") : 0;
}
