/* What the files of base/nft share among themselves. */
#pragma once
#include "base/netlink.h"
#include "base/nft.h"

struct nft {
        struct netlink *netlink; /* owned */
};

/* The expressions' attributes; borrowed. A rule that failed gives its errno. */
int nft_rule_bytes(const struct nft_rule *r, const void **ret, size_t *ret_len);

/* libnftnl's type-length-value records, by which the nft tool finds comments. */
enum { NFT_UDATA_COMMENT = 0 };
