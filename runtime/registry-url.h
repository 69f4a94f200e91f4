/*
 * URLs of registries, token servers and blob stores: taken apart by libcurl's parser, so that what
 * is checked here is what is connected to later. Pure.
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

struct registry_url {
        char *text;    /* owned: the whole, normalised; never with user, password or fragment */
        bool https;    /* else http */
        char *host;    /* owned, lower case; "[::1]" with its brackets */
        uint16_t port; /* the scheme's own when not given */
        char *path;    /* owned; begins with '/' */
};

enum { REGISTRY_URL_MAX = 8192 }; /* signed blob URLs of clouds have some 2,000 */

/**
 * registry_url_parse() - take an http or https URL apart
 * @text: absolute, or relative to @base (a Location header) when that is not NULL
 * Return: 0; -EINVAL with the URL and the rule in @err (no other scheme, no user or password, no
 * control characters); -ENOMEM.
 */
int registry_url_parse(const char *text, const struct registry_url *base, struct registry_url *ret,
                       struct err *err);
void registry_url_done(struct registry_url *u);
#define _cleanup_registry_url_ _cleanup_(registry_url_done)

/* Same scheme, host and port: where a credential may go. */
bool registry_url_same_origin(const struct registry_url *a, const struct registry_url *b);
/* "host", or "host:port" when the port is not the scheme's own; owned. */
char *registry_url_authority(const struct registry_url *u);
/* An IPv4 or IPv6 address instead of a name, in any of the spellings that libcurl takes. */
bool registry_url_host_is_address(const struct registry_url *u);

struct sockaddr;
/* Loopback, link-local, unspecified or the metadata service of a cloud: no place for a stranger's
 * URL to lead to. */
bool registry_address_is_internal(const struct sockaddr *address);
