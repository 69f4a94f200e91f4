/*
 * Certificates on disk as client-go's FileStore lays them out:
 *
 *      <dir>/<prefix>-2006-01-02-15-04-05.pem   chain and key, 0600
 *      <dir>/<prefix>-current.pem               a link to the newest, swapped whole
 *
 * Source: k8s.io/client-go/util/certificate/certificate_store.go.
 */
#pragma once
#include "base/certificate.h"

/* <dir>/<prefix>-current.pem, owned; NULL without memory. */
char *certificate_store_path(const char *dir, const char *prefix);
/**
 * certificate_store_load() - what the current one says
 * Return: 0 and it is valid at @now and has its key; -ENOENT: there is none; -EKEYEXPIRED: not
 * valid at @now (@ret is set); -EINVAL and others: not usable.
 */
int certificate_store_load(const char *dir, const char *prefix, usec_t now,
                           struct certificate_info *ret, struct err *err);
/* Makes @chain with @key the current one. -EINVAL when they do not belong together. */
int certificate_store_put(const char *dir, const char *prefix, const char *chain, const char *key,
                          usec_t now, struct err *err);
