/*
 * The server's side of TLS: one struct http_tls holds the certificate, key and client CA that the
 * next handshake uses. Private to base/http-*.c; what others call is in base/http-server.h.
 */
#pragma once
#include "base/http-server.h"

struct ssl_st;

/* An SSL in server state for one connection, from the files as they are now. NULL without memory,
 * or when they have not come yet. */
struct ssl_st *http_tls_session(struct http_tls *t);
/*
 * Counts changes of the client CA, looking at the files at most once a second. Who a connection
 * belongs to is only known for the generation it was made in.
 */
uint64_t http_tls_ca_generation(struct http_tls *t);

/* Who the peer is by its verified certificate. Both members NULL: nobody. */
struct http_identity {
        char *cn;    /* owned */
        char **orgs; /* owned */
};
void http_identity_done(struct http_identity *i);
/* After the handshake. 0, also for no or an unverified certificate; -ENOMEM. */
int http_tls_identity(struct ssl_st *ssl, struct http_identity *ret);
