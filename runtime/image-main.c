/*
 * The program skiff-image: one job, then its end. See image-job.h for what goes in and out.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/log.h"
#include "runtime/digest.h"
#include "runtime/image-check.h"
#include "runtime/image-supervise.h"
#include "runtime/layer-path.h"

enum { JOB_SIZE_MAX = 64 << 20, FILES_MAX = 16384 };

/* What the job's JSON took is wiped when it is freed: unpackers are forked from this process. */
static void wipe_and_free(void *p)
{
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

static int read_job(struct image_job *ret, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *root = NULL;
        size_t n;
        int r = fs_read_fd(IMAGE_JOB_FD, JOB_SIZE_MAX, &text, &n);

        close(IMAGE_JOB_FD);
        if (r < 0)
                return err_sys(err, r, "read the job");
        r = json_parse(text, n, true, &root, err);
        explicit_bzero(text, n);
        if (r == 0)
                r = image_job_from_json(root, ret, err);
        return r < 0 ? err_wrap(err, r, "job") : 0;
}

static int run(struct err *err)
{
        _cleanup_image_job_ struct image_job job = { 0 };
        int r = read_job(&job, err);

        if (r < 0)
                return r;
        if (job.kind == IMAGE_JOB_EXPORT)
                return image_export_archive(&job, err);
        if (job.kind == IMAGE_JOB_CHECK)
                return image_check(&job, err);
        if (job.kind != IMAGE_JOB_REMOVE)
                return image_supervise(&job, err);
        r = layer_path_empty(IMAGE_DIR_FD);
        return r < 0 ? err_sys(err, r, "remove layers") : 0;
}

/*
 * Libraries read their host files now: later only children are left, and to an unpacker "/" is the
 * tree that it unpacks.
 */
static void warm_up(void)
{
        OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
        digest_free(digest_new("sha256:"));
        digest_free(digest_new("sha512:"));
}

static bool has_descriptors(void)
{
        return fcntl(IMAGE_JOB_FD, F_GETFD) >= 0 && fcntl(IMAGE_EVENTS_FD, F_GETFD) >= 0 &&
               fcntl(IMAGE_DIR_FD, F_GETFD) >= 0;
}

int main(void)
{
        struct image_event last = { .kind = IMAGE_EVENT_DONE };
        struct rlimit no_core = { 0, 0 }, files;
        int r;

        log_open("skiff-image", LOG_INFO);
        if (!has_descriptors()) {
                log_error(0, "Started by hand: it takes its job from skiffd");
                return 2;
        }
        for (int fd = IMAGE_JOB_FD; fd <= IMAGE_INDEX_FD; fd++)
                fcntl(fd, F_SETFD, FD_CLOEXEC);
        json_set_alloc_funcs(malloc, wipe_and_free);
        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_DUMPABLE, 0);
        setrlimit(RLIMIT_CORE, &no_core);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* one and more for each layer of an archive */
                files.rlim_cur = MIN(files.rlim_max, FILES_MAX);
                setrlimit(RLIMIT_NOFILE, &files);
        }
        warm_up();
        r = run(&last.err);
        if (r < 0) {
                last.kind = IMAGE_EVENT_ERROR;
                last.error = r;
        }
        if (image_emit(&last) < 0)
                return 1;
        err_done(&last.err);
        return r < 0;
}
