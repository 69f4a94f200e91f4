/*
 * Where the answer to a probe may lead it: to the same host and nowhere else, or a pod could send
 * the node to places that only the node reaches. Pure. Source: pkg/probe/http/http.go
 * (RedirectChecker), which compares host names without their ports.
 */
#pragma once

/**
 * redirect_follow() - the next URL of a request
 * @url:      what was asked
 * @location: of its answer: a URL, or a path on the same host
 * @ret:      owned; set when 1 is returned
 * Return: 1; 0: it leads to another host, or could be read as leading there; -ENOMEM.
 */
int redirect_follow(const char *url, const char *location, char **ret);
