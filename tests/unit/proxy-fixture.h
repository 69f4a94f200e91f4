/* Services and EndpointSlices from one-line JSON, for the tests of netproxy/. */
#pragma once
#include "netproxy/ruleset.h"

/* @spec: what goes into spec, and more behind a closing brace: "\"clusterIP\":\"10.96.0.1\"" */
struct service *make_service(const char *name, const char *spec);
/* @endpoints: "10.0.0.1 10.0.0.2L" (L: on this node, "node-1"); port "http" 8080. */
struct endpoint_slice *make_slice(const char *service, const char *port_name, uint16_t port,
                                  const char *endpoints);
struct ruleset_context make_context(int family);
