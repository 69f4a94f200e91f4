/*
 * /statusz and /flagz: which version this is, since when it runs, and with which flags. Text for
 * people; JSON for who asks for "application/json;as=Statusz;v=v1beta1;g=config.k8s.io".
 * Source: apiserver pkg/server/statusz, pkg/server/flagz.
 */
#pragma once
#include "base/http-server.h"
#include "base/usec.h"
#include "kubelet/options.h"

void server_statusz_handle(struct http_exchange *x, usec_t started_at);
/* @agent: the command line; NULL: no flags are shown. */
void server_flagz_handle(struct http_exchange *x, const struct options *agent);
