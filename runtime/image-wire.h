/*
 * Messages between skiff-image's own processes, over SOCK_SEQPACKET pairs: fixed-size structs,
 * since one program is at both ends; descriptors beside them. The supervisor believes neither
 * fetcher nor unpacker: texts are cut, digests and numbers checked.
 */
#pragma once
#include "runtime/image-ref.h"
#include "runtime/layer.h"

enum wire_type {
        /* fetcher to supervisor */
        WIRE_WANT, /* layer .index of .of: .digest ("" unknown), .diff_id, .size, .compression */
        WIRE_PROGRESS, /* layer .index of .of: .bytes of .size are fetched */
        WIRE_IMAGE, /* all layers are on their way; descriptors: image as JSON, manifest, config */
        /* .digest, found through .index_digest or "", is known: nothing to do; the registry wanted
         * pull secret .index - 1, or none */
        WIRE_PRESENT,
        WIRE_DONE, /* no more will come */
        /* supervisor to fetcher, the answer to WIRE_WANT */
        WIRE_HAVE, /* not needed */
        WIRE_PIPE, /* descriptor: write the layer's bytes there */
        /* unpacker to supervisor */
        WIRE_OPAQUE,   /* descriptor: a directory to make opaque */
        WIRE_UNPACKED, /* .result: complete, verified and synced */
        /* fetcher or unpacker to supervisor */
        WIRE_FAILED, /* .error, .kind, .text */
        _WIRE_TYPE_MAX,
};

enum { WIRE_FDS_MAX = 3, WIRE_TEXT_MAX = 2048 };

struct wire_message {
        uint32_t type;
        uint32_t index, of, compression, kind;
        int32_t error; /* negative errno */
        uint64_t size, bytes;
        struct layer_result result;
        char digest[DIGEST_TEXT_MAX], diff_id[DIGEST_TEXT_MAX], index_digest[DIGEST_TEXT_MAX];
        char text[WIRE_TEXT_MAX];
};

/* @fds are borrowed. */
int wire_send(int socket_fd, const struct wire_message *m, const int *fds, size_t n_fds);
/* WIRE_FAILED. */
int wire_send_failure(int socket_fd, int r, const struct err *err);
/**
 * wire_receive() - the next message; blocks unless the socket does not
 * @ret_fds:  owned by the caller; unused ones are -1
 * Return: 1; 0 at the end (the other process is gone); -EAGAIN; -EBADMSG for what is no message.
 */
int wire_receive(int socket_fd, struct wire_message *ret, int ret_fds[static WIRE_FDS_MAX]);
void wire_close_fds(int fds[static WIRE_FDS_MAX]);
