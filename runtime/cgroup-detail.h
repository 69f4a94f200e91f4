/*
 * The rest of what a cgroup tells about itself, for those who draw curves: what struct
 * runtime_usage leaves out. Whatever the kernel does not give stays UINT64_MAX.
 */
#pragma once
#include "runtime/runtime.h"

/* Lines such as "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" of io.stat; pure. */
void io_stat_parse(const char *text, struct runtime_detail *ret);
/* Of the cgroup whose directory is @dir_fd; .path is not touched. */
void cgroup_detail_read(int dir_fd, struct runtime_detail *ret);
