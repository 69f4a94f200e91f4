/*
 * What base/http.c (sessions, the loop) and base/http-request.c (one transfer) share. Nobody else
 * includes this.
 */
#pragma once
#include <curl/curl.h>

#include "base/http.h"
#include "base/list.h"
#include "base/text.h"

struct http_session {
        unsigned refs; /* the owner's, and one for whoever is at work in it */
        sd_event *event;
        CURLM *multi;
        struct http_session_options options;       /* strings owned */
        struct http_session_options *next_options; /* owned; in force at the next reset */
        sd_event_source *timer, *kick;
        struct list sockets;
        struct list waiting;  /* started from within curl: added when it has returned */
        struct list active;   /* in the multi handle */
        struct list finished; /* their done callback is due */
        struct list dropped;  /* cancelled from within curl: freed when it has returned */
        unsigned in_curl;     /* > 0: curl is on the stack and must not be called again */
        bool curl_is_due;     /* curl asked to be called at once */
        bool dead;            /* its owner freed it */
        char *reset_why;      /* owned; a reset asked for from within curl */
};

enum request_state {
        REQUEST_WAITING,   /* in session.waiting */
        REQUEST_ACTIVE,    /* in session.active */
        REQUEST_FINISHED,  /* in session.finished */
        REQUEST_DROPPED,   /* in session.dropped */
        REQUEST_REPORTING, /* in no list: its done callback runs */
};

struct http_request {
        struct http_session *session; /* borrowed */
        struct list_node node;
        enum request_state state;
        CURL *easy;
        bool setup_failed;
        struct curl_slist *headers, *connect_to;
        void *request_body;
        struct strbuf body;
        size_t body_max, header_bytes;
        int status;
        usec_t idle_timeout_usec, first_byte_timeout_usec, last_byte_usec;
        sd_event_source *idle_timer;
        http_head_fn on_head;
        http_data_fn on_data;
        bool on_data_always;
        http_done_fn done;
        void *userdata;
        int error; /* negative errno of the failure in .err */
        struct err err;
        char curl_text[CURL_ERROR_SIZE];
};

/* A transfer set up and not started. */
int http_request_new(struct http_session *s, const struct http_options *o,
                     struct http_request **ret, struct err *err);
struct http_request *http_request_free(struct http_request *r);
/* Turns curl's verdict into .status, .error and .err, unless an error of ours stands there. */
void http_request_conclude(struct http_request *r, CURLcode code);
/* Calls done. */
void http_request_report(struct http_request *r);
/* Takes it out of curl and lets it end with what stands in .error and .err. */
void http_session_finish(struct http_session *s, struct http_request *r);
/* @fd is a new socket: what was watched under its number is closed. */
void http_session_socket_opened(struct http_session *s, int fd);
