/*
 * Ports of this machine that lead to ports of a pod: each connection is one of its own through
 * skiffd's socket.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct forward_port {
        uint16_t local; /* 0: any that is free */
        uint16_t remote;
};
/**
 * forward_port_parse() - "8080:80", "80", ":80"; the pod's port may be a name. Pure
 * @pod: v1.Pod, where names of ports are looked up
 * Return: 0; -EINVAL with the word and the rule.
 */
int forward_port_parse(const char *word, const json_t *pod, struct forward_port *ret,
                       struct err *err);

struct forwarder; /* opaque */
/* @socket: skiffd's; @target: "/v1/pods/NS/NAME/port-forward"; both borrowed. NULL without memory.
 */
struct forwarder *forwarder_new(const char *socket, const char *target);
struct forwarder *forwarder_free(struct forwarder *f);
DEFINE_CLEANUP(struct forwarder *, forwarder_free)
/**
 * forwarder_listen() - one more way in
 * @address:   numeric, or "localhost": 127.0.0.1, and ::1 where there is one
 * @ret_local: which port it became
 */
int forwarder_listen(struct forwarder *f, const char *address, struct forward_port port,
                     uint16_t *ret_local, struct err *err);
/* Until SIGINT, SIGTERM or SIGHUP. What fails for one connection goes to standard error. */
int forwarder_run(struct forwarder *f, struct err *err);
