/*
 * Theory of operation. The fetcher asks for one layer after the other, bottom first (WIRE_WANT). A
 * layer that is here already is answered at once, for another one an unpacker is forked and the
 * fetcher gets the pipe to it. Layers are finished bottom first as well, since one may have to look
 * at those below it (layer_adopt_implied), and reported then. An image is reported when its last
 * layer is.
 *
 * Of two processes at the ends of a pipe the one that fails first takes the other with it: the
 * reader sees an early end, the writer EPIPE. Both are weak reasons; what the other one says is
 * waited for.
 */
#include "runtime/image-supervise.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/image-fetch.h"
#include "runtime/image-sandbox.h"
#include "runtime/image-unpack.h"

enum slot_state {
        SLOT_UNPACKING, /* its process runs */
        SLOT_UNPACKED,  /* verified; the layers below are not all finished */
        SLOT_FINISHED,  /* reported, or it was here from the start */
};

struct slot { /* a layer of the image at hand */
        enum slot_state state;
        pid_t pid;
        int wire_fd, implied_fd; /* owned; -1 */
        int root_fd; /* owned; -1 for one that was here from the start. skiffd may move the tree */
        char name[24];
        char diff_id[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX], chain_id[DIGEST_TEXT_MAX];
        struct layer_result result;
};

struct finished {    /* a layer made by this job, for the next image of an import */
        int root_fd; /* owned */
        char diff_id[DIGEST_TEXT_MAX], chain_id[DIGEST_TEXT_MAX]; /* chain_id: "" any */
        bool root_is_opaque;
};

struct supervisor {
        const struct image_job *job; /* borrowed */
        pid_t fetcher;
        int fetcher_fd; /* owned */
        bool fetcher_done;
        struct slot slots[MANIFEST_LAYERS_MAX];
        size_t n_slots;
        unsigned n_names; /* directories made in the job's */
        struct finished *finished;
        size_t n_finished;
        int image_fds[WIRE_FDS_MAX]; /* owned: a WIRE_IMAGE that waits for its layers */
        int weak;                    /* a failure that another one may explain */
        struct err weak_err;
};

int image_emit(const struct image_event *e)
{
        _cleanup_free_ char *line = image_event_to_line(e);
        struct strbuf b = { 0 };
        int r;

        if (!line)
                return -ENOMEM;
        strbuf_addf(&b, "%s\n", line);
        r = b.failed ? -ENOMEM : fs_write_all(IMAGE_EVENTS_FD, b.data, b.len);
        strbuf_done(&b);
        return r;
}

/* ---- processes ---- */

static void slot_done(struct slot *s)
{
        s->wire_fd = safe_close(s->wire_fd);
        s->root_fd = safe_close(s->root_fd);
        s->implied_fd = safe_close(s->implied_fd);
}

static void forget_image(struct supervisor *s)
{
        for (size_t i = 0; i < s->n_slots; i++)
                slot_done(&s->slots[i]);
        s->n_slots = 0;
}

/* Returns what a person should know about the end of a child that said nothing. */
static int died(const char *who, pid_t pid, struct err *err)
{
        int status = 0;

        if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
                return err_set(err, -EIO, "%s was killed by signal %d%s", who, WTERMSIG(status),
                               WTERMSIG(status) == SIGSYS ? " (system call refused)" : "");
        return err_set(err, -EIO, "%s ended with status %d and without a word", who,
                       WEXITSTATUS(status));
}

static void kill_children(struct supervisor *s)
{
        if (s->fetcher > 0) {
                kill(s->fetcher, SIGKILL);
                waitpid(s->fetcher, NULL, 0);
        }
        for (size_t i = 0; i < s->n_slots; i++) {
                if (s->slots[i].pid > 0) {
                        kill(s->slots[i].pid, SIGKILL);
                        waitpid(s->slots[i].pid, NULL, 0);
                }
                slot_done(&s->slots[i]);
        }
}

static __attribute__((noreturn)) void run_fetcher(const struct image_job *job, int wire_fd,
                                                  pid_t parent)
{
        struct err err = { 0 };
        int r;

        /* 3: wire, 4: archive, and nothing else */
        if (dup3(wire_fd, 200, O_CLOEXEC) < 0 || dup3(200, 3, O_CLOEXEC) < 0)
                _exit(1);
        if (job->kind == IMAGE_JOB_IMPORT && dup3(IMAGE_ARCHIVE_FD, 4, O_CLOEXEC) < 0)
                _exit(1);
        close_range(job->kind == IMAGE_JOB_IMPORT ? 5 : 4, ~0U, 0);
        r = sandbox_enter_fetcher(job->fetcher_uid, parent, &err);
        if (r == 0)
                r = job->kind == IMAGE_JOB_IMPORT ? image_fetch_archive(4, 3, &err)
                                                  : image_fetch_pull(job, 3, &err);
        if (r < 0)
                wire_send_failure(3, r, &err);
        _exit(r < 0);
}

static int start_fetcher(struct supervisor *s, struct err *err)
{
        pid_t parent = getpid();
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return err_sys(err, -errno, "make a socket");
        s->fetcher_fd = ends[0];
        s->fetcher = fork();
        if (s->fetcher == 0)
                run_fetcher(s->job, ends[1], parent);
        close(ends[1]);
        return s->fetcher < 0 ? err_sys(err, -errno, "start the fetcher") : 0;
}

/* ---- layers wanted ---- */

/* chain(0) is diff_id(0); chain(n) is the digest of "chain(n-1) diff_id(n)" (OCI image-spec). */
static int set_chain_id(struct supervisor *s, struct slot *slot)
{
        _cleanup_(digest_freep)
        struct digest *d = NULL;
        const struct slot *below = slot - 1;

        if (s->n_slots == 0) {
                memcpy(slot->chain_id, slot->diff_id, sizeof slot->chain_id);
                return 0;
        }
        d = digest_new("sha256:");
        if (!d)
                return -ENOMEM;
        digest_add(d, below->chain_id, strlen(below->chain_id));
        digest_add(d, " ", 1);
        digest_add(d, slot->diff_id, strlen(slot->diff_id));
        snprintf(slot->chain_id, sizeof slot->chain_id, "%s", digest_text(d));
        return 0;
}

static bool find_layer(const struct supervisor *s, struct slot *slot)
{
        for (size_t i = 0; i < s->job->n_layers; i++) {
                const struct image_job_layer *l = &s->job->layers[i];

                if (!streq(l->diff_id, slot->diff_id) ||
                    (l->chain_id && !streq(l->chain_id, slot->chain_id)))
                        continue;
                snprintf(slot->name, sizeof slot->name, "%s", l->name);
                slot->result.tree.root_is_opaque = l->root_is_opaque;
                return true;
        }
        for (size_t i = 0; i < s->n_finished; i++) {
                const struct finished *f = &s->finished[i];

                if (!streq(f->diff_id, slot->diff_id) ||
                    (f->chain_id[0] && !streq(f->chain_id, slot->chain_id)))
                        continue;
                slot->root_fd = fcntl(f->root_fd, F_DUPFD_CLOEXEC, 3);
                slot->result.tree.root_is_opaque = f->root_is_opaque;
                return slot->root_fd >= 0;
        }
        return false;
}

static int make_places(struct supervisor *s, struct slot *slot, int *ret_index_fd, struct err *err)
{
        char index[40];

        snprintf(slot->name, sizeof slot->name, "%u", s->n_names++);
        snprintf(index, sizeof index, "%s.index", slot->name);
        if (mkdirat(IMAGE_DIR_FD, slot->name, 0755) < 0)
                return err_sys(err, -errno, "make the layer's directory");
        slot->root_fd = openat(IMAGE_DIR_FD, slot->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        slot->implied_fd = openat(IMAGE_DIR_FD, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        *ret_index_fd = openat(IMAGE_DIR_FD, index, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (slot->root_fd < 0 || slot->implied_fd < 0 || *ret_index_fd < 0)
                return err_sys(err, -errno, "make the layer's files");
        return 0;
}

/* Answers with a pipe to a new unpacker. */
static int start_layer(struct supervisor *s, struct slot *slot, const struct wire_message *want,
                       struct err *err)
{
        struct unpack_job job = {
                .compression = (enum compression)want->compression,
                .digest = slot->digest[0] ? slot->digest : NULL,
                .diff_id = slot->diff_id,
                .size = want->size,
                .reserve_bytes = s->job->reserve_bytes,
        };
        struct wire_message answer = { .type = WIRE_PIPE };
        _cleanup_close_ int index_fd = -1, pipe_fd = -1;
        int r = make_places(s, slot, &index_fd, err);

        if (r < 0)
                return r;
        job.root_fd = slot->root_fd;
        job.implied_fd = slot->implied_fd;
        job.index_fd = index_fd;
        slot->pid = image_unpack_start(&job, &pipe_fd, &slot->wire_fd, err);
        if (slot->pid < 0)
                return slot->pid;
        slot->state = SLOT_UNPACKING;
        r = wire_send(s->fetcher_fd, &answer, &pipe_fd, 1);
        return r < 0 ? err_sys(err, r, "speak to the fetcher") : 0;
}

static int on_want(struct supervisor *s, const struct wire_message *m, struct err *err)
{
        struct wire_message answer = { .type = WIRE_HAVE };
        struct slot *slot;
        int r;

        if (m->index == 0) /* a new image; the one before has been reported */
                forget_image(s);
        if (m->index != s->n_slots || m->of > MANIFEST_LAYERS_MAX || m->index >= m->of ||
            m->compression > COMPRESSION_ZSTD || !digest_is_valid(m->diff_id) ||
            (m->digest[0] && !digest_is_valid(m->digest)))
                return err_set(err, -EBADMSG, "the fetcher speaks nonsense");
        slot = &s->slots[s->n_slots];
        *slot = (struct slot){ .wire_fd = -1, .root_fd = -1, .implied_fd = -1 };
        memcpy(slot->diff_id, m->diff_id, sizeof slot->diff_id);
        memcpy(slot->digest, m->digest, sizeof slot->digest);
        r = set_chain_id(s, slot);
        if (r < 0)
                return err_sys(err, r, "chain layers");
        s->n_slots++;
        if (!find_layer(s, slot))
                return start_layer(s, slot, m, err);
        slot->state = SLOT_FINISHED;
        r = wire_send(s->fetcher_fd, &answer, NULL, 0);
        return r < 0 ? err_sys(err, r, "speak to the fetcher") : 0;
}

/* ---- layers finished ---- */

static int open_root(struct slot *slot, struct err *err)
{
        if (slot->root_fd < 0)
                slot->root_fd = fs_open_beneath(IMAGE_LAYERS_FD, slot->name, O_RDONLY | O_DIRECTORY,
                                                0);
        return slot->root_fd < 0 ? err_sys(err, slot->root_fd, "open layer '%s'", slot->diff_id)
                                 : slot->root_fd;
}

static int adopt(struct supervisor *s, size_t index, struct err *err)
{
        int fds[MANIFEST_LAYERS_MAX], r = 0;
        size_t n = 0;

        for (size_t i = index; r == 0 && i-- > 0;) {
                fds[n] = open_root(&s->slots[i], err);
                r = MIN(fds[n], 0);
                n++;
                if (s->slots[i].result.tree.root_is_opaque)
                        break;
        }
        if (r == 0)
                r = layer_adopt_implied(s->slots[index].root_fd, s->slots[index].implied_fd, fds, n,
                                        err);
        if (r == 0 && syncfs(s->slots[index].root_fd) < 0)
                r = err_sys(err, -errno, "sync the layer");
        return r;
}

static int remember(struct supervisor *s, const struct slot *slot, bool bound)
{
        struct finished *grown = realloc(s->finished, (s->n_finished + 1) * sizeof *s->finished);
        struct finished *f;

        if (!grown)
                return -ENOMEM;
        s->finished = grown;
        f = &s->finished[s->n_finished++];
        *f = (struct finished){ .root_is_opaque = slot->result.tree.root_is_opaque };
        f->root_fd = fcntl(slot->root_fd, F_DUPFD_CLOEXEC, 3);
        if (f->root_fd < 0) {
                s->n_finished--;
                return -errno;
        }
        memcpy(f->diff_id, slot->diff_id, sizeof f->diff_id);
        if (bound)
                memcpy(f->chain_id, slot->chain_id, sizeof f->chain_id);
        return 0;
}

static int finish_layer(struct supervisor *s, size_t index, struct err *err)
{
        struct slot *slot = &s->slots[index];
        bool bound = slot->result.tree.n_implied > 0;
        struct image_event e = {
                .kind = IMAGE_EVENT_LAYER,
                .layer = {
                        .dir = slot->name,
                        .diff_id = slot->diff_id,
                        .digest = slot->digest[0] ? slot->digest : NULL,
                        .chain_id = bound ? slot->chain_id : NULL,
                        .size = slot->result.size,
                        .unpacked_size = slot->result.unpacked_size,
                        .disk_bytes = slot->result.tree.disk_bytes,
                        .n_inodes = slot->result.tree.n_inodes,
                        .root_is_opaque = slot->result.tree.root_is_opaque,
                },
        };
        int r = bound ? adopt(s, index, err) : 0;

        if (r < 0)
                return r;
        slot->state = SLOT_FINISHED;
        slot->implied_fd = safe_close(slot->implied_fd);
        r = remember(s, slot, bound);
        if (r == 0)
                r = image_emit(&e);
        return r < 0 ? err_sys(err, r, "report the layer") : 0;
}

static int finish_layers(struct supervisor *s, struct err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->n_slots; i++) {
                if (s->slots[i].state == SLOT_UNPACKING)
                        break;
                if (s->slots[i].state == SLOT_UNPACKED)
                        r = finish_layer(s, i, err);
        }
        return r;
}

/* ---- images ---- */

/* "sha256:…" of a document becomes the name of its file. */
static int keep_document(int fd, struct err *err)
{
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");
        _cleanup_free_ char *text = NULL;
        char name[DIGEST_TEXT_MAX];
        size_t n;
        int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fs_read_fd(fd, MANIFEST_SIZE_MAX, &text, &n);

        if (r < 0 || !d)
                return err_sys(err, r < 0 ? r : -ENOMEM, "read a document of the image");
        if (n == 0)
                return 0;
        digest_add(d, text, n);
        snprintf(name, sizeof name, "%s", digest_text(d));
        name[strcspn(name, ":")] = '-';
        r = fs_replace_at(IMAGE_DIR_FD, name, text, n, 0600, true);
        return r < 0 ? err_sys(err, r, "keep a document of the image") : 0;
}

static int report_image(struct supervisor *s, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strbuf_ struct strbuf line = { 0 };
        size_t n;
        int r = fs_read_fd(s->image_fds[0], IMAGE_EVENT_LINE_MAX, &text, &n);

        if (r == 0 && (memchr(text, '\n', n) || memchr(text, '\0', n)))
                r = -EBADMSG; /* one line, whatever the fetcher would like to say */
        if (r < 0)
                return err_sys(err, r, "read the image");
        r = keep_document(s->image_fds[1], err);
        if (r == 0)
                r = keep_document(s->image_fds[2], err);
        wire_close_fds(s->image_fds);
        if (r < 0)
                return r;
        strbuf_addf(&line, "{\"image\":%s}\n", text);
        r = line.failed ? -ENOMEM : fs_write_all(IMAGE_EVENTS_FD, line.data, line.len);
        return r < 0 ? err_sys(err, r, "report the image") : 0;
}

static bool layers_are_finished(const struct supervisor *s)
{
        for (size_t i = 0; i < s->n_slots; i++)
                if (s->slots[i].state != SLOT_FINISHED)
                        return false;
        return true;
}

/* ---- messages ---- */

static int failed(struct supervisor *s, const struct wire_message *m, struct err *err)
{
        struct err why = { 0 };
        int r = m->error < 0 ? m->error : -EIO;

        err_set_kind(&why, r, (enum err_kind)m->kind, "%s", m->text);
        if (r != -EPIPE) {
                err_move(err, &why);
                return r;
        }
        if (s->weak == 0) {
                s->weak = r;
                err_move(&s->weak_err, &why);
        }
        err_done(&why);
        return 0;
}

static int on_progress(const struct wire_message *m)
{
        struct image_event e = {
                .kind = IMAGE_EVENT_PROGRESS,
                .progress = { m->index, m->of, m->bytes, m->size },
        };

        return image_emit(&e);
}

static int on_fetcher_message(struct supervisor *s, const struct wire_message *m, int *fds,
                              struct err *err)
{
        struct image_event present = {
                .kind = IMAGE_EVENT_PRESENT,
                .present = { m->index > IMAGE_AUTHS_MAX ? -1 : (int32_t)m->index - 1,
                             (char *)m->digest,
                             m->index_digest[0] ? (char *)m->index_digest : NULL },
        };
        int r;

        switch (m->type) {
        case WIRE_WANT:
                return on_want(s, m, err);
        case WIRE_PROGRESS:
                r = on_progress(m);
                return r < 0 ? err_sys(err, r, "report progress") : 0;
        case WIRE_IMAGE:
                if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
                        break;
                for (size_t i = 0; i < WIRE_FDS_MAX; i++)
                        s->image_fds[i] = TAKE_FD(fds[i]);
                return 0;
        case WIRE_PRESENT:
                if (!digest_is_valid(m->digest) ||
                    (m->index_digest[0] && !digest_is_valid(m->index_digest)))
                        break;
                r = image_emit(&present);
                return r < 0 ? err_sys(err, r, "report the image") : 0;
        case WIRE_DONE:
                s->fetcher_done = true;
                return 0;
        case WIRE_FAILED:
                s->fetcher_done = true;
                return failed(s, m, err);
        default:
                break;
        }
        return err_set(err, -EBADMSG, "the fetcher speaks nonsense");
}

static int on_fetcher(struct supervisor *s, struct err *err)
{
        struct wire_message m;
        int fds[WIRE_FDS_MAX], r = wire_receive(s->fetcher_fd, &m, fds);

        if (r < 0)
                return err_sys(err, r, "hear the fetcher");
        if (r == 0) {
                s->fetcher_fd = safe_close(s->fetcher_fd);
                if (!s->fetcher_done) {
                        pid_t pid = s->fetcher;

                        s->fetcher = 0;
                        return died("the fetcher", pid, err);
                }
                waitpid(s->fetcher, NULL, 0);
                s->fetcher = 0;
                return 0;
        }
        r = on_fetcher_message(s, &m, fds, err);
        wire_close_fds(fds);
        return r;
}

/* The unpacker has a descriptor and no right to set trusted attributes; we have the right. */
static int on_opaque(const struct slot *slot, int fd)
{
        struct stat root, st;

        if (fd < 0 || fstat(slot->root_fd, &root) < 0 || fstat(fd, &st) < 0 ||
            !S_ISDIR(st.st_mode) || st.st_dev != root.st_dev)
                return -EBADMSG;
        return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

static int on_unpacker_gone(struct supervisor *s, struct slot *slot, struct err *err)
{
        pid_t pid = slot->pid;

        slot->wire_fd = safe_close(slot->wire_fd);
        slot->pid = 0;
        if (slot->state == SLOT_UNPACKING && s->weak == 0) {
                int r = died("the unpacker", pid, err);

                return err_wrap(err, r, "layer '%s'",
                                slot->digest[0] ? slot->digest : slot->diff_id);
        }
        waitpid(pid, NULL, 0);
        return 0;
}

static int on_unpacker(struct supervisor *s, struct slot *slot, struct err *err)
{
        struct wire_message m;
        int fds[WIRE_FDS_MAX], r = wire_receive(slot->wire_fd, &m, fds);

        if (r == -EAGAIN)
                return 0;
        if (r <= 0)
                return r < 0 ? err_sys(err, r, "hear the unpacker")
                             : on_unpacker_gone(s, slot, err);
        if (m.type == WIRE_OPAQUE) {
                r = on_opaque(slot, fds[0]);
                r = r < 0 ? err_sys(err, r, "make a directory opaque") : 0;
        } else if (m.type == WIRE_UNPACKED) {
                slot->result = m.result;
                slot->state = SLOT_UNPACKED;
                r = 0;
        } else if (m.type == WIRE_FAILED) {
                r = failed(s, &m, err);
        } else {
                r = err_set(err, -EBADMSG, "the unpacker speaks nonsense");
        }
        wire_close_fds(fds);
        return r < 0 ? err_wrap(err, r, "layer '%s'",
                                slot->digest[0] ? slot->digest : slot->diff_id)
                     : 0;
}

/* ---- the loop ---- */

/* What to wait for: the reader of the events going away, the fetcher, the unpackers. */
static size_t fill_pollfds(struct supervisor *s, struct pollfd *fds, struct slot **slots)
{
        size_t n = 0;

        fds[n++] = (struct pollfd){ .fd = IMAGE_EVENTS_FD };
        /* while an image waits for its layers the fetcher may not start on the next one */
        fds[n++] = (struct pollfd){ .fd = s->image_fds[0] >= 0 ? -1 : s->fetcher_fd,
                                    .events = POLLIN };
        for (size_t i = 0; i < s->n_slots; i++) {
                if (s->slots[i].wire_fd < 0)
                        continue;
                slots[n] = &s->slots[i];
                fds[n++] = (struct pollfd){ .fd = s->slots[i].wire_fd, .events = POLLIN };
        }
        return n;
}

static int turn(struct supervisor *s, struct err *err)
{
        struct pollfd fds[MANIFEST_LAYERS_MAX + 2];
        struct slot *slots[MANIFEST_LAYERS_MAX + 2];
        size_t n = fill_pollfds(s, fds, slots);
        int r = 0;

        if (poll(fds, n, -1) < 0)
                return errno == EINTR ? 0 : err_sys(err, -errno, "wait");
        if (fds[0].revents)
                return err_set(err, -EPIPE, "nobody reads the events");
        for (size_t i = 2; r == 0 && i < n; i++)
                if (fds[i].revents)
                        r = on_unpacker(s, slots[i], err);
        if (r == 0 && fds[1].revents)
                r = on_fetcher(s, err);
        if (r == 0 && s->weak == 0)
                r = finish_layers(s, err);
        if (r == 0 && s->image_fds[0] >= 0 && layers_are_finished(s))
                r = report_image(s, err);
        return r;
}

static bool is_over(const struct supervisor *s)
{
        if (s->fetcher_fd >= 0)
                return false;
        for (size_t i = 0; i < s->n_slots; i++)
                if (s->slots[i].wire_fd >= 0)
                        return false;
        return true;
}

/* Once the fetcher is off, nothing here has business with the network. */
static int leave_network(struct err *err)
{
        return unshare(CLONE_NEWNET) < 0 ? err_sys(err, -errno, "leave the network") : 0;
}

/* An archive that comes through a pipe is put into a file without a name first. */
static int spool(uint64_t reserve_bytes, struct err *err)
{
        _cleanup_close_ int fd = -1;
        char chunk[64 << 10];
        uint64_t total = 0;
        ssize_t n;

        if (lseek(IMAGE_ARCHIVE_FD, 0, SEEK_CUR) >= 0)
                return 0;
        fd = openat(IMAGE_DIR_FD, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_sys(err, -errno, "spool the archive");
        while ((n = read(IMAGE_ARCHIVE_FD, chunk, sizeof chunk)) != 0) {
                struct statfs s;
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                r = n < 0 ? -errno : fs_write_all(fd, chunk, (size_t)n);
                if (r < 0)
                        return err_sys(err, r, "spool the archive");
                total += (uint64_t)n;
                if (total % (16 << 20) < (uint64_t)n && fstatfs(fd, &s) == 0 &&
                    (uint64_t)s.f_bavail * (uint64_t)s.f_bsize < reserve_bytes)
                        return err_set_kind(err, -ENOSPC, ERR_NO_SPACE,
                                            "no room to spool the archive");
        }
        return dup3(fd, IMAGE_ARCHIVE_FD, O_CLOEXEC) < 0 ? err_sys(err, -errno, "spool") : 0;
}

int image_supervise(struct image_job *job, struct err *err)
{
        struct supervisor *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "supervise");
        *s = (struct supervisor){ .job = job, .fetcher_fd = -1, .image_fds = { -1, -1, -1 } };
        r = job->kind == IMAGE_JOB_IMPORT ? leave_network(err) : 0;
        if (r == 0 && job->kind == IMAGE_JOB_IMPORT)
                r = spool(job->reserve_bytes, err);
        if (r == 0)
                r = start_fetcher(s, err);
        image_job_forget_secrets(job); /* unpackers are forked from here */
        while (r == 0 && !is_over(s))
                r = turn(s, err);
        if (r == 0 && s->weak < 0) {
                r = s->weak;
                err_move(err, &s->weak_err);
        }
        if (r == 0 && (s->image_fds[0] >= 0 || !layers_are_finished(s)))
                r = err_set(err, -EBADMSG, "the fetcher left layers behind");
        kill_children(s);
        wire_close_fds(s->image_fds);
        safe_close(s->fetcher_fd);
        forget_image(s);
        for (size_t i = 0; i < s->n_finished; i++)
                close(s->finished[i].root_fd);
        free(s->finished);
        err_done(&s->weak_err);
        free(s);
        return r;
}
