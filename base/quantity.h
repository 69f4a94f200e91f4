/*
 * Kubernetes resource quantities: "500m", "64Mi", "1e3", "0.5". Pure.
 * Source: k8s.io/apimachinery pkg/api/resource (suffixes n u m k M G T P E, Ki to Ei, e/E
 * exponents).
 */
#pragma once
#include <stdint.h>

#include "base/err.h"

/*
 * Rounded up to the unit asked for, as Value() and MilliValue() do; a sign is allowed. -EINVAL, or
 * -ERANGE beyond 63 bits (where Kubernetes would cap a binary suffix).
 */
int quantity_parse(const char *text, int64_t *ret_value);
int quantity_parse_milli(const char *text, int64_t *ret_milli);

enum { QUANTITY_TEXT_MAX = 32 };
/*
 * Canonical forms: cpu in the largest decimal suffix that divides ("1500m", "2", "2k"), bytes in
 * the largest binary one ("64Mi", "1000").
 */
const char *quantity_format_milli(int64_t milli, char buf[static QUANTITY_TEXT_MAX]);
const char *quantity_format_bytes(int64_t bytes, char buf[static QUANTITY_TEXT_MAX]);
/* A whole number in the kind of suffix that @example has: binary ("1Gi") or decimal ("1G", "1"). */
const char *quantity_format_like(int64_t value, const char *example,
                                 char buf[static QUANTITY_TEXT_MAX]);
